"""Splits into train, calibration and test by unit: texts that belong together stay in one split."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

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


def split_documents(
    documents: Sequence[Document], *, test_fraction: float, calibration_fraction: float, seed: int
) -> list[Document]:
    """Give every document a split.

    A split given by the data is preserved; a document without one follows the others of its unit. The remaining
    units are divided into test, calibration and train by the fractions, stratified by their labels.
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
    """Shuffle each stratum by hash and assign its first units; quotas are rounded over all strata together."""
    strata: defaultdict[tuple[str, ...], list[tuple[str, list[int]]]] = defaultdict(list)
    for unit in free:
        labels = tuple(sorted({str(documents[i].label) for i in unit}))
        content = min(sha256_text(normalised(documents[i].text)) for i in unit)
        strata[labels].append((hashlib.sha256(f"{seed}:{content}".encode()).hexdigest(), unit))
    dealt: dict[int, Split] = {}
    seen = 0
    for labels in sorted(strata):
        shuffled = [unit for _, unit in sorted(strata[labels])]
        after = seen + len(shuffled)
        start = 0
        for name, fraction in fractions.items():
            stop = start + round(fraction * after) - round(fraction * seen)
            for unit in shuffled[start:stop]:
                dealt.update(dict.fromkeys(unit, name))
            start = stop
        for unit in shuffled[start:]:
            dealt.update(dict.fromkeys(unit, "train"))
        seen = after
    return dealt
