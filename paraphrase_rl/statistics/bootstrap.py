"""Intervals of rates at estimated thresholds, of means, and of their differences: Bayesian bootstrap by document.

The units that are drawn are documents, never single rewrites. Each draw gives every document a weight from the
exponential distribution (Rubin 1981, Annals of Statistics 9, 130), so that one set of draws serves every figure of an
evaluation and differences stay paired. Four additions make intervals hold what they say where a plain bootstrap does
not (`tests/benchmarks/bench_coverage.py` prints how often they do):

- **Thresholds.** The shares of a population between the sorted scores of n texts drawn from it follow
  Dirichlet(1, ..., 1) over n + 1 gaps, whatever the population (the joint distribution of uniform spacings). A draw of
  these shares says where the threshold of the whole population lies: possibly above the highest score, which no
  resampling of scores can show.
- **What a moved threshold changes** is read off smoothed samples, as in a smoothed bootstrap (Silverman & Young 1987,
  Biometrika 74, 469): else the texts that happen to lie between the threshold that was set and the drawn one count a
  second time, and intervals of attack success, and of differences of detectors that rank texts nearly alike, hold the
  truth in 98 to 99 % of samples. Both sides are means over near values, as far as :data:`NEAR` standard deviations: of
  the threshold's rank among the human scores, and of the threshold. Nothing is smoothed where human scores near the
  threshold repeat, as those of a detector with a few answers do: their distribution has steps.
- **Differences of the same texts** at uncertain thresholds are centred on the difference that is shown. The mean of the
  draws is over many thresholds and so errs less than that difference, whose error the spread of the draws is: around
  their mean, intervals of detectors that rank texts nearly alike hold the truth in 99 % of samples.
- **Shares** of k among m texts get Jeffreys's prior, half a text that counts and half a text that does not (Brown, Cai
  & DasGupta 2001, Statistical Science 16, 101), or k = 0 would leave no doubt. Two shares of the same texts that are
  compared get half a text for each of the four outcomes (Agresti & Min 2005, Statistics in Medicine 24, 729): with two
  detectors that hardly ever differ, few texts tell how often they do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.detection.roc import Z95, Area, area, units_of
from paraphrase_rl.detection.threshold import clopper_pearson
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import Document, FloatArray

TAIL = 0.025
FEWEST_UNITS = 2
"""With fewer documents there is no interval."""
NEAR = 1.5
"""How far smoothing reaches to either side, in standard deviations."""
STEPS = 0.25
"""Share of equal neighbours among the human scores near a threshold from which their distribution has steps."""
Indices = NDArray[np.int64]
"""Position of the text of each row."""
Chosen = NDArray[np.bool_]
"""Which texts, shape (N,)."""


@dataclass(frozen=True)
class Resamples:
    """B draws of documents.

    Attributes:
        weights: shape (B, N): weight of each row; its mean is 1, and rows of one document have the same.
        units: shape (N,): number of the document of each row.
        documents: number of documents that units number.
        lowest: shape (B,): weight of the scores below the lowest one.
        prior: shape (B, 2): weights of the prior of a share: a text that counts, one that does not. Their mean is one
            half, as of all priors.
        independent: shape (B, 2): likewise for a share of other texts.
        paired: shape (B, 4): weights of the prior of two shares of the same texts that are compared: a text that counts
            in both, in the first, in the second, in neither.
    """

    weights: FloatArray
    units: Indices
    documents: int
    lowest: FloatArray
    prior: FloatArray
    independent: FloatArray
    paired: FloatArray

    def __len__(self) -> int:
        return len(self.weights)

    def rows(self, chosen: Indices | Chosen | slice) -> Resamples:
        """Return the same draws of some rows, in their order; a row may be chosen several times."""
        return replace(self, weights=self.weights[:, chosen], units=self.units[chosen])

    @property
    def first(self) -> FloatArray:
        """Prior of the first of two compared shares, shape (B, 2): what counts, what does not."""
        both, one, other, neither = self.paired.T
        return np.stack([both + one, other + neither], axis=1)

    @property
    def second(self) -> FloatArray:
        """Prior of the second one, likewise."""
        both, one, other, neither = self.paired.T
        return np.stack([both + other, one + neither], axis=1)


def resample(units: Sequence[str], resamples: int, seed: int) -> Resamples:
    """Draw weights of rows.

    Args:
        units: shape (N,): the document (or pair of documents) of each row; rows of one unit always go together.
        resamples: number B of draws.
        seed: the same seed and units give the same draws.
    """
    names, inverse = np.unique(np.asarray(units, dtype=object).astype(str), return_inverse=True)
    draw = np.random.default_rng(seed)
    drawn = draw.exponential(size=(resamples, names.size))
    return Resamples(
        weights=drawn[:, inverse],
        units=inverse.astype(np.int64),
        documents=names.size,
        lowest=draw.exponential(size=resamples),
        prior=draw.gamma(0.5, size=(resamples, 2)),
        independent=draw.gamma(0.5, size=(resamples, 2)),
        paired=draw.gamma(0.5, size=(resamples, 4)),
    )


@dataclass(frozen=True)
class Design:
    """The documents of an evaluation and their weights in each draw.

    Attributes:
        ai: of the N AI test texts.
        human: of the H human test texts, in the same draws: a pair of an AI and a human text goes together.
        calibration: of the M human calibration texts, drawn independently.
    """

    ai: Resamples
    human: Resamples
    calibration: Resamples

    @classmethod
    def of(
        cls,
        ai: Sequence[Document],
        human: Sequence[Document],
        calibration: Sequence[Document],
        resamples: int,
        seed: int,
    ) -> Design:
        """Draw documents, or whole pairs of documents that belong to a pair."""
        tested = resample(units_of([*ai, *human]), resamples, seed)
        return cls(
            ai=tested.rows(slice(len(ai))),
            human=tested.rows(slice(len(ai), None)),
            calibration=resample(units_of(calibration), resamples, seed + 1),
        )


def fewest_humans(target_fpr: float) -> int:
    """Compute how many human texts a rate needs for intervals at its threshold: 72 at 5 %, 368 at 1 %.

    With fewer, all of them may lie below the true threshold with a probability above 2.5 %, so that the true positive
    rate has no lower bound: (1 - rate)^n > 0.025.
    """
    return math.ceil(math.log(TAIL) / math.log1p(-target_fpr))


def too_few_humans(target_fpr: float, n: int) -> str | None:
    """Return why there are no intervals at the threshold of n human texts; ``None`` if there are."""
    least = fewest_humans(target_fpr)
    if n >= least:
        return None
    return (
        f"n too small for {100 * target_fpr:g} %: no intervals at this rate, thresholds rest on {n} human texts and "
        f"intervals need {least}"
    )


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Compute the mean in each draw, shape (B,), leaving out NaN; NaN for a draw without known values.

    Args:
        values: shape (N,), or (B, N) if the values themselves depend on the draw.
        weights: shape (B, N).
    """
    known = np.isfinite(values)
    weight = weights * known
    total = weight.sum(axis=1)
    summed = (weight * np.where(known, values, 0.0)).sum(axis=1)
    return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)


