"""Signal that an ensemble gives to whoever trains against it: what it flags before anything is rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.detection.calibration import Calibration, percent
from paraphrase_rl.detection.ensemble import CalibratedEnsemble

LITTLE = 0.2
"""Share of the AI calibration texts flagged at the target rate; a detector below it leaves little to evade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSignal:
    """Share that one detector with a vote flags of the AI calibration texts, before they are rewritten.

    Attributes:
        detector: its name.
        flagged: share of the AI calibration texts above the threshold of the target rate, in [0, 1].
        auroc: on the calibration texts.
        weight: its share of the mean of the P(AI), in (0, 1].
    """

    detector: str
    flagged: float
    auroc: float
    weight: float


def signals(ensemble: CalibratedEnsemble) -> list[MemberSignal]:
    """Return the signal of each detector with a vote, the strongest first; none for calibrations that did not count."""
    whole = sum(member.weight for member in ensemble.voting)
    found = [
        MemberSignal(
            detector=member.name,
            flagged=flagged,
            auroc=member.calibration.probability.auroc,
            weight=member.weight / whole,
        )
        for member in ensemble.voting
        if member.calibration.probability is not None
        and (flagged := _flagged(member.calibration)) is not None
    ]
    return sorted(found, key=lambda one: (one.flagged, one.auroc), reverse=True)


def _flagged(calibration: Calibration) -> float | None:
    if calibration.flagged_ai is None or not calibration.n_ai:
        return None
    return calibration.flagged_ai / calibration.n_ai


def nothing_to_evade(found: Sequence[MemberSignal]) -> str:
    """Say in one line that the detectors flag too little for a training to change; empty where they flag enough."""
    if not found or found[0].flagged >= LITTLE:
        return ""
    return (
        f"there is little to evade: {_shown(found)} before anything is rewritten, each less than "
        f"{percent(LITTLE)}; choose detectors or texts with more to find (longer texts help)"
    )


def carries_the_signal(found: Sequence[MemberSignal]) -> str:
    """Say in one line what each detector flags, and which one carries the signal; empty without figures."""
    if not found:
        return ""
    line = _shown(found)
    first = found[0]
    if len(found) > 1 and first.weight < 0.9 and first.flagged >= 2.0 * found[1].flagged:
        line += (
            f"; {first.detector} carries the signal with {percent(first.weight)} of the weight"
            " (a reward weighted by power gives it more)"
        )
    return line


def _shown(found: Sequence[MemberSignal]) -> str:
    shares = [f"{one.detector} {percent(one.flagged)} (AUROC {one.auroc:.2f})" for one in found]
    return f"AI calibration texts flagged: {', '.join(shares)}"
