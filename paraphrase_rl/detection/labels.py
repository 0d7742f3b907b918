"""Labels that look swapped: texts labelled AI that score far below those labelled human."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.detection.ensemble import Member
from paraphrase_rl.errors import DataError

_FAR_BELOW_HALF, _ENOUGH = 0.2, 10


def check_labels(members: Iterable[Member]) -> None:
    """Refuse labels that look swapped: no detector scores AI texts higher, and one scores them far lower.

    A detector that was trained agrees with the labels it was trained on, so it counts only where there is no other.

    Args:
        members: detectors, calibrated on the texts.

    Raises:
        DataError: the labels look swapped.
    """
    known = [
        (member, record.probability.auroc)
        for member in members
        if (record := member.calibration).probability is not None
        and min(record.n_human, record.n_ai) >= _ENOUGH
    ]
    judges = [(member, area) for member, area in known if member.training is None] or known
    areas = {member.name: area for member, area in judges}
    if not areas or max(areas.values()) >= 0.5 or min(areas.values()) > _FAR_BELOW_HALF:
        return
    shown = ", ".join(f"{area:.3f} of {name}" for name, area in areas.items())
    raise DataError(
        f"the labels look swapped: texts labelled AI score below those labelled human (AUROC {shown})",
        "check which label means what (label_values); nothing was written. A detector that truly scores AI texts "
        "lower on such texts is of no use for them: leave it out",
    )