def weighted_share(
    values: FloatArray, drawn: Resamples, prior: FloatArray, of: FloatArray | None = None
) -> FloatArray:
    """Compute the share of rows that count in each draw, shape (B,), with a prior of one or two documents.

    Args:
        values: 1 if a row counts, 0 if not, NaN if that is not known; shape (N,), or (B, N) if it depends on the draw.
            Smoothed flags may lie between 0 and 1 or a little outside; the share is cut to [0, 1].
        drawn: weights of the rows.
        prior: shape (B, 2), one of those of the draws.
        of: likewise, how much each row counts as one that the share is of; known where ``values`` are. ``None`` = every
            known row counts 1.
    """
    known = np.isfinite(values)
    whole = bool(known.all())

    def sum_of(rows: FloatArray) -> FloatArray:
        counts = np.broadcast_to(rows if whole else np.where(known, rows, 0.0), drawn.weights.shape)
        found: FloatArray = np.einsum("bn,bn->b", drawn.weights, counts)
        return found

    if of is not None:
        total = np.maximum(sum_of(of), 0.0)
    else:
        total = drawn.weights.sum(axis=1) if whole else (drawn.weights * known).sum(axis=1)
    counted = np.clip(sum_of(values), 0.0, total)
    documents = np.unique(drawn.units).size
    rows = drawn.units.size / documents if documents else 1.0
    found: FloatArray = (counted + rows * prior[:, 0]) / (total + rows * prior.sum(axis=1))
    return found


