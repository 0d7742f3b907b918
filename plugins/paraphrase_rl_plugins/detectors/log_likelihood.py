"""Mean log-probability of the tokens: AI text is more likely under a language model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, FloatArray, TokenStatistics, hookimpl, zero_shot_spec


def log_likelihood(statistics: TokenStatistics) -> float:
    """Compute the mean of log p(x_t | x_<t) over t >= 2, in nats, at most 0; higher = more likely AI.

    Solaiman et al. 2019, as the baseline of Mitchell et al. 2023. As there, nothing stands before the first
    token, so it has no score.
    """
    return float(np.mean(statistics.logprob, dtype=np.float64))


def shares(statistics: TokenStatistics) -> FloatArray:
    """Compute what each token adds to the score: log p / T."""
    return statistics.logprob.astype(np.float64) / len(statistics)


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "log-likelihood",
            "Mean log-probability of the tokens",
            log_likelihood,
            shares=shares,
            paper="https://arxiv.org/abs/1908.09203",
        )
    ]
