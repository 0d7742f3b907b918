"""Reward: the rewrite is as predictable as human prose, not gibberish and not repetitive.

The default band is the 5th to 95th percentile (rounded) of the perplexities of human news under the default
model: the 350 stories of the Lee corpus (gensim's ``lee_background.cor`` and ``lee.cor``), each cut to its
first sentences, at most 48 words, cut as ``data.excerpt_words`` cuts. Perplexity falls as texts get
longer, so measure the band again for other lengths, texts or models (exp of minus the mean log-probability of
human texts):

=====  =====  =====  ======  =====  =====
words     1%     5%  median    95%    99%
=====  =====  =====  ======  =====  =====
24      18.7   30.5    92.0  417.2  727.2
48      17.5   23.1    59.7  191.1  437.4
96      14.9   18.9    36.5   81.3  117.5
=====  =====  =====  ======  =====  =====
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from paraphrase_rl.plugin import (
    DEFAULT_LANGUAGE_MODEL,
    Context,
    Failure,
    Options,
    RewardBatch,
    RewardSpec,
    Terms,
    hookimpl,
)

if TYPE_CHECKING:
    from paraphrase_rl.plugin import TokenStatistics

NAME = "fluency"


class FluencyOptions(Options):
    """Options of ``fluency``. Another model or other texts need another band."""

    model: str = Field(DEFAULT_LANGUAGE_MODEL, description="model reference of the language model")
    low: float = Field(23.0, gt=1, description="lower end of the human band, perplexity")
    high: float = Field(190.0, gt=1, description="upper end of the human band, perplexity")
    softness: float = Field(
        0.5,
        gt=0,
        description="width of the fall outside the band: standard deviation in nats of log-perplexity",
    )
    max_tokens: int = Field(512, ge=2, description="number of tokens of a text that are read")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be smaller than high")
        return self


class _LanguageModel(Protocol):
    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]: ...


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="perplexity under a reference model: 1 inside a human band, falling smoothly outside",
            factory=build,
            role="fluency",
            options=FluencyOptions,
            default_weight=0.5,
            extra="models",
            modules=("torch", "transformers"),
            models=(DEFAULT_LANGUAGE_MODEL,),
            cost="one language-model pass (shared)",
        )
    ]


def build(options: FluencyOptions, context: Context) -> Fluency:
    """Build the reward; its language model is shared with the detectors that use the same one."""
    from paraphrase_rl.plugin import shared_language_model

    model = shared_language_model(options.model, context.device, options.max_tokens, context.precision)
    return Fluency(model, low=options.low, high=options.high, softness=options.softness)


class Fluency:
    """Reward of 1 for a perplexity in [low, high], else exp(-(d / softness)^2 / 2) with d = distance in log-perplexity.

    Perplexity is exp(-mean log p) over the rewrite's tokens. Both sides count: a loop or a stock phrase is
    too predictable, gibberish and stuffed keywords are not predictable enough. A text that the model cannot
    score gets its Failure. ``details['perplexity']`` is the perplexity.
    """

    def __init__(self, model: _LanguageModel, *, low: float, high: float, softness: float) -> None:
        self.model = model
        self.low, self.high, self.softness = np.log(low), np.log(high), softness

    def __call__(self, batch: RewardBatch) -> Terms:
        logs = np.full(len(batch), np.nan)
        failures: list[Failure] = []
        for i, statistics in enumerate(self.model.statistics(batch.rewrites)):
            if isinstance(statistics, Failure):
                failures.append(
                    Failure(index=i, owner=NAME, kind=statistics.kind, message=statistics.message)
                )
            else:
                logs[i] = -float(np.mean(statistics.logprob, dtype=np.float64))
        outside = np.maximum(0.0, np.maximum(self.low - logs, logs - self.high))
        values = np.exp(-0.5 * (outside / self.softness) ** 2)
        return Terms(values, tuple(failures), {"perplexity": np.exp(logs)})
