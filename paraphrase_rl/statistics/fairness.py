"""False positive rates by group of writers, at one threshold for all groups, and the gaps between them.

Two thresholds: the **deployed** one, of the detector's calibration, which is what writers meet; and the one that the
human calibration texts of the **reference** group alone would set. The calibration texts of the other group raise the
deployed threshold, which hides a gap from it, so that both are told. The deployed threshold is fixed, and intervals
draw the human test texts. For the reference group's own, they draw its calibration texts too, and the threshold in each
draw: a rate is only as certain as its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.errors import DataError
from paraphrase_rl.statistics.bootstrap import (
    Flags,
    Resamples,
    drawn_thresholds,
    share_difference,
)
from paraphrase_rl.statistics.records import FairnessGap, FalsePositives, ThresholdOf
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
    deployed: Mapping[float, float],
    words: int | None,
    reference: str,
    drawn: Resamples,
    calibration_drawn: Resamples,
) -> tuple[list[FalsePositives], list[FairnessGap]]:
    """Compute false positive rates of all human texts and of each group, and gaps to the reference group.

    At the deployed thresholds; and at those of the reference group, for the rates that its calibration texts are
    enough for, see :attr:`~paraphrase_rl.detection.threshold.OperatingPoint.is_shown`.

    Texts without a score (NaN) are left out, and ``n`` is the number of those that remain (of both groups for a
    gap). If the reference group has no texts, there are rates and no gaps.

    Without an interval at the reference's threshold where too few calibration texts set it, see
    :func:`~paraphrase_rl.statistics.bootstrap.fewest_humans`. The interval of a group of which none or all are flagged
    is widened to the exact one (Clopper-Pearson). For those of gaps see
    :func:`~paraphrase_rl.statistics.bootstrap.share_difference`.

    Args:
        humans: N human texts.
        scores: shape (N,): of these texts, as rewritten by ``rewriter`` and cut to ``words``; higher = more likely
            AI.
        calibration: shape (M,): scores of the reference group's human calibration texts, never rewritten, cut to
            ``words`` likewise.
        detector: name of the detector.
        rewriter: name of the rewriter that rewrote the texts.
        deployed: threshold of the calibration by the false positive rate that it aims at.
        words: number of words that texts are cut to; ``None`` = whole texts.
        reference: the group that the others are compared with.
        drawn: draws of the N texts.
        calibration_drawn: draws of the M texts.

    Raises:
        DataError: a group is called "all".
    """
    groups = groups_of(humans)
    members = {group: np.array([d.group == group for d in humans], dtype=bool) for group in groups}
    members[EVERYBODY] = np.ones(len(humans), dtype=bool)
    rates: list[FalsePositives] = []
    gaps: list[FairnessGap] = []
    for target, which, flags in _flags(scores, deployed, calibration, calibration_drawn):
        about = {
            "rewriter": rewriter,
            "detector": detector,
            "target_fpr": target,
            "words": words,
            "threshold": which,
        }
        rates += [
            FalsePositives(group=name, rate=flags.share(members[name], drawn), **about)
            for name in (EVERYBODY, *groups)
        ]
        gaps += [
            FairnessGap(
                group=group,
                reference=reference,
                gap=share_difference(flags, members[group], flags, members[reference], drawn),
                **about,
            )
            for group in groups
            if group != reference and reference in members
        ]
    return rates, gaps


def _flags(
    scores: FloatArray, deployed: Mapping[float, float], calibration: FloatArray, drawn: Resamples
) -> Iterator[tuple[float, ThresholdOf, Flags]]:
    """Target rate, which threshold, and the texts flagged at it."""
    set_by = calibration[np.isfinite(calibration)]
    for target, threshold in deployed.items():
        yield target, "deployed", Flags.at(scores, threshold, None).as_set
        if set_by.size >= 2 and (own := operating_point(set_by, target)).is_shown:
            in_draws = drawn_thresholds(calibration, target, drawn)
            yield target, "reference", Flags.at(scores, own.threshold, in_draws)
