"""Signal that an ensemble gives to whoever trains against it: what it flags before anything is rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.detection.calibration import percent
from paraphrase_rl.detection.ensemble import CalibratedEnsemble
from paraphrase_rl.detection.threshold import clopper_pearson

LITTLE = 0.2
"""Share of the AI calibration texts flagged at the target rate; a detector below it leaves little to evade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSignal:
    """Share that one detector with a vote flags of the AI calibration texts, before they are rewritten.

    Attributes:
        detector: its name.
        flagged: share of the AI calibration texts above the threshold of the target rate, in [0, 1].
        low: lower end of its exact 95 % interval, at this very threshold.
        high: upper end.
        auroc: on the calibration texts.
        weight: its share of the mean of the P(AI), in (0, 1].
    """

    detector: str
    flagged: float
    low: float
    high: float
    auroc: float
    weight: float


def signals(ensemble: CalibratedEnsemble) -> list[MemberSignal]:
    """Return the signal of each detector with a vote, the strongest first; none for calibrations that did not count."""
    whole = sum(member.weight for member in ensemble.voting)
    found = []
    for member in ensemble.voting:
        calibration = member.calibration
        k, n = calibration.flagged_ai, calibration.n_ai
        if k is None or not n or calibration.probability is None:
            continue
        low, high = clopper_pearson(k, n)
        found.append(
            MemberSignal(
                detector=member.name,
                flagged=k / n,
                low=low,
                high=high,
                auroc=calibration.probability.auroc,
                weight=member.weight / whole,
            )
        )
    return sorted(found, key=lambda one: (one.flagged, one.auroc), reverse=True)


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
    shares = [
        f"{one.detector} {percent(one.flagged)} [{100 * one.low:.1f}, {100 * one.high:.1f}]" for one in found
    ]
    return f"AI calibration texts flagged: {', '.join(shares)}"
