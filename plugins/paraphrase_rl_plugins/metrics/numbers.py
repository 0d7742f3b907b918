"""Metrics: the share of the source's numbers that the rewrite has, and how many it adds. English text."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.plugin import Context, MetricSpec, NoOptions, hookimpl
from paraphrase_rl_plugins.metrics._facts import added, kept
from paraphrase_rl_plugins.metrics._numbers import numbers
from paraphrase_rl_plugins.metrics._pairwise import Pairwise

numbers_kept, numbers_added = kept(numbers), added(numbers)


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name="numbers-kept",
            summary="share of the source's numbers that the rewrite has",
            factory=build,
            role="facts",
            better="higher",
            range=(0.0, 1.0),
        ),
        MetricSpec(
            name="numbers-added",
            summary="numbers of the rewrite that the source does not have",
            factory=build,
            role="facts",
            better="lower",
            range=(0.0, float("inf")),
        ),
    ]


def build(options: NoOptions, context: Context) -> Pairwise:  # noqa: ARG001 - the factory's signature
    """Build the metrics."""
    return Pairwise(numbers_kept=numbers_kept, numbers_added=numbers_added)
