"""Share of tokens among the model's ten likeliest."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, FloatArray, TokenStatistics, hookimpl, zero_shot_spec


def gltr(statistics: TokenStatistics) -> float:
    """Compute the share of tokens of rank 1 to 10, in [0, 1]; higher = more likely AI.

    Gehrmann et al. 2019: the first of GLTR's four buckets (top 10, 100, 1,000, rest). RAID's detector of this
    name counts eleven ranks and puts a start token before the text; we keep the published bucket.
    """
    return float(np.mean(statistics.rank <= 10))


def shares(statistics: TokenStatistics) -> FloatArray:
    """Compute what each token adds to the score: 1 / T if its rank is at most 10, else 0."""
    return (statistics.rank <= 10).astype(np.float64) / len(statistics)


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "gltr",
            "Share of tokens among the model's ten likeliest",
            gltr,
            shares=shares,
            paper="https://arxiv.org/abs/1906.04043",
            licence="the authors' code is Apache-2.0; this is written from the paper",
        )
    ]
