"""Metric: perplexity of the rewrite relative to its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DEFAULT_LANGUAGE_MODEL,
    Context,
    Failure,
    Measurements,
    MetricSpec,
    Options,
    RewardBatch,
    hookimpl,
)

if TYPE_CHECKING:
    from paraphrase_rl.plugin import TokenStatistics

NAME = "perplexity-ratio"


class PerplexityOptions(Options):
    """Options of ``perplexity-ratio``. With the same options as the fluency reward, its results are used again."""

    model: str = Field(DEFAULT_LANGUAGE_MODEL, description="model reference of the language model")
    max_tokens: int = Field(512, ge=2, description="tokens of a text that are read")


class _LanguageModel(Protocol):
    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]: ...


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name=NAME,
            summary="perplexity of the rewrite over that of the source",
            factory=build,
            options=PerplexityOptions,
            role="fluency",
            better=None,
            range=(0.0, float("inf")),
            needs="the language model of the recipe's fluency reward",
            extra="models",
            modules=("torch", "transformers"),
            models=(DEFAULT_LANGUAGE_MODEL,),
            cost="one language-model pass of source and rewrite (shared)",
        )
    ]


def build(options: PerplexityOptions, context: Context) -> PerplexityRatio:
    """Build the metric; loads the language model, shared with the detectors and rewards that use the same one."""
    from paraphrase_rl.plugin import shared_language_model

    return PerplexityRatio(
        shared_language_model(options.model, context.device, options.max_tokens, context.precision)
    )


class PerplexityRatio:
    """Perplexity of the rewrite over that of the source: exp of the difference of their mean log-probabilities a token.

    A text that the model cannot score leaves its pair without a ratio.
    """

    def __init__(self, model: _LanguageModel) -> None:
        self._model = model

    def __call__(self, batch: RewardBatch) -> Measurements:
        n = len(batch)
        found = self._model.statistics([*(source.text for source in batch.sources), *batch.rewrites])
        values = np.full(n, np.nan)
        failures = []
        for i, (source, rewrite) in enumerate(zip(found[:n], found[n:], strict=True)):
            if isinstance(source, Failure):
                failures.append(_about(source, i, "source"))
            elif isinstance(rewrite, Failure):
                failures.append(_about(rewrite, i, "rewrite"))
            else:
                values[i] = np.exp(_mean_logprob(source) - _mean_logprob(rewrite))
        return Measurements({NAME: values}, tuple(failures))


def _about(failure: Failure, index: int, which: str) -> Failure:
    return replace(failure, index=index, owner=NAME, message=f"the {which}: {failure.message}")


def _mean_logprob(statistics: TokenStatistics) -> float:
    """Nats a token."""
    return float(np.mean(statistics.logprob, dtype=np.float64))
