"""Metric: the rewriter ended the text itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import Measurements, MetricSpec, RewardBatch, hookimpl

NAME = "finished"


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name=NAME,
            summary="1 where the rewriter ended the text itself, 0 where it was cut",
            factory=lambda options, context: finished,  # noqa: ARG005 - the factory's signature
            better="higher",
            range=(0.0, 1.0),
        )
    ]


def finished(batch: RewardBatch) -> Measurements:
    """Measure whether the rewriter ended the text itself: 1 if so, 0 if the text was cut."""
    return Measurements({NAME: np.array(batch.finished, dtype=np.float64)})
