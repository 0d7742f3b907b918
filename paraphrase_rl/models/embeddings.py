"""Sentence embeddings, one a text of any length, for the reward and the metric ``semantic-similarity``.

A text longer than the encoder reads is embedded in chunks of whole sentences; its embedding is the mean of the chunks',
weighted by their length, scaled back to length 1. Texts of one chunk (about 800 characters of English) are embedded
as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from paraphrase_rl.types import FloatArray

if TYPE_CHECKING:
    from paraphrase_rl.models.encoder import SentenceEncoder

CHUNK_TOKENS = 200
"""Estimated tokens of a chunk. The default encoder reads 256 and silently drops the rest."""
_PIECE = re.compile(r"[^.!?…。！？\n]*(?:[.!?…。！？\n]+\s*|$)")


def embed(encoder: SentenceEncoder, texts: Iterable[str]) -> dict[str, FloatArray]:
    """Embed texts: vectors by text, of shape (D,) and length 1, so that a dot product is the cosine in [-1, 1].

    A text without a letter or digit has no embedding. Every chunk is encoded once.
    """
    chunks = {text: list(chunked(text)) for text in sorted(set(texts)) if has_text(text)}
    unique = sorted({chunk for parts in chunks.values() for chunk in parts})
    if not unique:
        return {}
    rows = np.asarray(encoder.encode(unique), dtype=np.float64)
    row_of = dict(zip(unique, rows, strict=True))
    return {text: _mean(parts, [row_of[part] for part in parts]) for text, parts in chunks.items()}


def has_text(text: str) -> bool:
    """Return whether a text has a letter or digit."""
    return any(character.isalnum() for character in text)


def chunked(text: str) -> Iterator[str]:
    """Yield chunks of whole sentences up to ``CHUNK_TOKENS``; a longer sentence is cut. Takes linear time."""
    chunk, size = "", 0.0
    for piece in _pieces(text):
        tokens = _tokens(piece)
        if chunk and size + tokens > CHUNK_TOKENS:
            yield chunk
            chunk, size = "", 0.0
        chunk, size = chunk + piece, size + tokens
    if has_text(chunk):
        yield chunk


def _pieces(text: str) -> Iterator[str]:
    for sentence in _PIECE.findall(text):
        if _tokens(sentence) <= CHUNK_TOKENS:
            yield sentence
        else:
            yield from (sentence[at : at + CHUNK_TOKENS] for at in range(0, len(sentence), CHUNK_TOKENS))


def _mean(parts: Sequence[str], rows: Sequence[FloatArray]) -> FloatArray:
    total: FloatArray = np.average(np.stack(rows), axis=0, weights=[_tokens(part) for part in parts])
    return total / max(float(np.linalg.norm(total)), 1e-12)


def _tokens(text: str) -> float:
    """Estimate from below the encoder's limit: 4 ASCII characters a token, every other character one."""
    ascii_characters = sum(character.isascii() for character in text)
    return ascii_characters / 4 + len(text) - ascii_characters
