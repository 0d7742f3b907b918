"""Quality of rewrites that evade, by how far: those nearest to the threshold against those farthest below it.

An attack that is paid for escaping deeper than the threshold asks pays with quality. Rewrites that evade are ordered
by their score, and the half nearest to the threshold is compared with the other half, in the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paraphrase_rl.detection.calibration import Calibration
from paraphrase_rl.evaluation.results import EscapeDepth
from paraphrase_rl.evaluation.rewrite_quality import Measured
from paraphrase_rl.evaluation.scores import Scored
from paraphrase_rl.statistics.bootstrap import (
    FEWEST_UNITS,
    Resamples,
    estimate_mean,
    interval,
    known_mean,
    weighted_mean,
)


def escape_depths(
    calibration: Calibration,
    original: Scored,
    scored: Scored,
    measured: Sequence[Measured],
    drawn: Resamples,
) -> list[EscapeDepth]:
    """Compare the quality of one rewriter's rewrites at the threshold and beyond it, a row for each metric.

    A rewrite evades if its text was flagged before, and it is not flagged. With an odd number of them the middle one
    counts as near the threshold.

    Args:
        calibration: of the detector that is evaded, at whose target rate the threshold is.
        original: the texts as they are, N documents.
        scored: R rewrites of them.
        measured: metrics of each rewrite.
        drawn: draws of the texts.

    Returns:
        No row if fewer than two rewrites are in a half.
    """
    detector, threshold = calibration.detector, calibration.target.threshold
    after, before = scored.scores[detector].values, original.scores[detector].values[scored.positions]
    evading = np.flatnonzero((before > threshold) & (after <= threshold))
    nearest_first = evading[np.argsort(-after[evading], kind="stable")]
    at, beyond = np.split(nearest_first, [(nearest_first.size + 1) // 2])
    if beyond.size < FEWEST_UNITS:
        return []
    halves = [(half, drawn.rows(scored.positions[half])) for half in (at, beyond)]
    rows = []
    for name in dict.fromkeys(name for row in measured for name in row.metrics):
        values = np.array([row.metrics.get(name) for row in measured], dtype=np.float64)  # None becomes NaN
        (near, near_drawn), (far, far_drawn) = ((values[half], rows_drawn) for half, rows_drawn in halves)
        change = weighted_mean(far, far_drawn.weights) - weighted_mean(near, near_drawn.weights)
        there = np.isfinite(values[nearest_first])
        n = np.unique(scored.positions[nearest_first][there]).size
        rows.append(
            EscapeDepth(
                rewriter=scored.rewriter,
                detector=detector,
                metric=name,
                at=estimate_mean(near, near_drawn),
                beyond=estimate_mean(far, far_drawn),
                change=interval(known_mean(far) - known_mean(near), change, n),
            )
        )
    return rows
