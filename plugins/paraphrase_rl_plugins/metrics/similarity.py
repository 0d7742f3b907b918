"""Metric: the rewrite means what the source means, as far as sentence embeddings can tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DEFAULT_ENCODER,
    Context,
    Failure,
    Measurements,
    MetricSpec,
    Options,
    RewardBatch,
    embed,
    hookimpl,
)

if TYPE_CHECKING:
    from paraphrase_rl.plugin import SentenceEncoder

NAME = "semantic-similarity"


class SimilarityOptions(Options):
    """Options of ``semantic-similarity``."""

    model: str = Field(DEFAULT_ENCODER, description="model reference of the sentence encoder")


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name=NAME,
            summary="cosine of the sentence embeddings of source and rewrite",
            factory=build,
            options=SimilarityOptions,
            role="meaning",
            better="higher",
            range=(-1.0, 1.0),
            needs="the encoder of the recipe's similarity reward",
            extra="models",
            modules=("torch", "transformers"),
            models=(DEFAULT_ENCODER,),
            paper="Reimers and Gurevych 2019, Sentence-BERT",
            cost="one pass of a small encoder",
        )
    ]


def build(options: SimilarityOptions, context: Context) -> Similarity:
    """Build the metric; loads the encoder."""
    from paraphrase_rl.plugin import load_encoder

    return Similarity(load_encoder(options.model, context.device))


class Similarity:
    """Plain cosine of :func:`paraphrase_rl.models.embeddings.embed`, in [-1, 1].

    The same number as the bundled similarity reward, which clips at 0. A rewrite without a letter or digit gets 0.
    With a source without a letter or digit there is a Failure ``no-text``.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    def __call__(self, batch: RewardBatch) -> Measurements:
        sources = [source.text for source in batch.sources]
        embedded = embed(self._encoder, (*sources, *batch.rewrites))
        values = np.zeros(len(batch))
        failures = []
        for i, (source, rewrite) in enumerate(zip(sources, batch.rewrites, strict=True)):
            if source not in embedded:
                values[i] = np.nan
                why = "the source has no words"
                failures.append(Failure(index=i, owner=NAME, kind="no-text", message=why))
            elif rewrite in embedded:
                values[i] = np.clip(embedded[source] @ embedded[rewrite], -1.0, 1.0)
        return Measurements({NAME: values}, tuple(failures))