def drawn_thresholds(scores: FloatArray, target_fpr: float, drawn: Resamples) -> FloatArray | None:
    """Draw the threshold above which a share ``target_fpr`` of the whole human population lies, shape (B,).

    ``None`` if the texts are too few to say where it lies, see :func:`fewest_humans`.

    The weight of a text is the share between its score and the next higher one. Within the gap where the threshold
    lies, shares are taken as proportional to distance. The threshold is the mean of those at near ranks, up to
    :data:`NEAR` standard deviations of a rank, unless many of the scores there tie: then gaps have no width, and the
    threshold is often the very score that ties. Infinite if the threshold lies above all scores.

    Args:
        scores: shape (M,); NaN is left out.
        target_fpr: in (0, 1).
        drawn: draws of the M texts.
    """
    known = np.flatnonzero(np.isfinite(scores))
    if known.size < fewest_humans(target_fpr):
        return None
    weights = drawn.weights if known.size == scores.size else drawn.weights[:, known]
    target = target_fpr * (weights.sum(axis=1) + drawn.lowest)
    order = np.argsort(-scores[known], kind="stable")
    first = int(4 * target_fpr * known.size) + 50  # the threshold hardly ever lies below so many
    above = np.cumsum(weights[:, order[:first]], axis=1)
    if first < known.size and (above[:, -1] <= target).any():
        above = np.cumsum(weights[:, order], axis=1)
    over = np.count_nonzero(above <= target[:, None], axis=1)  # texts above the threshold
    ordered, draws = scores[known[order]], np.arange(len(drawn))
    upper, lower = np.maximum(over - 1, 0), np.minimum(over, known.size - 1)
    within = (target - above[draws, upper]) / weights[draws, order[lower]]
    rank = upper + np.clip(within, 0.0, 1.0) * (lower - upper)
    reach = NEAR * math.sqrt(known.size * target_fpr * (1.0 - target_fpr))
    read = slice(max(math.floor(rank.min() - reach), 0), math.ceil(rank.max() + reach) + 2)
    steps = np.count_nonzero(np.diff(ordered[read]) == 0.0) >= STEPS * max(ordered[read].size - 1, 1)
    return np.where(over > 0, _mean_near(ordered, rank, 0.0 if steps else reach), np.inf)


def _mean_near(values: FloatArray, rank: FloatArray, reach: float) -> FloatArray:
    """Compute the mean of values, interpolated, over [rank - reach, rank + reach], less far where they end."""
    last = values.size - 1
    half = np.minimum(reach, np.minimum(rank, last - rank))
    area = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2.0)])

    def integral(at: FloatArray) -> FloatArray:
        left = np.minimum(at.astype(np.int64), max(last - 1, 0))
        part = at - left
        found: FloatArray = area[left] + part * (
            values[left] + part / 2.0 * (values[np.minimum(left + 1, last)] - values[left])
        )
        return found

    smoothed = (integral(rank + half) - integral(rank - half)) / np.where(half > 1e-6, 2.0 * half, 1.0)
    return np.where(half > 1e-6, smoothed, np.interp(rank, np.arange(values.size), values))


def flagged(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Compare scores with thresholds, shape (B, N): 1 if strictly above, 0 if not, NaN if either is missing.

    Args:
        scores: shape (N,).
        thresholds: shape (B,).
    """
    known = np.isfinite(scores) & ~np.isnan(thresholds)[:, None]
    return np.where(known, scores > thresholds[:, None], np.nan)


def evaded(before: FloatArray, after: FloatArray) -> FloatArray:
    """Mark attack success: 1 if a text flagged before is not flagged after, 0 if it still is, else NaN.

    The mean is the attack success rate, in which texts that were not flagged before do not count.

    Args:
        before: any shape, from :func:`flagged`.
        after: likewise.
    """
    return np.where(before == 1.0, 1.0 - after, np.nan)


def interval(value: float, drawn: FloatArray, n: int) -> Estimate:
    """Combine a value with the percentile interval of its draws, which always holds the value.

    Args:
        value: the value on the data; NaN if there is none.
        drawn: shape (B,): the value in each draw; NaN is left out.
        n: number of documents that the value rests on.
    """
    return _between(value, drawn, n, TAIL)


def _between(value: float, drawn: FloatArray, n: int, tail: float) -> Estimate:
    if not np.isfinite(value):
        return Estimate(value=None, n=n)
    known = drawn[np.isfinite(drawn)]
    if n < FEWEST_UNITS or not known.size:
        return Estimate(value=float(value), n=n)
    # of a few hundred draws, numpy's usual method would cut off more than the tail
    low, high = np.quantile(known, [tail, 1.0 - tail], method="weibull")
    return Estimate(value=float(value), low=min(float(low), value), high=max(float(high), value), n=n)


def share_interval(value: float, drawn: FloatArray, n: int) -> Estimate:
    """Combine a share of ``n`` documents with its interval: that of :func:`interval`, wider if the share is 0 or 1.

    It is then widened to that of Clopper and Pearson (1934), which is exact where nothing or everything counts.
    """
    found = interval(value, drawn, n)
    if found.low is None or found.high is None or found.value not in (0.0, 1.0):
        return found
    low, high = clopper_pearson(n if found.value else 0, n)
    return found.model_copy(update={"low": min(low, found.low), "high": max(high, found.high)})


def known_mean(values: FloatArray) -> float:
    """Compute the mean of the values that are not NaN; NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True)
