"""Figures of one detector from cross-fitted scores, and their differences to another's.

Every text is tested once, at a threshold that was set on human texts of other folds. Intervals of true positive rates
draw documents (or pairs) and with them the threshold of every fold; the draws of all detectors are the same, so that
differences are paired. False positive rates are of the thresholds as set: at that of the whole population they would be
the rate that it aims at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paraphrase_rl.comparison.folds import Folds, Mask
from paraphrase_rl.detection.ensemble import combine_probabilities
from paraphrase_rl.detection.probability import ProbabilityMap, fit_probability
from paraphrase_rl.detection.roc import pooled
from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.statistics.bootstrap import (
    Flags,
    Resamples,
    area_estimate,
    area_of,
    drawn_thresholds,
    share_difference,
)
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import FloatArray

BINS = 10
FEWEST_FLAGGED = 5
"""Texts of two groups together that must be expected above the threshold for an interval of their gap."""


@dataclass(frozen=True)
class CrossFitted:
    """Scores of one detector.

    Attributes:
        name: name of the detector.
        scores: shape (K, N): in fold k, the scores of the detector that is used there; NaN where one is missing. All
            rows are equal for a detector that needs no training.
        trained: whether it was trained inside the folds.
        failures: number of texts without a score.
        truncated: number of texts that were not read whole.
        seconds: CPU seconds for all texts.
        reason: why there are no scores at all; empty if there are.
    """

    name: str
    scores: FloatArray
    trained: bool = False
    failures: int = 0
    truncated: int = 0
    seconds: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Sample:
    """The texts that detectors are compared on.

    Attributes:
        human: shape (N,): which texts are human; the others are AI.
        folds: fold of each text.
        drawn: draws of the texts.
    """

    human: Mask
    folds: Folds
    drawn: Resamples


def flags_at(detector: CrossFitted, sample: Sample, rate: float) -> tuple[Flags, int]:
    """Flag every text at the threshold of its fold.

    The thresholds of the folds of a detector without training estimate one threshold, that of the population, and
    hardly differ; together they rest on all human texts, and so does the threshold in a draw. A detector that is
    trained has a threshold of its own in each fold, which rests on the humans of one fold alone. Without draws, and so
    without intervals, if these humans are too few for them.

    Args:
        detector: scores of the detector.
        sample: the texts.
        rate: target false positive rate, in (0, 1).

    Returns:
        The flags, and the human texts with a score that the threshold of a fold rests on, the fewest of all folds.

    Raises:
        CalibrationError: fewer than two human texts of a fold have a score.
    """
    known = np.full(sample.human.size, np.nan)
    draws: FloatArray | None = np.full(sample.drawn.weights.shape, np.nan)
    fewest = sample.human.size
    for fold in range(sample.folds.count):
        scores = detector.scores[fold]
        on = sample.folds.calibrated(fold, trained=detector.trained) & sample.human & np.isfinite(scores)
        tested = np.flatnonzero(sample.folds.tested(fold) & np.isfinite(scores))
        drawn_from = on if detector.trained else sample.human & np.isfinite(scores)
        thresholds = drawn_thresholds(scores[drawn_from], rate, sample.drawn.rows(drawn_from))
        found = Flags.at(scores[tested], operating_point(scores[on], rate).threshold, thresholds)
        known[tested] = found.known
        if found.draws is None:
            draws = None
        elif draws is not None:
            draws[:, tested] = found.draws
        fewest = min(fewest, int(on.sum()))
    return Flags(known, draws), fewest


def difference(flags: Flags, best: Flags, sample: Sample) -> Estimate:
    """Compute the difference of two true positive rates, ``flags - best``, on the same texts and in the same draws.

    Where humans are too few to say where thresholds lie, the interval is of the thresholds as set.
    """
    if flags.draws is None or best.draws is None:
        flags, best = flags.as_set, best.as_set
    both = ~sample.human & np.isfinite(flags.known) & np.isfinite(best.known)
    return share_difference(flags, both, best, both, sample.drawn)


def fewest_of_gap(rate: float) -> int:
    """Compute how many human texts two groups need for an interval of their gap: 100 at 5 %, 500 at 1 %."""
    return math.ceil(round(FEWEST_FLAGGED / rate, 6))


def group_gap(flags: Flags, group: Mask, reference: Mask, sample: Sample, rate: float) -> Estimate:
    """Compute the false positive rate of a group minus that of a reference group, at the thresholds as set.

    Without an interval where they have fewer texts than :func:`fewest_of_gap`. The thresholds are set on the texts that
    are tested, so that of all nearly as many are flagged as the rate asks for. An interval for counts that vary freely
    is too wide for such counts, and where they are small it holds the truth in 99 % of samples.

    Args:
        flags: flags of all N texts.
        group: human texts of the group, shape (N,).
        reference: human texts of the reference group, shape (N,).
        sample: the texts.
        rate: target false positive rate of the thresholds, in (0, 1).
    """
    gap = share_difference(flags.as_set, group, flags.as_set, reference, sample.drawn)
    if gap.n < fewest_of_gap(rate):
        return Estimate(value=gap.value, n=gap.n)
    return gap


def auroc_of(detector: CrossFitted, sample: Sample) -> Estimate:
    """Compute the AUROC with its interval, see :attr:`paraphrase_rl.detection.roc.Area.interval`.

    For a detector without training it is that of all texts. One that is trained in each fold has scores on scales of
    their own: the mean over folds, each weighted by its pairs of texts.
    """
    parts, pairs = [], []
    for fold in range(sample.folds.count if detector.trained else 1):
        scores = detector.scores[fold]
        tested = np.isfinite(scores) & (sample.folds.tested(fold) if detector.trained else True)
        sides = (tested & sample.human, tested & ~sample.human)
        if all(side.any() for side in sides):
            parts.append(area_of(*(scores[side] for side in sides), *map(sample.drawn.rows, sides)))
            pairs.append(float(sides[0].sum() * sides[1].sum()))
    if not parts:
        return Estimate(value=None, n=0)
    whole = pooled(parts, pairs)
    return area_estimate(whole, whole.n)


def _sides(scores: FloatArray, human: Mask) -> tuple[FloatArray, FloatArray]:
    known = np.isfinite(scores)
    return scores[human & known], scores[~human & known]


def probability_maps(detector: CrossFitted, sample: Sample) -> list[ProbabilityMap | None]:
    """Fit P(AI) for each fold on the texts that its thresholds are set on; ``None`` without scores of both labels."""
    found: list[ProbabilityMap | None] = []
    for fold in range(sample.folds.count):
        on = sample.folds.calibrated(fold, trained=detector.trained)
        humans, ais = _sides(np.where(on, detector.scores[fold], np.nan), sample.human)
        found.append(fit_probability(humans, ais) if humans.size and ais.size else None)
    return found


@dataclass(frozen=True)
class Reliability:
    """Agreement of P(AI) with the labels, both labels weighted alike, as P(AI) assumes equal odds.

    Attributes:
        brier: mean squared difference of P(AI) and label, in [0, 1], lower is better; .25 = always one half.
        ece: expected calibration error in ten bins of equal width, in [0, 1], lower is better (Naeini et al. 2015).
        bins: of each bin that has texts: mean P(AI), share of AI texts, number of texts.
    """

    brier: float = math.nan
    ece: float = math.nan
    bins: tuple[tuple[float, float, int], ...] = field(default=())


def reliability(probabilities: FloatArray, human: Mask) -> Reliability:
    """Compute the reliability of P(AI), shape (N,); NaN is left out."""
    known = np.isfinite(probabilities)
    p, is_ai = probabilities[known], (~human[known]).astype(np.float64)
    if not p.size or is_ai.min() == is_ai.max():
        return Reliability()
    weight = np.where(is_ai == 1.0, 0.5 / is_ai.sum(), 0.5 / (1.0 - is_ai).sum())
    which = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    bins, ece = [], 0.0
    for b in np.unique(which):
        inside = which == b
        total = float(weight[inside].sum())
        mean, share = float(weight[inside] @ p[inside]) / total, float(weight[inside] @ is_ai[inside]) / total
        ece += total * abs(mean - share)
        bins.append((mean, share, int(inside.sum())))
    return Reliability(float(weight @ (p - is_ai) ** 2), ece, tuple(bins))


def tested_probabilities(
    detector: CrossFitted, maps: Sequence[ProbabilityMap | None], sample: Sample
) -> FloatArray:
    """Compute P(AI) of every text by the map of its fold, shape (N,); ``maps`` are its :func:`probability_maps`."""
    found = np.full(sample.human.size, np.nan)
    for fold, fitted in enumerate(maps):
        tested = sample.folds.tested(fold)
        if fitted is not None:
            found[tested] = fitted(detector.scores[fold][tested])
    return found


def ensemble_of(
    detectors: Sequence[CrossFitted],
    maps: Mapping[str, Sequence[ProbabilityMap | None]],
    sample: Sample,
    name: str,
) -> CrossFitted:
    """Combine detectors: the mean of their P(AI), by the maps of each fold. A text counts if any member scores it."""
    trained = any(detector.trained for detector in detectors)
    scores = np.full((sample.folds.count, sample.human.size), np.nan)
    for fold in range(sample.folds.count):
        votes = np.array(
            [
                fitted(detector.scores[fold])
                for detector in detectors
                if (fitted := maps[detector.name][fold]) is not None
            ]
        )
        if votes.size:
            scores[fold] = combine_probabilities(votes, np.ones(len(votes)), "mean")
    failures = int((~np.isfinite(scores).all(axis=0)).sum())
    return CrossFitted(name, scores, trained=trained, failures=failures)
