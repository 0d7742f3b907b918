"""Metric: characters in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from paraphrase_rl.plugin import Context, MetricSpec, NoOptions, hookimpl
from paraphrase_rl_plugins.metrics._pairwise import Measure, Pairwise

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name="chrf",
            summary="chrF2 of the rewrite against the source: character n-grams in common",
            factory=build,
            better=None,
            range=(0.0, 1.0),
            needs="sacrebleu",
            extra="evaluate",
            modules=("sacrebleu",),
            paper="Popović 2015, chrF",
        )
    ]


def build(options: NoOptions, context: Context) -> Pairwise:  # noqa: ARG001 - the factory's signature
    """Build the metric."""
    return Pairwise(chrf=chrf())


def chrf() -> Measure:
    """Build the measure chrF2 of the rewrite against the source, in [0, 1]: sacreBLEU's sentence score divided by 100.

    Its defaults: character n-grams of 1 to 6, white space ignored, recall twice as important as precision.
    """
    from sacrebleu.metrics.chrf import CHRF

    scorer: CHRF = CHRF()

    def measure(source: str, rewrite: str) -> float:
        return float(scorer.sentence_score(rewrite, [source]).score) / 100.0

    return measure