class Flags:
    """Texts flagged at a threshold.

    Attributes:
        known: shape (N,): 1 if flagged, 0 if not, NaN without a score.
        draws: at the threshold of each draw, shape (B, N), or (N,) if it is the same in all; ``None`` if too few humans
            set it for an interval. It is ``known`` plus the smoothed change from the threshold that was set to that of
            the draw, in [-0.5, 1.5]: of one text it means nothing, weighted sums of many are of texts flagged.
    """

    known: FloatArray
    draws: FloatArray | None

    @property
    def as_set(self) -> Flags:
        """The same flags for figures of the very threshold that was set, whatever rate it aims at."""
        return Flags(self.known, self.known)

    @property
    def is_as_set(self) -> bool:
        """True if the threshold is the same in all draws."""
        return self.draws is not None and self.draws.ndim == 1

    @classmethod
    def at(cls, scores: FloatArray, threshold: float, thresholds: FloatArray | None) -> Flags:
        """Flag texts at a threshold, and at those of the draws, shape (B,), ``None`` = none."""
        known = flagged(scores, np.array([threshold]))[0]
        if thresholds is None:
            return cls(known, None)
        if (thresholds == threshold).all():
            return cls(known, known)
        reach = _reach(thresholds)
        if not reach:
            return cls(known, flagged(scores, thresholds))
        return cls(
            known,
            known
            + _flagged_near(scores, thresholds, reach)
            - _flagged_near(scores, np.array([threshold]), reach),
        )

    def share(self, chosen: Chosen, drawn: Resamples) -> Estimate:
        """Compute the share of some texts that is flagged, with its interval; each text is a document of its own.

        Args:
            chosen: which texts, shape (N,).
            drawn: draws of the N texts.
        """
        value, n = known_mean(self.known[chosen]), int(np.isfinite(self.known[chosen]).sum())
        if self.draws is None:
            return Estimate(value=None if math.isnan(value) else value, n=n)
        return share_interval(value, self._in_draws(chosen, drawn, drawn.prior), n)

    def _in_draws(self, chosen: Chosen, drawn: Resamples, prior: FloatArray) -> FloatArray:
        assert self.draws is not None
        return weighted_share(self.draws[..., chosen], drawn.rows(chosen), prior)


def _reach(thresholds: FloatArray) -> float:
    """Compute how far thresholds are smoothed: not at all if they repeat, as they do where scores do."""
    finite = thresholds[np.isfinite(thresholds)]
    if np.unique(finite).size < max(finite.size, 2):
        return 0.0
    low, high = np.quantile(finite, [0.16, 0.84])  # one standard deviation to either side, but for outliers
    return NEAR * float(high - low) / 2.0


def _flagged_near(scores: FloatArray, thresholds: FloatArray, reach: float) -> FloatArray:
    """Compute the share of thresholds within reach of each that flags each text, shape (B, N); NaN without a score."""
    return np.clip((scores - thresholds[:, None]) / (2.0 * reach) + 0.5, 0.0, 1.0)


def share_difference(
    flags: Flags, chosen: Chosen, reference: Flags, reference_chosen: Chosen, drawn: Resamples
) -> Estimate:
    """Compute how much larger the flagged share of some texts is than a reference share, with its interval.

    The two are of the same texts, flagged by two detectors, or of different texts. If they are of different texts, the
    interval at thresholds as set is that of :func:`agresti_caffo`, and at uncertain ones, if one of the shares is 0 or
    1, that of :func:`square_and_add`.

    Args:
        flags: flags of the share.
        chosen: texts that it is of, shape (N,).
        reference: flags of the reference share.
        reference_chosen: texts that it is of, the same or none of them.
        drawn: draws of the N texts.
    """
    paired = np.array_equal(chosen, reference_chosen)
    first, second = flags.share(chosen, drawn), reference.share(reference_chosen, drawn)
    n = first.n if paired else first.n + second.n
    if first.value is None or second.value is None:
        return Estimate(value=None, n=n)
    value = first.value - second.value
    if first.low is None or second.low is None:
        return Estimate(value=value, n=n)
    if not paired and flags.is_as_set and reference.is_as_set:
        low, high = agresti_caffo(first.value, first.n, second.value, second.n)
        return Estimate(value=value, low=low, high=high, n=n)
    if not paired and {first.value, second.value} & {0.0, 1.0}:
        low, high = square_and_add(first, second)
        return Estimate(value=value, low=low, high=high, n=n)
    prior, other_prior = (drawn.first, drawn.second) if paired else (drawn.prior, drawn.independent)
    in_draws = flags._in_draws(chosen, drawn, prior) - reference._in_draws(
        reference_chosen, drawn, other_prior
    )
    if paired and not (flags.is_as_set and reference.is_as_set):
        in_draws = np.clip(in_draws + (value - in_draws.mean()), -1.0, 1.0)
    return interval(value, in_draws, n)


