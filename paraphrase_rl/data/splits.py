"""Splits into train, calibration and test by unit: texts that belong together stay in one split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from paraphrase_rl.files import sha256_text
from paraphrase_rl.text.duplicates import normalised
from paraphrase_rl.types import Document, Split

_DRAWN: tuple[Split, ...] = ("test", "calibration")
_MOST_HELD_OUT: tuple[Split, ...] = ("test", "calibration", "train")


OPENING_WORDS = 12
_WORD = re.compile(r"\w+")


def opening(text: str) -> str:
    """Return a digest of the first words of a text, without case and punctuation; continuations of a text share it."""
    return sha256_text(" ".join(_WORD.findall(text.lower())[:OPENING_WORDS]))


def units(documents: Sequence[Document]) -> list[list[int]]:
    """Group the positions of documents that must stay in one split: those of one pair, and exact duplicates.

    The relation is transitive: if A and B are a pair, and B and C duplicates, all three are one unit.
    """
    parent = list(range(len(documents)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, document in enumerate(documents):
        keys = [("text", sha256_text(normalised(document.text)))]
        if document.pair is not None:
            keys.append(("pair", document.pair))
        for key in keys:
            parent[root(i)] = root(first.setdefault(key, i))
    grouped: defaultdict[int, list[int]] = defaultdict(list)
    for i in range(len(documents)):
        grouped[root(i)].append(i)
    return list(grouped.values())


def drawn_order(texts: Iterable[str], seed: int) -> str:
    """Compute the place of a text, or of texts that stay together, in a draw: a hash of the seed and the content."""
    content = min(sha256_text(normalised(text)) for text in texts)
    return sha256_text(f"{seed}:{content}")


def split_documents(
    documents: Sequence[Document], *, test_fraction: float, calibration_fraction: float, seed: int
) -> list[Document]:
    """Give every document a split.

    A split given by the data is preserved; a document without one follows the others of its unit. The remaining
    units are divided into test, calibration and train by the fractions, stratified by their labels, within these by
    group, and within these by domain.
    Where the data gives train but not test or calibration, the missing one is drawn from train in the same way.

    The result depends on the texts and the seed, never on the order of the rows.
    """
    grouped = units(documents)
    fractions: dict[Split, float] = {"test": test_fraction, "calibration": calibration_fraction}
    chosen: dict[int, Split] = {}
    free: list[list[int]] = []
    for unit in grouped:
        known = {documents[i].split for i in unit}
        inherited = next((s for s in _MOST_HELD_OUT if s in known), None)
        if inherited is None:
            free.append(unit)
        else:
            chosen.update({i: documents[i].split or inherited for i in unit})
    chosen.update(_deal(documents, free, fractions, seed))
    for name in _DRAWN:
        if name not in chosen.values():
            train = [unit for unit in grouped if all(chosen[i] == "train" for i in unit)]
            chosen.update(_deal(documents, train, {name: fractions[name]}, seed))
    return [replace(document, split=chosen[i]) for i, document in enumerate(documents)]


def _deal(
    documents: Sequence[Document], free: Sequence[list[int]], fractions: Mapping[Split, float], seed: int
) -> dict[int, Split]:
    """Deal the units of each set of labels; their quotas are rounded over all sets together."""
    strata: defaultdict[tuple[str, ...], list[_Unit]] = defaultdict(list)
    for positions in free:
        texts = [documents[i] for i in positions]
        unit = _Unit(
            order=drawn_order((d.text for d in texts), seed),
            strata=(_values(d.group for d in texts), _values(d.domain for d in texts)),
            positions=positions,
        )
        strata[_values(d.label for d in texts)].append(unit)
    dealt: dict[int, Split] = {}
    seen = 0
    for labels in sorted(strata):
        after = seen + len(strata[labels])
        quotas = {
            name: round(fraction * after) - round(fraction * seen) for name, fraction in fractions.items()
        }
        for name, unit in _dealt(strata[labels], quotas, 0):
            dealt.update(dict.fromkeys(unit.positions, name))
        seen = after
    return dealt


@dataclass(frozen=True)
class _Unit:
    """Texts that stay together: their order by hash, their groups and domains, and their positions."""

    order: str
    strata: tuple[tuple[str, ...], ...]
    positions: list[int]


def _values(found: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in found}))


def _dealt(units: Sequence[_Unit], quotas: Mapping[Split, int], level: int) -> Iterator[tuple[Split, _Unit]]:
    """Give units a split: the quotas are shared out by group, those of a group by domain, then the first by hash."""
    if level == 2:
        waiting = iter(sorted(units, key=lambda unit: unit.order))
        for name, quota in quotas.items():
            yield from ((name, unit) for unit in islice(waiting, quota))
        yield from (("train", unit) for unit in waiting)
        return
    cells: defaultdict[tuple[str, ...], list[_Unit]] = defaultdict(list)
    for unit in units:
        cells[unit.strata[level]].append(unit)
    free = {key: len(cell) for key, cell in cells.items()}
    shares: dict[tuple[str, ...], dict[Split, int]] = {key: {} for key in cells}
    for name, quota in quotas.items():
        for key, share in _shares(quota, cells, free).items():
            shares[key][name] = share
            free[key] -= share
    for key in sorted(cells):
        yield from _dealt(cells[key], shares[key], level + 1)


def _shares(
    quota: int, cells: Mapping[tuple[str, ...], Sequence[_Unit]], free: Mapping[tuple[str, ...], int]
) -> dict[tuple[str, ...], int]:
    """Share a quota out in proportion to the cells' sizes, by largest remainders; no cell gives more than is free.

    Equal remainders go by hash, so that it is not always the same cells that give.
    """
    total = sum(len(cell) for cell in cells.values())
    quota = min(quota, sum(free.values()))
    shares = {key: min(quota * len(cell) // total, free[key]) for key, cell in cells.items()}
    claims = {
        key: (shares[key] - quota * len(cell) / total, min(unit.order for unit in cell))
        for key, cell in cells.items()
    }
    while (left := quota - sum(shares.values())) > 0:
        open_ = sorted((key for key in cells if shares[key] < free[key]), key=claims.__getitem__)
        for key in open_[:left]:
            shares[key] += 1
    return shares
