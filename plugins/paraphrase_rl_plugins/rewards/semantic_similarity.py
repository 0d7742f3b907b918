"""Reward: the rewrite means the same as the source, as measured by sentence embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DEFAULT_ENCODER,
    Context,
    Failure,
    Options,
    RewardBatch,
    RewardSpec,
    Terms,
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
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="cosine of sentence embeddings of source and rewrite, clipped to [0, 1]",
            factory=build,
            role="meaning",
            options=SimilarityOptions,
            extra="models",
            modules=("torch", "transformers"),
            models=(DEFAULT_ENCODER,),
            metric="semantic",
            paper="Reimers and Gurevych 2019, Sentence-BERT",
            cost="one pass of a small encoder",
        )
    ]


def build(options: SimilarityOptions, context: Context) -> SemanticSimilarity:
    """Build the reward; loads the encoder."""
    from paraphrase_rl.plugin import load_encoder

    return SemanticSimilarity(load_encoder(options.model, context.device))


class SemanticSimilarity:
    """Plain cosine of the embeddings of source and rewrite, negative values clipped to 0.

    The cosine is not rescaled to (cos + 1) / 2, which would make 0.90 of a cosine of 0.80. A rewrite without a letter
    or digit gets 0. For a source without one there is no similarity: Failure ``no-text``.
    Embeddings: :mod:`paraphrase_rl.models.embeddings`.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder

    def __call__(self, batch: RewardBatch) -> Terms:
        sources = [source.text for source in batch.sources]
        embedded = embed(self.encoder, (*sources, *batch.rewrites))
        values = np.zeros(len(batch))
        failures: list[Failure] = []
        for i, (source, rewrite) in enumerate(zip(sources, batch.rewrites, strict=True)):
            if source not in embedded:
                values[i] = np.nan
                failures.append(
                    Failure(index=i, owner=NAME, kind="no-text", message="the source has no words")
                )
            elif rewrite in embedded:
                values[i] = np.clip(embedded[source] @ embedded[rewrite], 0.0, 1.0)
        return Terms(values, tuple(failures))
