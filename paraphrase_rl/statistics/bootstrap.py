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
"""Which text each row is of."""


def resample(units: Sequence[str], resamples: int, seed: int) -> FloatArray:
    """Weights of shape (B, N): how often each row is drawn when its unit is drawn with replacement.

    Args:
        units: shape (N,): the document (or pair of documents) of each row; rows of one unit always go together.
        resamples: B.
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
        calibration: weights of shape (B, M) of the calibration humans, of draws of their own.
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
        """Draws of documents, or of pairs where they have one."""
        tested = resample(units_of([*ai, *human]), resamples, seed)
        return cls(
            ai=tested[:, : len(ai)],
            human=tested[:, len(ai) :],
            calibration=resample(units_of(calibration), resamples, seed + 1),
        )


def units_of(documents: Sequence[Document]) -> list[str]:
    """Units that are resampled together: the pair of a document, or the document."""
    return [f"pair {d.pair}" if d.pair is not None else f"document {d.id}" for d in documents]


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean of each resample, shape (B,), leaving out NaN; NaN where a resample holds nothing known.

    Args:
        values: shape (N,), or (B, N) where the values themselves depend on the resample.
        weights: shape (B, N).
    """
    known = np.isfinite(values)
    weight = weights * known
    total = weight.sum(axis=1)
    summed = (weight * np.where(known, values, 0.0)).sum(axis=1)
    return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)


def weighted_thresholds(scores: FloatArray, target_fpr: float, weights: FloatArray) -> FloatArray:
    """The threshold that each resample of the calibration humans would have set, shape (B,).

    That of :func:`paraphrase_rl.detection.threshold.operating_point` on the scores, each repeated by its weight: the
    (k + 1)-th largest, where k = floor(target_fpr * n) humans may lie above. NaN where a resample holds no score.

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
    """1 where a score lies strictly above the threshold, 0 elsewhere, NaN where either is missing; shape (B, N).

    Args:
        scores: shape (N,).
        thresholds: shape (B,).
    """
    known = np.isfinite(scores) & np.isfinite(thresholds)[:, None]
    return np.where(known, scores > thresholds[:, None], np.nan)


def evaded(before: FloatArray, after: FloatArray) -> FloatArray:
    """Attack success: 1 where a text flagged before is not flagged after, 0 where it still is, NaN elsewhere.

    The mean of it is the attack success rate: texts that were not flagged before cannot be evaded with.

    Args:
        before: shape (B, N), from :func:`flagged`.
        after: likewise.
    """
    return np.where(before == 1.0, 1.0 - after, np.nan)


def weighted_auroc(
    humans: FloatArray, ais: FloatArray, human_weights: FloatArray, ai_weights: FloatArray
) -> FloatArray:
    """AUROC of each resample, shape (B,): P(AI above human) + P(tie) / 2 among the texts drawn.

    :func:`paraphrase_rl.detection.roc.auroc` of the scores, each repeated by its weight. NaN where a resample lacks
    one of the two.

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
    """A figure with the percentile interval of its resamples.

    Args:
        value: the figure on the data; NaN where there is none.
        resampled: shape (B,): the figure in each resample; NaN is left out.
        n: documents it rests on.
    """
    if not np.isfinite(value):
        return Estimate(value=None, n=n)
    known = resampled[np.isfinite(resampled)]
    if n < FEWEST_UNITS or not known.size:
        return Estimate(value=float(value), n=n)
    low, high = np.percentile(known, [TAIL, 100.0 - TAIL])
    return Estimate(value=float(value), low=float(low), high=float(high), n=n)


def share_interval(value: float, resampled: FloatArray, n: int) -> Estimate:
    """:func:`interval` of a share of ``n`` documents, never narrower than the exact one where none or all count.

    A share of 0 or 1 is the same in most resamples, so the percentile interval would have no width; it is then
    widened to that of Clopper and Pearson (1934).
    """
    found = interval(value, resampled, n)
    if found.low is None or found.high is None or found.value not in (0.0, 1.0):
        return found
    low, high = clopper_pearson(n if found.value else 0, n)
    return found.model_copy(update={"low": min(low, found.low), "high": max(high, found.high)})


def known_mean(values: FloatArray) -> float:
    """Mean of those that are not NaN; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def estimate_share(values: FloatArray, resampled: FloatArray) -> Estimate:
    """The share of texts that count, with :func:`share_interval`; each text is a document of its own.

    Args:
        values: shape (N,): 1 where a text counts, 0 where not, NaN where that is not known.
        resampled: shape (B,): the share in each resample.
    """
    return share_interval(known_mean(values), resampled, int(np.isfinite(values).sum()))


def estimate_mean(values: FloatArray, units: Sequence[str], weights: FloatArray) -> Estimate:
    """The mean over rows with its interval by document; NaN rows are left out.

    Args:
        values: shape (N,).
        units: shape (N,): the document of each row.
        weights: shape (B, N), from :func:`resample` of the same units.
    """
    known = np.isfinite(values)
    n = len({unit for unit, is_known in zip(units, known.tolist(), strict=True) if is_known})
    return interval(known_mean(values), weighted_mean(values, weights), n)
