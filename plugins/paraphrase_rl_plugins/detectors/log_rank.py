"""Mean logarithm of the tokens' ranks: AI text takes the model's first choices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, FloatArray, TokenStatistics, hookimpl, zero_shot_spec


def log_rank(statistics: TokenStatistics) -> float:
    """Compute minus the mean of ln(rank), rank 1 = the likeliest token; at most 0, higher = more likely AI.

    Mitchell et al. 2023 (DetectGPT), section 5. Tokens of equal logit share the smallest rank; a sort, as in
    the paper's code, would order them at random.
    """
    return -float(np.mean(np.log(statistics.rank, dtype=np.float64)))


def shares(statistics: TokenStatistics) -> FloatArray:
    """Compute what each token adds to the score: -ln(rank) / T."""
    return -np.log(statistics.rank, dtype=np.float64) / len(statistics)


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "log-rank",
            "Mean log-rank of the tokens, negated",
            log_rank,
            shares=shares,
            paper="https://arxiv.org/abs/2301.11305",
            direction="lower",
        )
    ]
