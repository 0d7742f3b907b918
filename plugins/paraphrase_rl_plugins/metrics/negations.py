"""Metrics: the share of the source's negations that the rewrite has, and how many more it has. English text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from paraphrase_rl.plugin import Context, MetricSpec, NoOptions, hookimpl
from paraphrase_rl_plugins.metrics._facts import negations
from paraphrase_rl_plugins.metrics._pairwise import Pairwise


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name="negations-kept",
            summary="the rewrite's negations over the source's, at most 1",
            factory=build,
            role="facts",
            better="higher",
            range=(0.0, 1.0),
        ),
        MetricSpec(
            name="negations-added",
            summary="negations of the rewrite beyond the source's",
            factory=build,
            role="facts",
            better="lower",
            range=(0.0, float("inf")),
        ),
    ]


def build(options: NoOptions, context: Context) -> Pairwise:  # noqa: ARG001 - the factory's signature
    """Build the metrics."""
    return Pairwise(negations_kept=negations_kept, negations_added=negations_added)


def negations_kept(source: str, rewrite: str) -> float:
    """Compute the rewrite's negations over the source's, at most 1; NaN if the source has none."""
    wanted = negations(source)
    return min(negations(rewrite), wanted) / wanted if wanted else math.nan


def negations_added(source: str, rewrite: str) -> float:
    """Count the negations that the rewrite has more than the source, at least 0."""
    return float(max(0, negations(rewrite) - negations(source)))
