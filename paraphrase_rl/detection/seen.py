"""Texts that a detector, a calibration or an ensemble was fitted on, recorded so that none of them tests it.

A record holds two things for each text: a digest, equal for texts that differ only in white space, and hashes of
its word 8-grams, which find near duplicates by the measure of :mod:`paraphrase_rl.text.duplicates`. The texts
themselves cannot be read from it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from paraphrase_rl.files import sha256_text
from paraphrase_rl.text.duplicates import COMMON, NEAR, normalised, shingles

_Hashes = NDArray[np.uint32]
_TYPE = np.dtype("<u4")
MOST_GRAMS = 1 << 22
"""Most 8-grams in a record: those of 20,000 texts of 200 words; 16 MB."""
_AT_ONCE = 1024
"""Number of texts looked up at once."""


def _check_hashes(value: str) -> str:
    try:
        size = len(base64.b64decode(value, validate=True))
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    if size % _TYPE.itemsize:
        raise ValueError("not whole numbers of 32 bits")
    return value


class SeenTexts(BaseModel):
    """Digests of texts, and hashes of their word 8-grams."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digests: tuple[str, ...] = Field(
        description="first 16 hex digits of the SHA-256 of each text, white space single"
    )
    grams: tuple[Annotated[str, AfterValidator(_check_hashes)], ...] = Field(
        description="of each text, hashes of 32 bits of its word 8-grams, ascending, little-endian, base64"
    )
    every: int = Field(
        1,
        ge=1,
        description="only hashes that this number divides are recorded; above 1 in a record of many texts",
    )

    @model_validator(mode="after")
    def _aligned(self) -> SeenTexts:
        if len(self.digests) != len(self.grams):
            raise ValueError(
                f"digests and grams need one entry a text, got {len(self.digests)} and {len(self.grams)}"
            )
        return self

    @classmethod
    def of(cls, texts: Iterable[str]) -> SeenTexts:
        """Record texts, read once; duplicates count once.

        Of very many 8-grams a sample is recorded (those whose hash a power of two divides, as in Broder 1997), so that
        the record, and what it takes to look a text up, does not grow with the length of the texts. Equal texts are
        found all the same, and near duplicates by the share of the sample that they have in common.
        """
        found: dict[str, bytes] = {}
        every, size = 1, 0
        for text in texts:
            if (digest := _digest(text)) in found:
                continue
            found[digest] = _sampled(_hashes.__wrapped__(text), every).astype(_TYPE).tobytes()
            size += len(found[digest])
            while size > _TYPE.itemsize * MOST_GRAMS:
                every *= 2
                for known, grams in found.items():
                    found[known] = _sampled(np.frombuffer(grams, dtype=_TYPE), every).tobytes()
                size = sum(map(len, found.values()))
        grams_of = (base64.b64encode(grams).decode() for grams in found.values())
        return cls(digests=tuple(found), grams=tuple(grams_of), every=every)

    def __len__(self) -> int:
        return len(self.digests)

    def holds(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether it, or a near duplicate of it, is recorded."""
        found = [_digest(text) in self._known for text in texts]
        for start in range(0, len(texts), _AT_ONCE):
            for i in self._sharing(texts[start : start + _AT_ONCE]):
                found[start + i] = found[start + i] or self._near(
                    _sampled(_hashes(texts[start + i]), self.every)
                )
        return found

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.digests)

    @cached_property
    def _index(self) -> tuple[_Hashes, NDArray[np.int64], NDArray[np.int64]]:
        """All hashes in ascending order, the text that each is of, and the number of hashes of each text."""
        each = [np.frombuffer(base64.b64decode(grams), dtype=_TYPE) for grams in self.grams]
        sizes = np.array([found.size for found in each], dtype=np.int64)
        hashes = np.concatenate([*each, np.empty(0, dtype=_TYPE)])
        order = np.argsort(hashes, kind="stable")
        return hashes[order], np.repeat(np.arange(sizes.size), sizes)[order], sizes

    def _sharing(self, texts: Sequence[str]) -> list[int]:
        """Positions of the texts that share an 8-gram with a recorded text."""
        grams = [_sampled(_hashes(text), self.every) for text in texts]
        owners = np.repeat(np.arange(len(texts)), [found.size for found in grams])
        wanted = np.concatenate([*grams, np.empty(0, dtype=_TYPE)])
        hashes = self._index[0]
        at = np.searchsorted(hashes, wanted)
        inside = at < hashes.size
        shared = owners[inside][hashes[at[inside]] == wanted[inside]]
        return [int(i) for i in np.unique(shared)]

    def _near(self, grams: _Hashes) -> bool:
        hashes, owners, sizes = self._index
        first = np.searchsorted(hashes, grams, side="left")
        counts = np.searchsorted(hashes, grams, side="right") - first
        if not ((counts > 0) & (counts <= COMMON)).any():
            return False
        shared = np.zeros(sizes.size, dtype=np.int64)
        for start, count in zip(first[counts > 0], counts[counts > 0], strict=True):
            shared[owners[start : start + count]] += 1
        return bool(((shared > 0) & (shared >= NEAR * np.minimum(sizes, grams.size))).any())


def _sampled(hashes: _Hashes, every: int) -> _Hashes:
    return hashes if every == 1 else hashes[hashes % every == 0]


def _digest(text: str) -> str:
    return sha256_text(normalised(text))[:16]


@lru_cache(
    maxsize=_AT_ONCE
)  # a text is looked up in the record of each detector, then in that of the calibration
def _hashes(text: str) -> _Hashes:
    return np.unique(np.array(list(shingles(text)), dtype=np.uint32))
