"""Metric: length of the rewrite relative to its source."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.plugin import Context, MetricSpec, NoOptions, hookimpl
from paraphrase_rl_plugins.metrics._pairwise import Pairwise, word_count


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name="length-ratio",
            summary="words of the rewrite over words of the source",
            factory=build,
            role="length",
            better=None,
            range=(0.0, float("inf")),
        )
    ]


def build(options: NoOptions, context: Context) -> Pairwise:  # noqa: ARG001 - the factory's signature
    """Build the metric."""
    return Pairwise(length_ratio=length_ratio)


def length_ratio(source: str, rewrite: str) -> float:
    """Compute the words of the rewrite over those of the source; white space separates words."""
    return len(rewrite.split()) / word_count(source)
