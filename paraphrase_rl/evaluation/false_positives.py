"""False positive rates of an evaluation: on human texts as they are, at equal length, and rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    for name, calibration in panel.calibrations.items():
        for texts in treated:
            drawn = np.array([position[d.id] for d in texts.scored.documents], dtype=np.int64)
            humans = texts.calibration.documents
            of_reference = np.array([i for i, d in enumerate(humans) if d.group == reference], dtype=np.int64)
            new_rates, new_gaps = fairness_tables(
                [everybody.documents[i] for i in drawn],
                texts.scored.scores[name].values,
                texts.calibration.scores[name].values[of_reference],
                detector=name,
                rewriter=texts.scored.rewriter,
                deployed={point.target_fpr: point.threshold for point in calibration.points},
                words=texts.words,
                reference=reference,
                drawn=design.human.rows(drawn),
                calibration_drawn=design.calibration.rows(of_reference),
            )
            rates += new_rates
            gaps += new_gaps
    few = sum(d.group == reference for d in treated[0].calibration.documents)
    both = [{f"{g.target_fpr:g}" for g in gaps if g.threshold == of} for of in ("deployed", "reference")]
    notes = []
    if lacking := sorted(both[0] - both[1]):
        notes.append(
            f"no gaps at the threshold of {reference} alone for {', '.join(lacking)}: n too small, "
            f"{few} of the calibration texts are human and of {reference}"
        )
    return rates, gaps, notes
