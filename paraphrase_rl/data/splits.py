"""Splits into train, calibration and test by unit: texts that belong together stay in one split."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.files import sha256_text
from paraphrase_rl.text.duplicates import normalised
from paraphrase_rl.types import Document, Split

_DRAWN: tuple[Split, ...] = ("test", "calibration")
_MOST_HELD_OUT: tuple[Split, ...] = ("test", "calibration", "train")
_TRAIN = _MOST_HELD_OUT.index("train")
_Indices = NDArray[np.int64]
_Digests = NDArray[np.uint64]
"""Digests of 256 bits, shape (N, 4); rows compare as the hex digits of the digests do."""
_Key = tuple[str, ...]

OPENING_WORDS = 12
_WORD = re.compile(r"\w+")


def opening(text: str) -> str:
    """Return a digest of the first words of a text, without case and punctuation; continuations of a text share it."""
    return sha256_text(" ".join(_WORD.findall(text.lower())[:OPENING_WORDS]))


def units(documents: Iterable[Document]) -> list[list[int]]:
    """Group the positions of documents that must stay in one split: those of one pair, and exact duplicates.

    The relation is transitive: if A and B are a pair, and B and C duplicates, all three are one unit.
    """
    read = _Read.of(documents)
    return [members.tolist() for members in np.split(read.members, read.starts[1:]) if members.size]


def drawn_order(texts: Iterable[str], seed: int) -> str:
    """Compute the place of a text, or of texts that stay together, in a draw: a hash of the seed and the content."""
    content = min(sha256_text(normalised(text)) for text in texts)
    return sha256_text(f"{seed}:{content}")


def split_documents(
    documents: Sequence[Document], *, test_fraction: float, calibration_fraction: float, seed: int
) -> list[Document]:
    """Give every document a split, see :func:`splits_of`."""
    fractions = {"test_fraction": test_fraction, "calibration_fraction": calibration_fraction}
    splits = splits_of(documents, **fractions, seed=seed)
    return [replace(document, split=split) for document, split in zip(documents, splits, strict=True)]


def splits_of(
    documents: Iterable[Document], *, test_fraction: float, calibration_fraction: float, seed: int
) -> Iterator[Split]:
    """Choose a split for every document, in order.

    A split given by the data is preserved; a document without one follows the others of its unit. The remaining
    units are divided into test, calibration and train by the fractions, stratified by their labels, within these by
    group, and within these by domain.
    Where the data gives train but not test or calibration, the missing one is drawn from train in the same way.

    The result depends on the texts and the seed, never on the order of the rows. Documents are read once, and none is
    held: a text takes about 150 bytes.
    """
    read = _Read.of(documents)
    fractions: dict[Split, float] = {"test": test_fraction, "calibration": calibration_fraction}
    known = np.zeros((len(read.starts), len(_MOST_HELD_OUT)), dtype=bool)
    given = read.given >= 0
    known[read.unit[given], read.given[given]] = True
    chosen = np.where(known.any(axis=1), known.argmax(axis=1), -1).astype(np.int8)
    draw = _Draw(read, seed)
    draw.deal(np.flatnonzero(chosen < 0), fractions, chosen)
    of_document = np.where(given, read.given, chosen[read.unit]).astype(np.int8)
    for name in _DRAWN:
        code = _MOST_HELD_OUT.index(name)
        if not (of_document == code).any():
            other = np.bincount(read.unit[of_document != _TRAIN], minlength=len(read.starts))
            train = np.flatnonzero(other == 0)
            draw.deal(train, {name: fractions[name]}, chosen)
            dealt = np.isin(read.unit, train)
            of_document[dealt] = chosen[read.unit[dealt]]
    return (_MOST_HELD_OUT[code] for code in of_document.tolist())


@dataclass(frozen=True)
class _Read:
    """What splits depend on.

    Attributes:
        content: digest of each document's text, shape (N, 4).
        given: number of each document's split, shape (N,); -1 = it has none.
        unit: number of each document's unit, shape (N,), by first occurrence.
        members: positions of the documents, shape (N,), unit by unit.
        starts: where each unit begins in ``members``, shape (U,).
        keys: labels, groups and domains of each unit: codes of shape (U,), and what they stand for.
    """

    content: _Digests
    given: NDArray[np.int8]
    unit: _Indices
    members: _Indices
    starts: _Indices
    keys: tuple[tuple[_Indices, list[_Key]], ...]

    @classmethod
    def of(cls, documents: Iterable[Document]) -> _Read:
        content, given, pairs = bytearray(), array("b"), array("q")
        codes: tuple[dict[str | None, int], ...] = ({}, {}, {})
        values = (array("q"), array("q"), array("q"))
        pair_codes: dict[str, int] = {}
        for document in documents:
            content += bytes.fromhex(sha256_text(normalised(document.text)))
            given.append(-1 if document.split is None else _MOST_HELD_OUT.index(document.split))
            pair = document.pair
            pairs.append(-1 if pair is None else pair_codes.setdefault(pair, len(pair_codes)))
            for value, known, held in zip(
                (document.label, document.group, document.domain), codes, values, strict=True
            ):
                held.append(known.setdefault(value, len(known)))
        digests = np.frombuffer(bytes(content), dtype=">u8").astype(np.uint64).reshape(-1, 4)
        unit = _units(digests, np.frombuffer(pairs, dtype=np.int64))
        members = np.argsort(unit, kind="stable")
        starts = np.flatnonzero(np.diff(unit[members], prepend=-1))
        keys = tuple(
            _keys(np.frombuffer(held, dtype=np.int64)[members], starts, list(map(str, known)))
            for known, held in zip(codes, values, strict=True)
        )
        return cls(digests, np.frombuffer(given, dtype=np.int8), unit, members, starts, keys)


def _units(digests: _Digests, pairs: _Indices) -> _Indices:
    """Number of each document's unit, by first occurrence."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(digests)
    texts = np.unique(digests, axis=0, return_inverse=True)[1].reshape(-1)
    paired = np.flatnonzero(pairs >= 0)
    nodes = 2 * n + int(pairs.max(initial=-1)) + 1
    ends = np.concatenate([n + texts, 2 * n + pairs[paired]])
    edges = np.concatenate([np.arange(n), paired]), ends
    graph = coo_matrix((np.ones(ends.size, dtype=np.int8), edges), shape=(nodes, nodes))
    found = connected_components(graph, directed=False)[1][:n]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    number = np.empty(first.size, dtype=np.int64)
    number[np.argsort(first)] = np.arange(first.size)
    return number[inverse.reshape(-1)]