def agresti_caffo(p: float, n: int, q: float, m: int) -> tuple[float, float]:
    """Compute the interval of a difference of two proportions, ``p - q``, of n and of m texts.

    Agresti & Caffo 2000 (The American Statistician 54, 280): a text that counts and one that does not are added to
    each, then the normal interval is taken. It is as good where counts are small or 0, and always holds ``p - q``.
    """
    more = (n * p + 1.0) / (n + 2.0), (m * q + 1.0) / (m + 2.0)
    half = Z95 * math.sqrt(more[0] * (1.0 - more[0]) / (n + 2.0) + more[1] * (1.0 - more[1]) / (m + 2.0))
    middle = more[0] - more[1]
    return max(middle - half, -1.0), min(middle + half, 1.0)


def square_and_add(rate: Estimate, reference: Estimate) -> tuple[float, float]:
    """Compute the interval of a difference of two proportions, ``rate - reference``, from the interval of each.

    Newcombe 1998 (Statistics in Medicine 17, 873), method 10: the distances from each proportion to its limits are
    squared and added. He uses Wilson's limits; the rule holds for other limits as well (Zou & Donner 2008, Statistics
    in Medicine 27, 1693), and here they are those of the table of rates, so that the two tables agree.
    """
    p, low, high = _known(rate)
    q, reference_low, reference_high = _known(reference)
    return (
        p - q - math.hypot(p - low, reference_high - q),
        p - q + math.hypot(high - p, q - reference_low),
    )


def _known(rate: Estimate) -> tuple[float, float, float]:
    if rate.value is None or rate.low is None or rate.high is None:
        raise ValueError("a rate without an interval")
    return rate.value, rate.low, rate.high


def estimate_area(humans: FloatArray, ais: FloatArray, human: Resamples, ai: Resamples) -> Estimate:
    """Compute an AUROC with its interval, see :attr:`paraphrase_rl.detection.roc.Area.interval`.

    Args:
        humans: shape (H,), finite.
        ais: shape (N,), finite.
        human: draws of the H texts, for the documents that they belong to.
        ai: draws of the N texts, of the same documents.
    """
    if not humans.size or not ais.size:
        return Estimate(value=None, n=0)
    return area_estimate(area_of(humans, ais, human, ai), np.unique(ai.units).size)


def area_of(humans: FloatArray, ais: FloatArray, human: Resamples, ai: Resamples) -> Area:
    """Compute an AUROC with its uncertainty by document; the arguments are those of :func:`estimate_area`."""
    return area(humans, ais, human.units, ai.units, ai.documents)


def area_estimate(found: Area, n: int) -> Estimate:
    """Write an AUROC that rests on n documents as an estimate."""
    low, high = found.interval or (None, None)
    return Estimate(value=found.value, low=low, high=high, n=n)


def estimate_mean(values: FloatArray, drawn: Resamples) -> Estimate:
    """Compute the mean over rows with its interval; NaN rows are left out.

    The percentiles allow for Student's t and for the n - 1 of a variance (after the expanded
    percentile interval of Hesterberg 2015, The American Statistician 69, 371).

    Args:
        values: shape (N,).
        drawn: draws of the rows.
    """
    known = np.isfinite(values)
    n = np.unique(drawn.units[known]).size
    tail = TAIL
    if n >= FEWEST_UNITS:
        from scipy.special import ndtr, stdtrit  # scipy.stats takes five times as long to import

        tail = float(ndtr(math.sqrt((n + 1) / (n - 1)) * stdtrit(n - 1, TAIL)))
    return _between(known_mean(values), weighted_mean(values, drawn.weights), n, tail)
