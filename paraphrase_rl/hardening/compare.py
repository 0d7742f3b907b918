"""One detector before and after hardening: the share of AI texts it flags, and its false positives.

Both are tested on the same texts and in the same draws, so that their difference is a paired one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paraphrase_rl.data.spread import spread
from paraphrase_rl.detection.ensemble import CalibratedEnsemble, Member
from paraphrase_rl.detection.roc import change
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.evaluation.results import ORIGINAL
from paraphrase_rl.evaluation.score_table import ScoreTable
from paraphrase_rl.hardening.records import Defence, Detection, Met, OnHumans
from paraphrase_rl.statistics.bootstrap import (
    Design,
    Flags,
    area_estimate,
    area_of,
    drawn_thresholds,
    share_difference,
)
from paraphrase_rl.statistics.fairness import equal_length_words, fairness_tables
from paraphrase_rl.statistics.records import Estimate, FairnessGap, FalsePositives
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.types import Failure, FloatArray

Text = str | Failure
"""A text to be scored, or why there is none."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """The detector before or after: calibrated, with its scores.

    Attributes:
        label: name in progress reports.
        ensemble: ensemble of this detector alone.
        table: scores of the detector.
    """

    label: str
    ensemble: CalibratedEnsemble
    table: ScoreTable

    @property
    def member(self) -> Member:
        """The detector."""
        return self.ensemble.members[0]

    def scores(self, texts: Sequence[Text], what: str) -> tuple[FloatArray, list[str]]:
        """Score texts, shape (N,), NaN if there is no text or no score; and give the reason for each NaN."""
        there = [(i, text) for i, text in enumerate(texts) if isinstance(text, str)]
        scores = self.table.score([text for _, text in there], f"score {self.label}: {what}")[
            self.member.name
        ]
        values = np.full(len(texts), np.nan)
        values[[i for i, _ in there]] = scores.values
        lost = [*(text for text in texts if isinstance(text, Failure)), *scores.failures]
        return values, [f"{failure.owner}: {failure.message}" for failure in lost]


class Tables:
    """Detection rates of the detector before and after hardening.

    Args:
        plan: plan with the test texts and the human calibration texts.
        before: the detector trained without rewrites, calibrated.
        after: the detector trained with rewrites, calibrated.

    Attributes:
        rewritten_humans: positions of the human test texts that rewriters are given.
    """

    def __init__(self, plan: Plan, before: Side, after: Side) -> None:
        self._plan = plan
        self._sides = (before, after)
        self.rewritten_humans = spread(range(len(plan.human)), plan.texts)
        self._design = Design.of(plan.ai, plan.human, plan.calibration, plan.resamples, plan.seed)
        self._human = [
            side.scores([d.text for d in plan.human], "human test texts")[0] for side in self._sides
        ]
        self._calibration = [
            side.scores([d.text for d in plan.calibration], "calibration humans")[0] for side in self._sides
        ]

    def defence(self, rewriter: str, met: Met, texts: Sequence[Text]) -> Defence:
        """Compare the two detectors on one rewriter's rewrites of the AI test texts, in their order.

        Only texts that both detectors could score count.
        """
        (before, reasons), (after, more) = (
            side.scores(texts, f"AI test texts, {rewriter}") for side in self._sides
        )
        known = np.isfinite(before) & np.isfinite(after)
        pair = (np.where(known, before, np.nan), np.where(known, after, np.nan))
        areas = self._areas(pair, known)
        why = reasons or more
        return Defence(
            rewriter=rewriter,
            met=met,
            points=tuple(self._detection(target, pair) for target in self._plan.target_fprs),
            auroc_before=areas[0],
            auroc_after=areas[1],
            auroc_change=areas[2],
            texts=len(texts),
            failed=int(np.count_nonzero(~known)),
            failure=Counter(why).most_common(1)[0][0] if why else None,
        )

    def on_humans(self, humans: Mapping[str, Sequence[Text]]) -> tuple[OnHumans, OnHumans]:
        """Compute the false positives of the detector before and after hardening.

        Args:
            humans: the texts of ``rewritten_humans`` after each rewriter, by its name; under ``none`` all human test
                texts, original, which are compared at equal length too.
        """
        words = equal_length_words(self._plan.human)
        compared: list[tuple[str, int | None]] = [(ORIGINAL, None)]
        if words is not None:
            compared.append((ORIGINAL, words))
        compared += [(rewriter, None) for rewriter in humans if rewriter != ORIGINAL]
        found = []
        for side, calibration in zip(self._sides, self._calibration, strict=True):
            by_length: dict[int | None, FloatArray] = {None: calibration}
            if words is not None:
                texts = _cut([d.text for d in self._plan.calibration], words)
                by_length[words] = side.scores(texts, f"calibration humans cut to {words} words")[0]
            tables = [
                self._fairness(side, by_length[length], rewriter, humans[rewriter], length)
                for rewriter, length in compared
            ]
            found.append(
                OnHumans(
                    false_positives=tuple(row for rates, _ in tables for row in rates),
                    fairness=tuple(row for _, gaps in tables for row in gaps),
                )
            )
        return found[0], found[1]

    def _fairness(
        self,
        side: Side,
        calibration: FloatArray,
        rewriter: str,
        texts: Sequence[Text],
        words: int | None,
    ) -> tuple[list[FalsePositives], list[FairnessGap]]:
        """False positives of one of the two on human texts as a rewriter left them, cut to ``words``."""
        reference = self._plan.recipe.acceptance.reference_group
        humans, tested = self._plan.calibration, self._plan.human
        rows = np.array(range(len(tested)) if rewriter == ORIGINAL else self.rewritten_humans, dtype=np.int64)
        of_reference = np.array([i for i, d in enumerate(humans) if d.group == reference], dtype=np.int64)
        return fairness_tables(
            [tested[i] for i in rows],
            side.scores(_cut(texts, words), f"human test texts, {rewriter}")[0],
            calibration[of_reference],
            detector=side.member.name,
            rewriter=rewriter,
            deployed={t: side.member.calibration.point(t).threshold for t in self._plan.target_fprs},
            words=words,
            reference=reference,
            drawn=self._design.human.rows(rows),
            calibration_drawn=self._design.calibration.rows(of_reference),
        )

    def _detection(self, target: float, pair: tuple[FloatArray, FloatArray]) -> Detection:
        flags = []
        for side, calibration, scores in zip(self._sides, self._calibration, pair, strict=True):
            thresholds = drawn_thresholds(calibration, target, self._design.calibration)
            flags.append(Flags.at(scores, side.member.calibration.point(target).threshold, thresholds))
        everybody, draws = np.ones(len(pair[0]), dtype=bool), self._design.ai
        before, after = (one.share(everybody, draws) for one in flags)
        moved = share_difference(flags[1], everybody, flags[0], everybody, draws)
        return Detection(target_fpr=target, before=before, after=after, change=moved)

    def _areas(self, pair: tuple[FloatArray, FloatArray], known: np.ndarray) -> list[Estimate]:
        """AUROC before, after, and its change."""
        n = int(known.sum())
        if not n or not all(np.isfinite(human).any() for human in self._human):
            return [Estimate(value=None, n=n)] * 3
        areas = []
        for scores, human in zip(pair, self._human, strict=True):
            scored = np.isfinite(human)
            drawn = self._design.human.rows(scored), self._design.ai.rows(known)
            areas.append(area_of(human[scored], scores[known], *drawn))
        low, high = change(*areas) or (None, None)
        moved = Estimate(value=areas[1].value - areas[0].value, low=low, high=high, n=n)
        return [*(area_estimate(one, n) for one in areas), moved]


def _cut(texts: Sequence[Text], words: int | None) -> list[Text]:
    return [t if words is None or isinstance(t, Failure) else excerpt(t, words) for t in texts]
