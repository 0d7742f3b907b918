"""Log-likelihood log-rank ratio."""

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


def lrr(statistics: TokenStatistics) -> float:
    """Compute -(sum of log p) / (sum of ln rank), at least 0; higher = more likely AI.

    Su et al. 2023 (DetectLLM), equation 1.

    Raises:
        Undefined: every token was the model's first choice, so that the denominator is 0.
    """
    ranks = float(np.sum(np.log(statistics.rank, dtype=np.float64)))
    if ranks == 0.0:
        raise Undefined("every token is the model's first choice: the log-rank is 0")
    return -float(np.sum(statistics.logprob, dtype=np.float64)) / ranks


def shares(statistics: TokenStatistics) -> FloatArray:
    """Compute what each token adds to the score: -log p / (sum of ln rank)."""
    ranks = float(np.sum(np.log(statistics.rank, dtype=np.float64)))
    return -statistics.logprob.astype(np.float64) / ranks


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "lrr",
            "Log-likelihood divided by log-rank",
            lrr,
            shares=shares,
            paper="https://arxiv.org/abs/2306.05540",
            licence="the authors' code has no licence; this is written from the paper",
        )
    ]
