"""False positive rates by group of writers, at one threshold for all groups, and the gaps between them.

The threshold is set on human calibration texts. Intervals resample the human test texts and the calibration texts
together, and set the threshold again in each resample: a rate is only as certain as its threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.errors import DataError
from paraphrase_rl.statistics.bootstrap import (
    estimate_share,
    flagged,
    interval,
    weighted_mean,
    weighted_thresholds,
)
from paraphrase_rl.statistics.records import Estimate, FairnessGap, FalsePositives
from paraphrase_rl.types import Document, FloatArray

EVERYBODY = "all"
"""Name in the tables for all human texts, with or without a group."""
FEWEST_WORDS = 50
"""Number of words below which detectors are unreliable; groups are compared at this length or more if possible."""


def groups_of(humans: Sequence[Document]) -> list[str]:
    """Return the groups of writers, sorted.

    Raises:
        DataError: a group is called "all".
    """
    groups = sorted({d.group for d in humans if d.group is not None})
    if EVERYBODY in groups:
        raise DataError(
            f"a group of writers is called {EVERYBODY!r}, which is reserved for all groups together",
            "rename this group in the data",
        )
    return groups


def equal_length_words(humans: Sequence[Document]) -> int | None:
    """Choose the length in words at which groups are compared; ``None`` if cutting texts would change nothing.

    A score depends on length, and groups may write at different lengths, so that a gap between groups may be due to
    length alone. The length chosen is the smallest of the groups' lower quartiles: three quarters of the texts of
    every group are as long. If that is below :data:`FEWEST_WORDS`, it is raised to that number, but not above the
    group's median.
    """
    lengths = [
        np.array([len(d.text.split()) for d in humans if d.group == group]) for group in groups_of(humans)
    ]
    if len(lengths) < 2:
        return None
    words = int(min(max(np.percentile(n, 25), min(FEWEST_WORDS, np.median(n))) for n in lengths))
    return words if any(n.max() > words for n in lengths) else None


def fairness_tables(
    humans: Sequence[Document],
    scores: FloatArray,
    calibration: FloatArray,
    *,
    detector: str,
    rewriter: str,
    target_fprs: Sequence[float],
    words: int | None,
    reference: str,
    weights: FloatArray,
    calibration_weights: FloatArray,
) -> tuple[list[FalsePositives], list[FairnessGap]]:
    """Compute false positive rates of all human texts and of each group, and gaps to the reference group.

    Texts without a score (NaN) are left out, and ``n`` is the number of those that remain (of both groups for a
    gap). If the reference group has no texts, there are rates and no gaps.

    A group of which none or all are flagged is the same in most resamples, so the percentile interval says too
    little: the rate's interval is then widened to the exact one (Clopper-Pearson), and that of a gap it takes part
    in is put together from the intervals of the two rates, see :func:`share_difference`.

    Args:
        humans: N human texts.
        scores: shape (N,): of these texts, as rewritten by ``rewriter`` and cut to ``words``; higher = more likely
            AI.
        calibration: shape (M,): scores of human calibration texts, never rewritten, cut to ``words`` likewise.
        detector: name of the detector.
        rewriter: name of the rewriter that rewrote the texts.
        target_fprs: false positive rates that thresholds aim at.
        words: number of words that texts are cut to; ``None`` = whole texts.
        reference: the group that the others are compared with.
        weights: shape (B, N), from :func:`~paraphrase_rl.statistics.bootstrap.resample`.
        calibration_weights: shape (B, M), likewise.

    Raises:
        CalibrationError: fewer than two calibration texts have a score.
        DataError: a group is called "all".
    """
    groups = groups_of(humans)
    members = {group: np.array([d.group == group for d in humans], dtype=bool) for group in groups}
    members[EVERYBODY] = np.ones(len(humans), dtype=bool)
    rates: list[FalsePositives] = []
    gaps: list[FairnessGap] = []
    for target in target_fprs:
        threshold = operating_point(calibration[np.isfinite(calibration)], target).threshold
        thresholds = weighted_thresholds(calibration, target, calibration_weights)
        known = flagged(scores, np.array([threshold]))[0]
        resampled = flagged(scores, thresholds)
        values = {name: known[chosen] for name, chosen in members.items()}
        draws = {
            name: weighted_mean(resampled[:, chosen], weights[:, chosen]) for name, chosen in members.items()
        }
        found = {name: estimate_share(values[name], draws[name]) for name in members}
        about = {"rewriter": rewriter, "detector": detector, "target_fpr": target, "words": words}
        rates += [FalsePositives(group=name, rate=found[name], **about) for name in (EVERYBODY, *groups)]
        gaps += [
            FairnessGap(
                group=group,
                reference=reference,
                gap=share_difference(
                    found[group],
                    found[reference],
                    draws[group] - draws[reference],
                    found[group].n + found[reference].n,
                ),
                **about,
            )
            for group in groups
            if group != reference and reference in found
        ]
    return rates, gaps


def share_difference(share: Estimate, reference: Estimate, resampled: FloatArray, n: int) -> Estimate:
    """Compute the difference of two shares, ``share - reference``, with its interval.

    That is the percentile interval of the resampled differences. If one of the shares is 0 or 1, resamples show too
    little variation, and the interval is that of :func:`square_and_add`, which is too wide rather than too narrow if
    both shares are of the same texts.

    Args:
        share: from :func:`~paraphrase_rl.statistics.bootstrap.share_interval`.
        reference: likewise.
        resampled: shape (B,): the difference in each resample.
        n: documents it rests on.
    """
    if share.value is None or reference.value is None:
        return Estimate(value=None, n=n)
    value = share.value - reference.value
    if share.low is None or reference.low is None:
        return Estimate(value=value, n=n)
    if _is_extreme(share) or _is_extreme(reference):
        low, high = square_and_add(share, reference)
        return Estimate(value=value, low=low, high=high, n=n)
    return interval(value, resampled, n)


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


def _is_extreme(rate: Estimate) -> bool:
    return rate.value in (0.0, 1.0)


def _known(rate: Estimate) -> tuple[float, float, float]:
    if rate.value is None or rate.low is None or rate.high is None:
        raise ValueError("a rate without an interval")
    return rate.value, rate.low, rate.high
