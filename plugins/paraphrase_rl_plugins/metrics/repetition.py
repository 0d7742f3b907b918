"""Metric: how much of the rewrite repeats what it said before."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.plugin import Context, MetricSpec, NoOptions, hookimpl
from paraphrase_rl_plugins.metrics._pairwise import Pairwise

GRAM = 4
"""Number of words of the n-grams whose repetition counts."""


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name="repetition",
            summary="share of the rewrite's word 4-grams that occurred before in it",
            factory=build,
            role="fluency",
            better="lower",
            range=(0.0, 1.0),
        )
    ]


def build(options: NoOptions, context: Context) -> Pairwise:  # noqa: ARG001 - the factory's signature
    """Build the metric."""
    return Pairwise(repetition=repetition)


def repetition(source: str, rewrite: str) -> float:  # noqa: ARG001 - about the rewrite alone
    """Compute the share of word 4-grams that occur in the rewrite before, in [0, 1); 0 with fewer than four words."""
    words = rewrite.casefold().split()
    grams = list(zip(*(words[i:] for i in range(GRAM)), strict=False))
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0
