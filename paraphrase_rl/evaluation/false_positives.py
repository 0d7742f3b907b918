"""False positive rates of an evaluation: on human texts as they are, at equal length, and rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.evaluation.panel import Panel
from paraphrase_rl.evaluation.scores import Scored
from paraphrase_rl.statistics.bootstrap import Design
from paraphrase_rl.statistics.fairness import fairness_tables
from paraphrase_rl.statistics.records import FairnessGap, FalsePositives


@dataclass(frozen=True, kw_only=True)
class HumanTexts:
    """Human test texts after one treatment (such as a rewriter), and the calibration texts that set their thresholds.

    Attributes:
        scored: the texts, as they are or rewritten.
        calibration: human calibration texts of the same length.
        words: number of words that both were cut to; ``None`` = whole texts.
    """

    scored: Scored
    calibration: Scored
    words: int | None = None


def false_positive_tables(
    panel: Panel, everybody: Scored, treated: Sequence[HumanTexts], design: Design, reference: str
) -> tuple[list[FalsePositives], list[FairnessGap], list[str]]:
    """Compute false positive rates by detector, treatment and group, gaps to the reference group, and missing ones.

    Args:
        panel: the detectors.
        everybody: all human test texts, from which the draws are.
        treated: texts among these after each treatment.
        design: the draws.
        reference: the group that others are compared with.
    """
    position = {document.id: i for i, document in enumerate(everybody.documents)}
    rates: list[FalsePositives] = []
    gaps: list[FairnessGap] = []
    notes: list[str] = []
    for name, calibration in panel.calibrations.items():
        for texts in treated:
            drawn = np.array([position[d.id] for d in texts.scored.documents], dtype=np.int64)
            try:
                new_rates, new_gaps = fairness_tables(
                    [everybody.documents[i] for i in drawn],
                    texts.scored.scores[name].values,
                    texts.calibration.scores[name].values,
                    detector=name,
                    rewriter=texts.scored.rewriter,
                    target_fprs=[point.target_fpr for point in calibration.points],
                    words=texts.words,
                    reference=reference,
                    drawn=design.human.rows(drawn),
                    calibration_drawn=design.calibration,
                )
            except CalibrationError as error:
                length = f" at {texts.words} words" if texts.words else ""
                notes.append(f"no false positive rates of {name}{length}: {error.message}")
                continue
            rates += new_rates
            gaps += new_gaps
    return rates, gaps, notes
