"""Labels that look swapped: texts labelled AI that score far below those labelled human."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.detection.ensemble import Member
from paraphrase_rl.detection.roc import auroc
from paraphrase_rl.detection.scoring import score_documents
from paraphrase_rl.errors import DataError, PrlError
from paraphrase_rl.plugin.protocols import Components
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.stored import at, select
from paraphrase_rl.types import Document, FloatArray, Label

_LABELS: tuple[Label, ...] = ("human", "ai")
_FAR_BELOW_HALF, _MOST = 0.2, 500
ENOUGH = 10
"""Fewest texts of each label that show whether labels are swapped."""


def check_labels(members: Iterable[Member]) -> None:
    """Refuse labels that look swapped, see :func:`swapped_labels`.

    Args:
        members: detectors, calibrated on the texts.

    Raises:
        DataError: the labels look swapped.
    """
    said = swapped_labels(
        (member.name, record.probability.auroc, member.training is not None)
        for member in members
        if (record := member.calibration).probability is not None
        and min(record.n_human, record.n_ai) >= ENOUGH
    )
    if said:
        raise DataError(
            said,
            "check which label means what (label_values); nothing was written. A detector that truly scores AI texts "
            "lower on such texts is of no use for them: leave it out",
        )


def swapped_labels(areas: Iterable[tuple[str, float, bool]]) -> str:
    """Say that labels look swapped: no detector scores AI texts higher, and one scores them far lower.

    A detector that was trained agrees with the labels it was trained on, so it counts only where there is no other.

    Args:
        areas: name of each detector, its AUROC on at least ``ENOUGH`` texts of each label, and whether it was trained.

    Returns:
        An empty string if they do not look swapped.
    """
    known = list(areas)
    judges = {name: area for name, area, trained in known if not trained} or {
        name: area for name, area, _ in known
    }
    if not judges or max(judges.values()) >= 0.5 or min(judges.values()) > _FAR_BELOW_HALF:
        return ""
    shown = ", ".join(f"{area:.3f} of {name}" for name, area in judges.items())
    return f"the labels look swapped: texts labelled AI score below those labelled human (AUROC {shown})"


def check_against_earlier(
    registry: Components, detector: str, documents: Sequence[Document], folder: Path
) -> None:
    """Refuse labels that look swapped to the detector in the folder that a training would replace, if there is one.

    A trained detector agrees with the labels it is trained on, so it cannot tell afterwards.

    Args:
        registry: where the detector comes from.
        detector: its name.
        documents: labelled texts to train on; at most 500 of each label are scored.
        folder: folder of the training.

    Raises:
        DataError: the labels look swapped.
    """
    if not folder.is_dir():
        return
    try:
        earlier = registry.build("detectors", detector, {"folder": str(folder)}, Context())
        human, ai = (_scored(earlier, select(documents, label=label)) for label in _LABELS)
    except PrlError:  # it cannot be used any more, and so it cannot judge
        return
    if min(human.size, ai.size) < ENOUGH or (area := auroc(human, ai)) > _FAR_BELOW_HALF:
        return
    raise DataError(
        f"the labels look swapped: the detector that is in {folder} scores texts labelled AI below those labelled "
        f"human (AUROC {area:.3f})",
        "check which label means what (label_values); nothing was written. If it is the earlier detector that was "
        "trained on swapped labels, remove its folder or choose another (--out)",
    )


def _scored(detector: Any, documents: Sequence[Document]) -> FloatArray:
    """Scores of at most 500 texts, evenly spaced; texts without a score are left out."""
    rows = np.unique(np.linspace(0, len(documents) - 1, min(len(documents), _MOST)).astype(np.int64))
    scores = score_documents({"earlier": detector}, at(documents, rows))["earlier"]
    return scores.values[scores.scored]
