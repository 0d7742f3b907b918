"""Share of tokens among the model's ten likeliest."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, TokenStatistics, hookimpl, zero_shot_spec


def gltr(statistics: TokenStatistics) -> float:
    """Compute the share of tokens of rank 1 to 10, in [0, 1]; higher = more likely AI.

    Gehrmann et al. 2019: the first of GLTR's four buckets (top 10, 100, 1,000, rest). RAID's detector of this
    name counts eleven ranks and puts a start token before the text; we keep the published bucket.
    """
    return float(np.mean(statistics.rank <= 10))


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "gltr",
            "Share of tokens among the model's ten likeliest",
            gltr,
            paper="https://arxiv.org/abs/1906.04043",
            licence="the authors' code is Apache-2.0; this is written from the paper",
        )
    ]
