"""Bootstrap intervals by document: the units that are resampled are documents, never single rewrites.

Resamples are weights, so that one set of them serves every figure of an evaluation and differences stay paired.
Percentile intervals (Efron & Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.detection.threshold import clopper_pearson
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import Document, FloatArray

TAIL = 2.5
FEWEST_UNITS = 2
"""With fewer documents there is no interval."""
Indices = NDArray[np.int64]
"""Position of the text of each row."""


def resample(units: Sequence[str], resamples: int, seed: int) -> FloatArray:
    """Draw weights of shape (B, N): how often each row is drawn when units are drawn with replacement.

    Args:
        units: shape (N,): the document (or pair of documents) of each row; rows of one unit always go together.
        resamples: number B of resamples.
        seed: the same seed and units give the same weights.
    """
    names, inverse = np.unique(np.asarray(units, dtype=object).astype(str), return_inverse=True)
    if not names.size:
        return np.zeros((resamples, 0))
    draws = np.random.default_rng(seed).multinomial(
        names.size, np.full(names.size, 1.0 / names.size), resamples
    )
    return draws[:, inverse].astype(np.float64)


@dataclass(frozen=True)
class Design:
    """The documents of an evaluation and how often each is drawn in each resample.

    Attributes:
        ai: weights of shape (B, N) of the AI test texts.
        human: weights of shape (B, H) of the human test texts, of the same draws.
        calibration: weights of shape (B, M) of the human calibration texts, drawn independently.
    """

    ai: FloatArray
    human: FloatArray
    calibration: FloatArray

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
            ai=tested[:, : len(ai)],
            human=tested[:, len(ai) :],
            calibration=resample(units_of(calibration), resamples, seed + 1),
        )


def units_of(documents: Sequence[Document]) -> list[str]:
    """Return the unit of each document, which is resampled as a whole: its pair, or else the document itself."""
    return [f"pair {d.pair}" if d.pair is not None else f"document {d.id}" for d in documents]


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Compute the mean in each resample, shape (B,), leaving out NaN; NaN for a resample without known values.

    Args:
        values: shape (N,), or (B, N) if the values themselves depend on the resample.
        weights: shape (B, N).
    """
    known = np.isfinite(values)
    weight = weights * known
    total = weight.sum(axis=1)
    summed = (weight * np.where(known, values, 0.0)).sum(axis=1)
    return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)


def weighted_thresholds(scores: FloatArray, target_fpr: float, weights: FloatArray) -> FloatArray:
    """Compute the threshold in each resample of the human calibration texts, shape (B,).

    It is that of :func:`paraphrase_rl.detection.threshold.operating_point` on the scores, each repeated by its
    weight: the (k + 1)-th largest score, where k = floor(target_fpr * n) may lie above. NaN for a resample without a
    score.

    Args:
        scores: shape (M,); NaN is left out.
        target_fpr: in (0, 1).
        weights: whole numbers of shape (B, M), as :func:`resample` gives them.
    """
    known = np.isfinite(scores)
    descending = np.flatnonzero(known)[np.argsort(-scores[known], kind="stable")]
    if not descending.size:
        return np.full(len(weights), np.nan)
    drawn = np.cumsum(weights[:, descending], axis=1)
    n = drawn[:, -1]
    allowed = np.minimum(np.floor(target_fpr * n + 1e-9), n - 1.0)  # 0.29 * 100 is 28.999999999999996
    position = np.argmax(drawn >= (allowed + 1.0)[:, None], axis=1)
    return np.where(n > 0.0, scores[descending[position]], np.nan)


