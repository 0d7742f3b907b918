"""Decisions on texts: score, P(AI), and flagged or not; ``None`` for a value that is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from paraphrase_rl.detection.applicability import SEEN, reasons_without_verdict
from paraphrase_rl.detection.calibration import Calibration
from paraphrase_rl.detection.ensemble import COMBINED, CalibratedEnsemble
from paraphrase_rl.detection.probability import ProbabilityMap
from paraphrase_rl.detection.threshold import OperatingPoint
from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.types import Failure, FloatArray, Scores, Truncation


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Decision of one detector, or of the ensemble, on one text.

    Attributes:
        index: position of the text in the call.
        detector: name, ``ensemble`` for the combination.
        score: in the detector's own unit; for the ensemble its combination of the detectors' P(AI).
        p_ai: P(AI) at equal odds; ``None`` if it was not calibrated or the detector has no power.
        threshold: threshold of the operating point; ``None`` without a calibration.
        flagged: whether the score lies above the threshold; ``None`` without a score or a calibration.
        failure: why there is no score.
        truncated: part of the text that the detector read, if it did not read the whole; of the ensemble, that of the
            first detector that did not.
        no_verdict: why there is a score, and neither P(AI) nor a verdict although the detector is calibrated:
            ``KIND: MESSAGE``, see :mod:`paraphrase_rl.detection.applicability`; with a forced verdict, why there
            would be none.
    """

    index: int
    detector: str
    score: float | None = None
    p_ai: float | None = None
    threshold: float | None = None
    flagged: bool | None = None
    failure: Failure | None = None
    truncated: Truncation | None = None
    no_verdict: str | None = None

    def withheld(self, reason: str | None, force: bool = False) -> Decision:
        """Return the decision without P(AI) and verdict, if there is a reason; an ensemble's score is made of P(AI).

        With ``force`` a text that is outside keeps both, together with the reason.
        """
        if reason is None or self.failure is not None:
            return self
        if force and not reason.startswith(f"{SEEN}:"):
            return replace(self, no_verdict=reason)
        score = None if self.detector == COMBINED else self.score
        return replace(self, score=score, p_ai=None, flagged=None, no_verdict=reason)


def decide(
    texts: Sequence[str],
    ensemble: CalibratedEnsemble | None,
    uncalibrated: Mapping[str, Detector],
    target_fpr: float | None = None,
    force: bool = False,
) -> list[Decision]:
    """Decide on texts, in order: for each text, a decision of each detector, then of the ensemble if there are several.

    Args:
        texts: N texts.
        ensemble: calibrated detectors; the ensemble has a decision if it is calibrated too.
        uncalibrated: detectors of which only the score is known.
        target_fpr: the operating point; ``None`` = the target of each calibration.
        force: give a verdict on texts that are outside, too.

    Raises:
        CalibrationError: the rate was not calibrated.
    """
    columns: list[list[Decision]] = []
    if ensemble is not None:
        calibrations = {m.name: m.calibration for m in ensemble.members}
        points = {name: known.point(target_fpr) for name, known in calibrations.items()}
        scores = ensemble.scores(texts)
        columns += [
            _column(name, scores[name], points[name], _powerful(known))
            for name, known in calibrations.items()
        ]
        if ensemble.combined is not None and len(ensemble.members) > 1:
            combined = ensemble.probabilities_of(scores)[1]
            columns.append(
                _column(COMBINED, combined, ensemble.combined.point(target_fpr), ensemble.combined_p_ai)
            )
        flagged = {column[0].detector: [d.flagged for d in column] for column in columns if column}
        reasons = reasons_without_verdict(ensemble, texts, flagged)
        columns = [[d.withheld(reasons[d.detector][d.index], force) for d in column] for column in columns]
    columns += [_column(name, detector.score(texts)) for name, detector in uncalibrated.items()]
    return [column[i] for i in range(len(texts)) for column in columns]


def truncation_note(detector: str, cut: int, total: int) -> str:
    """Say that a detector read only the beginning of ``cut`` of ``total`` texts; an empty string if of none."""
    if not cut:
        return ""
    return (
        f"{cut} of {total} texts are longer than {detector} reads: its scores are those of their beginnings"
    )


def _powerful(calibration: Calibration) -> ProbabilityMap | None:
    known = calibration.probability
    return known if known is not None and known.has_power else None


def _column(
    name: str,
    scores: Scores,
    point: OperatingPoint | None = None,
    p_ai: Callable[[FloatArray], FloatArray] | None = None,
) -> list[Decision]:
    failures = {f.index: f for f in scores.failures}
    cut = {t.index: t for t in scores.truncated}
    probabilities = p_ai(scores.values) if p_ai is not None else None
    flags = point.flags(scores.values) if point is not None else [None] * scores.values.size
    return [
        Decision(index=i, detector=name, failure=failures[i], truncated=cut.get(i))
        if i in failures
        else Decision(
            index=i,
            detector=name,
            score=float(scores.values[i]),
            p_ai=None if probabilities is None else float(probabilities[i]),
            threshold=None if point is None else point.threshold,
            flagged=flags[i],
            truncated=cut.get(i),
        )
        for i in range(scores.values.size)
    ]
