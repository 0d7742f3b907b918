"""Metric: how many words were edited."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.plugin import Context, MetricSpec, NoOptions, hookimpl
from paraphrase_rl_plugins.metrics._pairwise import Pairwise, word_count


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name="edit-rate",
            summary="Levenshtein distance in words over words of the source",
            factory=build,
            better=None,
            range=(0.0, float("inf")),
            needs="rapidfuzz",
            extra="evaluate",
            modules=("rapidfuzz",),
        )
    ]


def build(options: NoOptions, context: Context) -> Pairwise:  # noqa: ARG001 - the factory's signature
    """Build the metric."""
    return Pairwise(edit_rate=edit_rate)


def edit_rate(source: str, rewrite: str) -> float:
    """Compute the Levenshtein distance in words over the words of the source: 0 = unchanged; above 1 if much was added.

    A substitution, an insertion and a deletion cost 1 each. Case and punctuation count, spacing does not.
    """
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(source.split(), rewrite.split()) / word_count(source)
