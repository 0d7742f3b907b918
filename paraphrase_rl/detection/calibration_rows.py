"""Rows of a calibration, one per detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paraphrase_rl.detection.calibration import Calibration
from paraphrase_rl.detection.ensemble import COMBINED, CalibratedEnsemble
from paraphrase_rl.detection.roc import Units, area, units_of
from paraphrase_rl.detection.scoring import score_documents
from paraphrase_rl.detection.threshold import OperatingPoint, clopper_pearson
from paraphrase_rl.stored import select
from paraphrase_rl.types import Document, Label, Scores

HUMAN: Label = "human"
AI: Label = "ai"
WORST = "worst: "
"""Beginning of :attr:`CalibrationRow.population` in the row of a deployed threshold."""


@dataclass(frozen=True, kw_only=True)
class CalibrationRow:
    """One detector, or the ensemble of them, at the target false positive rate.

    A calibration on several human populations has a row with the deployed threshold, then one for each population
    with the threshold that it would have alone.

    Attributes:
        detector: its name; ``ensemble`` for the combination.
        population: human texts that the row is of; of a deployed threshold, ``worst: NAME`` of those that set it;
            ``None`` where there is one population.
        deployed_fpr: share of the population's texts above the deployed threshold; ``None`` where there is one.
        n_human: human calibration texts with a score.
        n_ai: AI calibration texts with a score.
        failed: calibration texts without a score.
        threshold: a text is flagged where its score is strictly above it.
        target_fpr: target false positive rate, in (0, 1).
        achieved_fpr: share of the calibration's human texts above the threshold.
        fpr_low: lower bound of the true false positive rate for texts drawn like the calibration's, 95 % confidence.
        fpr_high: upper bound of the true false positive rate.
        smallest_fpr: the smallest target rate that this number of human texts can keep, 1 / (n + 1).
        tied: human texts whose score equals the threshold; 1 = no ties.
        tpr_in_sample: share of the calibration's AI texts that are flagged; ``None`` without AI texts.
        tpr_low: lower end of its exact 95 % interval, at this very threshold.
        tpr_high: upper end.
        auroc_test: AUROC on the test split; ``None`` if that lacks scored texts of a label, or is not known.
        auroc_low: lower end of its 95 % interval, see :attr:`paraphrase_rl.detection.roc.Area.interval`.
        auroc_high: upper end.
    """

    detector: str
    n_human: int
    n_ai: int
    failed: int
    threshold: float
    target_fpr: float
    achieved_fpr: float
    fpr_low: float
    fpr_high: float
    smallest_fpr: float
    tied: int
    population: str | None = None
    deployed_fpr: float | None = None
    tpr_in_sample: float | None = None
    tpr_low: float | None = None
    tpr_high: float | None = None
    auroc_test: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None


def saved_rows(record: Calibration) -> list[CalibrationRow]:
    """Build the rows of a saved calibration, without scoring a text: the deployed one, then of its populations."""
    worst = record.worst()
    deployed = replace(
        _row(record, record.target),
        n_ai=record.n_ai,
        failed=record.failed_human + record.failed_ai,
        population=None if worst is None else f"{WORST}{worst}",
        deployed_fpr=None if worst is None else record.target.achieved_fpr,
    )
    return [
        deployed,
        *(
            replace(_row(record, p.points[0]), population=p.name, deployed_fpr=p.flagged[0] / p.n_human)
            for p in record.populations
        ),
    ]


def _row(record: Calibration, point: OperatingPoint) -> CalibrationRow:
    return CalibrationRow(
        detector=record.detector,
        n_human=point.n_human,
        n_ai=0,
        failed=0,
        threshold=point.threshold,
        target_fpr=point.target_fpr,
        achieved_fpr=point.achieved_fpr,
        fpr_low=point.low,
        fpr_high=point.high,
        smallest_fpr=point.smallest_fpr,
        tied=point.tied,
    )


def measured_rows(
    ensemble: CalibratedEnsemble, calibration: Sequence[Document], test: Sequence[Document]
) -> list[CalibrationRow]:
    """Build one row per detector and one for their ensemble; scores the AI texts again, and the test split.

    Args:
        ensemble: ensemble that is calibrated on the texts of ``calibration``.
        calibration: texts of the calibration split, without those that a detector was trained on.
        test: texts of the test split, without those that a detector was trained on.
    """
    seen, human, ai = (
        _all_scores(ensemble, select(documents, label=label))
        for documents, label in ((calibration, AI), (test, HUMAN), (test, AI))
    )
    units = _units(select(test, label=HUMAN), select(test, label=AI))
    return [
        row
        for record in ensemble.calibrations.records
        for row in _measured(
            record, seen[record.detector], human[record.detector], ai[record.detector], units
        )
    ]


def _units(human: Sequence[Document], ai: Sequence[Document]) -> tuple[Units, Units]:
    """Number the units of human and of AI texts, from 0, in one numbering."""
    numbers: dict[str, int] = {}

    def numbered(documents: Sequence[Document]) -> Units:
        units = units_of(documents)
        return np.array([numbers.setdefault(unit, len(numbers)) for unit in units], dtype=np.int64)

    return numbered(human), numbered(ai)


def _all_scores(ensemble: CalibratedEnsemble, documents: Sequence[Document]) -> Mapping[str, Scores]:
    scores = score_documents(ensemble.detectors, documents)
    if ensemble.combined is not None:
        scores[COMBINED] = ensemble.probabilities_of(scores)[1]
    return scores


def _measured(
    record: Calibration, seen: Scores, human: Scores, ai: Scores, units: tuple[Units, Units]
) -> list[CalibrationRow]:
    n_ai = int(seen.scored.sum())
    flagged = int((seen.values[seen.scored] > record.target.threshold).sum())
    tpr = (flagged / n_ai, *clopper_pearson(flagged, n_ai)) if n_ai else (None, None, None)
    tested = None
    if human.scored.any() and ai.scored.any():
        of_human, of_ai = units[0][human.scored], units[1][ai.scored]
        tested = area(
            human.values[human.scored],
            ai.values[ai.scored],
            of_human,
            of_ai,
            1 + max(of_human.max(), of_ai.max()),
        )
    low, high = (tested and tested.interval) or (None, None)
    deployed, *of_populations = saved_rows(record)
    measured = replace(
        deployed,
        n_ai=n_ai,
        failed=record.failed_human + len(seen.failures),
        tpr_in_sample=tpr[0],
        tpr_low=tpr[1],
        tpr_high=tpr[2],
        auroc_test=tested.value if tested else None,
        auroc_low=low,
        auroc_high=high,
    )
    return [measured, *of_populations]
