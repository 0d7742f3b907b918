"""Detection rates of detectors on the texts of rewriters, computed on the data and in every draw.

A draw weights test documents (pairs, if texts are paired) and human calibration texts, and says where the threshold
may lie: with a fixed threshold, intervals would be too narrow. Where the calibration texts are too few to say it, there
is no interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paraphrase_rl.detection.calibration import Calibration
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.panel import Panel
from paraphrase_rl.evaluation.results import Cell, Point, Transfer
from paraphrase_rl.evaluation.scores import Scored
from paraphrase_rl.statistics.bootstrap import (
    Design,
    Flags,
    Indices,
    drawn_thresholds,
    estimate_area,
    evaded,
    known_mean,
    share_interval,
    too_few_humans,
    weighted_share,
)
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import FloatArray


@dataclass(frozen=True)
class Originals:
    """A detector's scores of the original texts, before rewriting.

    Attributes:
        calibration: thresholds of the detector.
        ai: scores of AI texts, shape (N,), NaN if there is no score.
        human: scores of human texts, shape (H,), likewise.
        thresholds: threshold in each draw, shape (B,), by target rate; ``None`` = too few calibration texts.
        humans: calibration texts with a score.
    """

    calibration: Calibration
    ai: FloatArray
    human: FloatArray
    thresholds: Mapping[float, FloatArray | None]
    humans: int

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        ai: FloatArray,
        human: FloatArray,
        calibration_scores: FloatArray,
        target_fprs: Sequence[float],
        design: Design,
        *,
        fixed: bool = False,
    ) -> Originals:
        """Build from scores; ``calibration_scores`` has shape (M,). A ``fixed`` threshold is the same in all draws."""
        thresholds = {
            rate: np.full(len(design.calibration), calibration.point(rate).threshold)
            if fixed
            else drawn_thresholds(calibration_scores, rate, design.calibration)
            for rate in target_fprs
        }
        humans = calibration.n_human if fixed else int(np.isfinite(calibration_scores).sum())
        return cls(calibration, ai, human, thresholds, humans)


@dataclass(frozen=True)
class Figure:
    """A share: its value on the data and in each draw (shape (B,)), and the documents it rests on.

    ``draws`` is ``None`` if the threshold rests on too few texts for an interval.
    """

    value: float
    draws: FloatArray | None
    documents: frozenset[int]

    @property
    def estimate(self) -> Estimate:
        n = len(self.documents)
        if self.draws is None:
            return Estimate(value=self.value if np.isfinite(self.value) else None, n=n)
        return share_interval(self.value, self.draws, n)


@dataclass(frozen=True)
class PointFigures:
    """Detection rates at one threshold."""

    threshold: float
    tpr_before: Figure
    tpr_after: Figure
    attack_success_rate: Figure


@dataclass(frozen=True)
class CellFigures:
    """One rewriter against one detector, not yet formatted; ``rows`` is the number of rewrites that count."""

    rows: int
    auroc_before: Estimate
    auroc_after: Estimate
    points: Mapping[float, PointFigures] = field(default_factory=dict)


def cell_figures(original: Originals, after: FloatArray, documents: Indices, design: Design) -> CellFigures:
    """Compute the results of one rewriter against one detector.

    A rewrite counts only if both it and its source have a score: otherwise a rewriter that fails on hard texts would
        look better than it is.

    Args:
        original: the detector's scores before.
        after: shape (R,): scores of the rewrites.
        documents: shape (R,): which AI text each is a rewrite of.
        design: the draws.
    """
    known = np.isfinite(after) & np.isfinite(original.ai[documents])
    documents, after = documents[known], after[known]
    before, drawn = original.ai[documents], design.ai.rows(documents)
    human = np.isfinite(original.human)

    def share(rows: FloatArray, in_draws: FloatArray | None, of: FloatArray | None = None) -> Figure:
        counted = frozenset(documents[np.isfinite(rows)].tolist())
        draws = None if in_draws is None else weighted_share(in_draws, drawn, drawn.prior, of)
        return Figure(known_mean(rows), draws, counted)

    points = {}
    for target, thresholds in original.thresholds.items():
        threshold = original.calibration.point(target).threshold
        # flagged both before and after is flagged by the lower score
        was, now, still = (
            Flags.at(scores, threshold, thresholds) for scores in (before, after, np.minimum(before, after))
        )
        escaped = None if was.draws is None or still.draws is None else was.draws - still.draws
        points[target] = PointFigures(
            threshold,
            tpr_before=share(was.known, was.draws),
            tpr_after=share(now.known, now.draws),
            attack_success_rate=share(evaded(was.known, now.known), escaped, was.draws),
        )

    def auroc_of(scores: FloatArray) -> Estimate:
        return estimate_area(original.human[human], scores, design.human.rows(human), drawn)

    return CellFigures(int(known.sum()), auroc_of(before), auroc_of(after), points)


def detection_rates(
    panel: Panel,
    original: Scored,
    human: Scored,
    calibration: Scored,
    attacked: Sequence[Scored],
    design: Design,
) -> tuple[list[Cell], list[Transfer], list[str]]:
    """Compute the cells of every rewriter and detector, the originals first, and means by detector family.

    The third result are notes on rates without intervals, because too few calibration texts set the threshold.

    Args:
        panel: the detectors.
        original: AI test texts as they are.
        human: human test texts as they are.
        calibration: human calibration texts.
        attacked: the AI test texts after each rewriter.
        design: the draws.
    """
    if not original.documents:
        return [], [], []
    originals = {
        name: Originals.of(
            known,
            original.scores[name].values,
            human.scores[name].values,
            calibration.scores[name].values,
            [point.target_fpr for point in known.points],
            design,
            fixed=name in panel.fixed,
        )
        for name, known in panel.calibrations.items()
    }
    cells: list[Cell] = []
    transfers: list[Transfer] = []
    for scored in (original, *attacked):
        families: dict[tuple[str, bool], dict[str, CellFigures]] = {}
        for info in panel.infos:
            if info.name not in originals:
                failure = info.failure or "not calibrated"
                cells.append(empty_cell(scored.rewriter, info.name, len(scored.rows), failure))
                continue
            after = scored.scores[info.name]
            figures = cell_figures(originals[info.name], after.values, scored.positions, design)
            before = {failure.index: failure for failure in original.scores[info.name].failures}
            reasons = [failure.message for failure in after.failures] + [
                before[row.document].message
                for row, value in zip(scored.rows, after.values, strict=True)
                if row.document in before and np.isfinite(value)
            ]
            cells.append(
                cell_record(
                    scored.rewriter, info.name, figures, len(scored.rows), reasons, len(after.truncated)
                )
            )
            if info.name != COMBINED and cells[-1].points:
                families.setdefault((info.family, info.trained_against), {})[info.name] = figures
        for (family, trained_against), figures_by_name in families.items():
            transfers += transfer(scored.rewriter, family, trained_against, figures_by_name)
    return cells, transfers, _without_intervals(originals.values())


def _without_intervals(originals: Collection[Originals]) -> list[str]:
    rates = dict.fromkeys(rate for original in originals for rate in original.thresholds)
    fewest = {rate: min(o.humans for o in originals if rate in o.thresholds) for rate in rates}
    return [why for rate, n in fewest.items() if (why := too_few_humans(rate, n))]


def cell_record(
    rewriter: str,
    detector: str,
    figures: CellFigures,
    texts: int,
    reasons: Sequence[str],
    truncated: int = 0,
) -> Cell:
    """Build the record of one rewriter against one detector, as it is saved.

    Args:
        rewriter: its label.
        detector: its name.
        figures: result of :func:`cell_figures`.
        texts: number of rewrites that there should be.
        reasons: for each rewrite that does not count, the reason why.
        truncated: number of rewrites of which the detector read only the beginning.
    """
    return Cell(
        rewriter=rewriter,
        detector=detector,
        auroc_before=figures.auroc_before,
        auroc_after=figures.auroc_after,
        points=tuple(
            Point(
                target_fpr=target,
                threshold=point.threshold,
                tpr_before=point.tpr_before.estimate,
                tpr_after=point.tpr_after.estimate,
                attack_success_rate=point.attack_success_rate.estimate,
            )
            for target, point in figures.points.items()
            if figures.rows
        ),
        texts=texts,
        failed=texts - figures.rows,
        truncated=truncated,
        failure=Counter(reasons).most_common(1)[0][0] if reasons else None,
    )


def empty_cell(rewriter: str, detector: str, texts: int, failure: str) -> Cell:
    """Build the record of a rewriter against a detector that has no results, with the reason."""
    nothing = Estimate(value=None, n=0)
    return Cell(
        rewriter=rewriter,
        detector=detector,
        auroc_before=nothing,
        auroc_after=nothing,
        texts=texts,
        failed=texts,
        failure=failure,
    )


def transfer(
    rewriter: str,
    family: str,
    trained_against: bool,
    cells: Mapping[str, CellFigures],
) -> list[Transfer]:
    """Average a rewriter's detection rates over one family of detectors, one row per target rate.

    Args:
        rewriter: its label.
        family: family of the detectors.
        trained_against: whether these detectors are in the ensemble of the recipe.
        cells: results by detector, of the detectors that have results.
    """
    targets = list(dict.fromkeys(target for figures in cells.values() for target in figures.points))
    rows = []
    for target in targets:
        points = [figures.points[target] for figures in cells.values()]
        rows.append(
            Transfer(
                rewriter=rewriter,
                family=family,
                trained_against=trained_against,
                detectors=tuple(cells),
                target_fpr=target,
                tpr_before=_mean([point.tpr_before for point in points]),
                tpr_after=_mean([point.tpr_after for point in points]),
                attack_success_rate=_mean([point.attack_success_rate for point in points]),
            )
        )
    return rows


def _mean(figures: Sequence[Figure]) -> Estimate:
    """The mean over the detectors that have the figure, the same ones in each draw."""
    known = [figure for figure in figures if np.isfinite(figure.value)]
    if not known:
        return Estimate(value=None, n=0)
    documents = frozenset[int]().union(*(figure.documents for figure in known))
    draws = [figure.draws for figure in known if figure.draws is not None]
    mean = float(np.mean([figure.value for figure in known]))
    return Figure(mean, np.mean(draws, axis=0) if len(draws) == len(known) else None, documents).estimate