def flagged(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Compare scores with thresholds, shape (B, N): 1 if strictly above, 0 if not, NaN if either is missing.

    Args:
        scores: shape (N,).
        thresholds: shape (B,).
    """
    known = np.isfinite(scores) & np.isfinite(thresholds)[:, None]
    return np.where(known, scores > thresholds[:, None], np.nan)


def evaded(before: FloatArray, after: FloatArray) -> FloatArray:
    """Mark attack success: 1 if a text flagged before is not flagged after, 0 if it still is, else NaN.

    The mean is the attack success rate, in which texts that were not flagged before do not count.

    Args:
        before: shape (B, N), from :func:`flagged`.
        after: likewise.
    """
    return np.where(before == 1.0, 1.0 - after, np.nan)


def weighted_auroc(
    humans: FloatArray, ais: FloatArray, human_weights: FloatArray, ai_weights: FloatArray
) -> FloatArray:
    """Compute the AUROC in each resample, shape (B,): P(AI above human) + P(tie) / 2 among the texts drawn.

    It is :func:`paraphrase_rl.detection.roc.auroc` of the scores, each repeated by its weight. NaN for a resample
    without human or without AI texts.

    Args:
        humans: shape (H,), finite.
        ais: shape (N,), finite.
        human_weights: shape (B, H).
        ai_weights: shape (B, N).
    """
    order = np.argsort(humans, kind="stable")
    drawn = np.zeros((len(human_weights), humans.size + 1))
    np.cumsum(human_weights[:, order], axis=1, out=drawn[:, 1:])
    below = drawn[:, np.searchsorted(humans[order], ais, side="left")]
    not_above = drawn[:, np.searchsorted(humans[order], ais, side="right")]
    pairs = drawn[:, -1] * ai_weights.sum(axis=1)
    wins = (ai_weights * (below + not_above)).sum(axis=1) / 2.0
    return np.where(pairs > 0.0, wins / np.where(pairs > 0.0, pairs, 1.0), np.nan)


def interval(value: float, resampled: FloatArray, n: int) -> Estimate:
    """Combine a value with the percentile interval of its resamples.

    Args:
        value: the value on the data; NaN if there is none.
        resampled: shape (B,): the value in each resample; NaN is left out.
        n: number of documents that the value rests on.
    """
    if not np.isfinite(value):
        return Estimate(value=None, n=n)
    known = resampled[np.isfinite(resampled)]
    if n < FEWEST_UNITS or not known.size:
        return Estimate(value=float(value), n=n)
    low, high = np.percentile(known, [TAIL, 100.0 - TAIL])
    return Estimate(value=float(value), low=float(low), high=float(high), n=n)


def share_interval(value: float, resampled: FloatArray, n: int) -> Estimate:
    """Combine a share of ``n`` documents with its interval: that of :func:`interval`, widened if the share is 0 or 1.

    A share of 0 or 1 is the same in most resamples, so the percentile interval would have no width; it is then
    widened to that of Clopper and Pearson (1934).
    """
    found = interval(value, resampled, n)
    if found.low is None or found.high is None or found.value not in (0.0, 1.0):
        return found
    low, high = clopper_pearson(n if found.value else 0, n)
    return found.model_copy(update={"low": min(low, found.low), "high": max(high, found.high)})


def known_mean(values: FloatArray) -> float:
    """Compute the mean of the values that are not NaN; NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def estimate_share(values: FloatArray, resampled: FloatArray) -> Estimate:
    """Compute the share of texts that count, with :func:`share_interval`; each text is a document of its own.

    Args:
        values: shape (N,): 1 if a text counts, 0 if not, NaN if that is not known.
        resampled: shape (B,): the share in each resample.
    """
    return share_interval(known_mean(values), resampled, int(np.isfinite(values).sum()))


def estimate_mean(values: FloatArray, units: Sequence[str], weights: FloatArray) -> Estimate:
    """Compute the mean over rows with its interval, resampling documents; NaN rows are left out.

    Args:
        values: shape (N,).
        units: shape (N,): the document of each row.
        weights: shape (B, N), from :func:`resample` of the same units.
    """
    known = np.isfinite(values)
    n = len({unit for unit, is_known in zip(units, known.tolist(), strict=True) if is_known})
    return interval(known_mean(values), weighted_mean(values, weights), n)
