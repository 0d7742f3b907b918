"""Figures of one detector from cross-fitted scores, and their differences to another's.

Every text is tested once, at a threshold that was set on human texts of other folds. Intervals resample documents (or
pairs) and set the thresholds again in each resample; all detectors are resampled alike, so that differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paraphrase_rl.comparison.folds import Folds, Mask
from paraphrase_rl.detection.ensemble import combine_probabilities
from paraphrase_rl.detection.probability import ProbabilityMap, fit_probability
from paraphrase_rl.detection.roc import auroc
from paraphrase_rl.detection.threshold import clopper_pearson, operating_point
from paraphrase_rl.statistics.bootstrap import (
    estimate_share,
    flagged,
    interval,
    known_mean,
    weighted_mean,
    weighted_thresholds,
)
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import FloatArray

FEWEST_ALLOWED = 2.0
"""An interval of a rate at a threshold is shown where the rate allows at least so many calibration humans above it.

At 1 % and 100 humans, where 1 is allowed, 95 % intervals cover .77; at 179 humans .92, at 500 .94 (measured).
"""
BINS = 10
Z95 = 1.959963984540054


@dataclass(frozen=True)
class CrossFitted:
    """Scores of one detector.

    Attributes:
        name: name of the detector.
        scores: shape (K, N): in fold k, the scores of the detector that is used there; NaN where one is missing. All
            rows are equal for a detector that needs no training.
        trained: whether it was trained inside the folds.
        failures: number of texts without a score.
        seconds: CPU seconds for all texts.
        reason: why there are no scores at all; empty if there are.
    """

    name: str
    scores: FloatArray
    trained: bool = False
    failures: int = 0
    seconds: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Sample:
    """The texts that detectors are compared on.

    Attributes:
        human: shape (N,): which texts are human; the others are AI.
        folds: fold of each text.
        weights: shape (B, N): how often each text is drawn in each resample.
    """

    human: Mask
    folds: Folds
    weights: FloatArray


@dataclass(frozen=True)
class Flags:
    """Texts flagged at cross-fitted thresholds of one rate.

    Attributes:
        known: shape (N,): 1 if flagged, 0 if not, NaN without a score.
        resampled: shape (B, N), at the thresholds of each resample.
        fewest_humans: human texts with a score that the threshold of a fold rests on, the fewest of all folds.
    """

    known: FloatArray
    resampled: FloatArray
    fewest_humans: int


def flags_at(detector: CrossFitted, sample: Sample, rate: float) -> Flags:
    """Flag every text at the threshold of its fold.

    Args:
        detector: scores of the detector.
        sample: the texts.
        rate: target false positive rate, in (0, 1).

    Raises:
        CalibrationError: fewer than two human texts of a fold have a score.
    """
    known = np.full(sample.human.size, np.nan)
    resampled = np.full(sample.weights.shape, np.nan)
    fewest = sample.human.size
    for fold in range(sample.folds.count):
        scores = detector.scores[fold]
        on = sample.folds.calibrated(fold, trained=detector.trained) & sample.human & np.isfinite(scores)
        tested = np.flatnonzero(sample.folds.tested(fold) & np.isfinite(scores))
        threshold = operating_point(scores[on], rate).threshold
        known[tested] = scores[tested] > threshold
        drawn = weighted_thresholds(scores[on], rate, sample.weights[:, on])
        resampled[:, tested] = flagged(scores[tested], drawn)
        fewest = min(fewest, int(on.sum()))
    return Flags(known, resampled, fewest)


def rate_of(flags: Flags, sample: Sample, chosen: Mask, rate: float) -> Estimate:
    """Compute the share of some texts that are flagged; without an interval where too few humans set the threshold.

    Args:
        flags: from :func:`flags_at`.
        sample: the texts.
        chosen: shape (N,): which texts count.
        rate: target false positive rate of the flags.
    """
    draws = weighted_mean(flags.resampled[:, chosen], sample.weights[:, chosen])
    found = estimate_share(flags.known[chosen], draws)
    if rate * flags.fewest_humans < FEWEST_ALLOWED - 1e-9:
        return found.model_copy(update={"low": None, "high": None})
    return found


def difference(flags: Flags, best: Flags, sample: Sample) -> Estimate:
    """Compute the difference of two true positive rates, ``flags - best``, on the same texts and resamples."""
    ai = ~sample.human
    both = ai & np.isfinite(flags.known) & np.isfinite(best.known)
    value = known_mean(flags.known[both]) - known_mean(best.known[both])
    draws = [weighted_mean(f.resampled[:, both], sample.weights[:, both]) for f in (flags, best)]
    return interval(value, draws[0] - draws[1], int(both.sum()))


def area(detector: CrossFitted, sample: Sample) -> Estimate:
    """Compute the AUROC with an interval that knows n.

    For a detector without training it is that of all texts. One that is trained in each fold has scores on scales of
    their own: the mean over folds, each weighted by its pairs of texts.

    The interval is that of DeLong et al. 1988 on the logit scale, which stays within (0, 1). Where all AI texts score
    above all human ones it is that of Clopper and Pearson for as many successes as the rarer label has texts: a
    variance of zero says nothing.
    """
    if not detector.trained:
        return _area(*_sides(detector.scores[0], sample.human))
    parts = []
    for fold in range(sample.folds.count):
        tested = sample.folds.tested(fold)
        humans, ais = _sides(detector.scores[fold][tested], sample.human[tested])
        if humans.size and ais.size:
            parts.append((humans.size * ais.size, _moments(humans, ais), min(humans.size, ais.size)))
    if not parts:
        return Estimate(value=None, n=0)
    total = sum(pairs for pairs, _, _ in parts)
    value = sum(pairs * moment[0] for pairs, moment, _ in parts) / total
    variance = sum((pairs / total) ** 2 * moment[1] for pairs, moment, _ in parts)
    return _logit_interval(value, variance, sum(rarer for _, _, rarer in parts))


def _area(humans: FloatArray, ais: FloatArray) -> Estimate:
    if not humans.size or not ais.size:
        return Estimate(value=None, n=0)
    return _logit_interval(*_moments(humans, ais), min(humans.size, ais.size))


def _moments(humans: FloatArray, ais: FloatArray) -> tuple[float, float]:
    """AUROC and DeLong's variance of it; the variance is NaN where a label has a single text."""
    order = np.sort(humans)
    below = (np.searchsorted(order, ais, side="left") + np.searchsorted(order, ais, side="right")) / (
        2.0 * humans.size
    )
    order = np.sort(ais)
    above = 1.0 - (
        np.searchsorted(order, humans, side="left") + np.searchsorted(order, humans, side="right")
    ) / (2.0 * ais.size)
    if min(humans.size, ais.size) < 2:
        return auroc(humans, ais), math.nan
    return auroc(humans, ais), float(below.var(ddof=1) / ais.size + above.var(ddof=1) / humans.size)


def _logit_interval(value: float, variance: float, rarer: int) -> Estimate:
    if not math.isfinite(variance):
        return Estimate(value=value, n=rarer)
    if not 0.0 < value < 1.0 or variance == 0.0:
        low, high = clopper_pearson(round(value * rarer), rarer)
        return Estimate(value=value, low=min(low, value), high=max(high, value), n=rarer)
    logit, half = math.log(value / (1.0 - value)), Z95 * math.sqrt(variance) / (value * (1.0 - value))
    low, high = (1.0 / (1.0 + math.exp(-x)) for x in (logit - half, logit + half))
    return Estimate(value=value, low=low, high=high, n=rarer)


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
