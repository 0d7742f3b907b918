"""Pairs of texts that share an 8-gram, found in memory that does not grow with the texts."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.text.duplicates import COMMON

_PARTS = 16
_IN_MEMORY = 1 << 20
"""Bytes of each part that are held in memory; the others go to a temporary file."""
_AT_ONCE = 1 << 19


class SharedGrams:
    """8-grams of texts, by their hashes of 32 bits, in parts by the first bits of the hash."""

    def __init__(self) -> None:
        self._held = array("Q")
        self._parts = [tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) for _ in range(_PARTS)]  # noqa: SIM115

    def add(self, text: int, grams: Iterable[int]) -> None:
        """Add the 8-grams of a text, which is known by its number, below 2 ** 32."""
        self._held.extend([gram << 32 | text for gram in grams])
        if len(self._held) >= _AT_ONCE:
            self._flush()

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield each pair of texts that share an 8-gram which at most ``COMMON`` texts have, in order; once.

        The temporary files are closed.
        """
        self._flush()
        found = np.empty(0, dtype=np.uint64)
        for part in self._parts:
            part.seek(0)
            found = np.union1d(found, _pairs(np.frombuffer(part.read(), dtype=np.uint64)))
            part.close()
        yield from zip((found >> 32).tolist(), (found & 0xFFFFFFFF).tolist(), strict=True)

    def _flush(self) -> None:
        entries = np.frombuffer(self._held, dtype=np.uint64)
        of_part = (entries >> 60).astype(np.int64)
        for number, part in enumerate(self._parts):
            part.write(entries[of_part == number].tobytes())
        del entries
        self._held = array("Q")


def _pairs(entries: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Pairs of texts, the first in the upper 32 bits; ``entries`` have a hash there, and its text below."""
    entries = np.sort(entries)
    hashes, texts = entries >> 32, entries & 0xFFFFFFFF
    starts = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + 1))
    sizes = np.diff(starts, append=hashes.size)
    found = [np.empty(0, dtype=np.uint64)]
    for size in range(2, COMMON + 1):
        runs = starts[sizes == size]
        if runs.size:
            members = texts[runs[:, None] + np.arange(size)]
            first, second = np.triu_indices(size, 1)
            found.append(np.unique(members[:, first] << 32 | members[:, second]))
    return np.unique(np.concatenate(found))