def _keys(codes: _Indices, starts: _Indices, names: Sequence[str]) -> tuple[_Indices, list[_Key]]:
    """For each unit the code of its set of values, and the sets by code.

    Args:
        codes: code of each document's value, unit by unit.
        starts: where each unit begins.
        names: values by code.
    """
    known: dict[_Key, int] = {}
    single = [known.setdefault((name,), len(known)) for name in names]
    found = np.array(single, dtype=np.int64)[codes[starts]] if len(starts) else np.empty(0, dtype=np.int64)
    sizes = np.diff(starts, append=len(codes))
    for unit in np.flatnonzero(sizes > 1).tolist():
        members = codes[starts[unit] : starts[unit] + sizes[unit]].tolist()
        key = tuple(sorted({names[code] for code in members}))
        found[unit] = known.setdefault(key, len(known))
    return found, list(known)


class _Draw:
    """Draw of units for splits, in an order fixed by hash."""

    def __init__(self, read: _Read, seed: int) -> None:
        self._keys = read.keys
        content = read.content[read.members]
        order = np.lexsort((*(content[:, i] for i in (3, 2, 1, 0)), read.unit[read.members]))
        first = content[order][read.starts]
        drawn = bytearray()
        for digest in first.astype(">u8"):
            drawn += bytes.fromhex(sha256_text(f"{seed}:{digest.tobytes().hex()}"))
        self._order = np.frombuffer(bytes(drawn), dtype=">u8").astype(np.uint64).reshape(-1, 4)

    def deal(self, free: _Indices, fractions: Mapping[Split, float], chosen: NDArray[np.int8]) -> None:
        """Deal the units of each set of labels; their quotas are rounded over all sets together."""
        seen = 0
        for cell in self._cells(free, 0).values():
            after = seen + len(cell)
            quotas = {
                name: round(fraction * after) - round(fraction * seen) for name, fraction in fractions.items()
            }
            if sum(fractions.values()) > 1 - 1e-9:  # nothing is left to train on, whatever the rounding
                last = list(quotas)[-1]
                quotas[last] += max(0, after - seen - sum(quotas.values()))
            self._dealt(cell, quotas, 1, chosen)
            seen = after

    def _cells(self, units: _Indices, level: int) -> dict[_Key, _Indices]:
        """Units by their labels, groups or domains, in order of these."""
        codes, keys = self._keys[level]
        there = np.unique(codes[units]).tolist()
        return {keys[code]: units[codes[units] == code] for code in sorted(there, key=keys.__getitem__)}

    def _sorted(self, units: _Indices) -> _Indices:
        order = self._order[units]
        return units[np.lexsort(tuple(order[:, i] for i in (3, 2, 1, 0)))]

    def _dealt(
        self, units: _Indices, quotas: Mapping[Split, int], level: int, chosen: NDArray[np.int8]
    ) -> None:
        """Give units a split: quotas are shared out by group, those of a group by domain, then the first by hash."""
        if level == len(self._keys):
            waiting = self._sorted(units)
            chosen[waiting] = _TRAIN
            for name, quota in quotas.items():
                chosen[waiting[:quota]] = _MOST_HELD_OUT.index(name)
                waiting = waiting[quota:]
            return
        cells = self._cells(units, level)
        sizes = {key: len(cell) for key, cell in cells.items()}
        first = {key: self._order[self._sorted(cell)[0]].tolist() for key, cell in cells.items()}
        free = dict(sizes)
        shares: dict[_Key, dict[Split, int]] = {key: {} for key in cells}
        for name, quota in quotas.items():
            for key, share in _shares(quota, sizes, first, free).items():
                shares[key][name] = share
                free[key] -= share
        for key, cell in cells.items():
            self._dealt(cell, shares[key], level + 1, chosen)


def _shares(
    quota: int, sizes: Mapping[_Key, int], first: Mapping[_Key, list[int]], free: Mapping[_Key, int]
) -> dict[_Key, int]:
    """Share a quota out in proportion to the cells' sizes, by largest remainders; no cell gives more than is free.

    Equal remainders go by hash, so that it is not always the same cells that give.
    """
    total = sum(sizes.values())
    quota = min(quota, sum(free.values()))
    shares = {key: min(quota * size // total, free[key]) for key, size in sizes.items()}
    claims = {key: (shares[key] - quota * size / total, first[key]) for key, size in sizes.items()}
    while (left := quota - sum(shares.values())) > 0:
        open_ = sorted((key for key in sizes if shares[key] < free[key]), key=claims.__getitem__)
        for key in open_[:left]:
            shares[key] += 1
    return shares
