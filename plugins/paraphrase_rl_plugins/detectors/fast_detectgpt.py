"""Fast-DetectGPT: conditional probability curvature, in closed form."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import (
    DetectorSpec,
    FloatArray,
    TokenStatistics,
    Undefined,
    hookimpl,
    zero_shot_spec,
)


def fast_detectgpt(statistics: TokenStatistics) -> float:
    """Compute (sum of log p - sum of E_p[log p]) / sqrt(sum of Var_p[log p]); higher = more likely AI.

    Bao et al. 2024, the analytic form, where E_p[log p] is minus the entropy. Deviation: one model both
    samples and scores, so that one pass is enough; the paper's black-box setting uses two. The published
    means, deviations and thresholds belong to other models and do not apply here: calibrate.

    Raises:
        Undefined: the model was certain of every token, so that the variance is 0.
    """
    variance = float(np.sum(statistics.variance, dtype=np.float64))
    if variance == 0.0:
        raise Undefined("the model's log-probabilities have no variance")
    surplus = np.sum(statistics.logprob, dtype=np.float64) + np.sum(statistics.entropy, dtype=np.float64)
    return float(surplus) / float(np.sqrt(variance))


def shares(statistics: TokenStatistics) -> FloatArray:
    """Compute what each token adds to the score: (log p - E_p[log p]) / sqrt(sum of the variances)."""
    surplus = statistics.logprob.astype(np.float64) + statistics.entropy.astype(np.float64)
    return surplus / float(np.sqrt(np.sum(statistics.variance, dtype=np.float64)))


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "fast-detectgpt",
            "Conditional probability curvature (analytic, one model)",
            fast_detectgpt,
            shares=shares,
            paper="https://arxiv.org/abs/2310.05130",
        )
    ]
