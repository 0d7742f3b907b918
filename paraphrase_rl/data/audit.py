"""Audit of a data set: counts, duplicates, leakage between splits, incomplete pairs, shared beginnings, groups."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from statistics import median
from typing import TypeVar

import numpy as np

from paraphrase_rl.data.shared_grams import SharedGrams
from paraphrase_rl.files import sha256_text
from paraphrase_rl.text.duplicates import NEAR, normalised, shingles
from paraphrase_rl.text.length import count_words
from paraphrase_rl.types import Document

T = TypeVar("T")
_DIGEST = 32
"""Hex digits of the digest of a text."""
_OPENING = 8
"""Fewest words that two texts share at their beginning other than by naming the same subject."""
_PREFIX, _SHARING = 0.05, 0.1
"""Share of an AI text's characters, and share of the AI texts, from which on shared beginnings matter."""


@dataclass(frozen=True)
class AuditRow:
    """Documents of one split, label and group: number, median length in words, and counts by domain."""

    split: str
    label: str
    group: str
    documents: int
    words: float
    domains: Mapping[str, int]


@dataclass(frozen=True)
class Audit:
    """The audit of a data set.

    Attributes:
        rows: one for each combination of split, label and group.
        shares: share of the documents by group; empty if no document has a group.
        exact_duplicates: groups of ids whose texts are equal except for white space.
        near_duplicates: pairs of ids that share at least half of the shorter text's word 8-grams.
        shared_prefixes: for each AI text with a human text in its pair, the share of its characters, in [0, 1], up to
            which the two are the same; 0 if that is less than eight words.
        warnings: faults that make results wrong, one line each, the worst first.
        notes: properties to keep in mind, one line each.
    """

    rows: tuple[AuditRow, ...]
    shares: Mapping[str, float]
    exact_duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, str], ...]
    shared_prefixes: Mapping[str, float]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def audit(documents: Sequence[Document]) -> Audit:
    """Audit documents, each of which has a split. They are read one by one: a text takes about 100 bytes."""
    found = _Read.of(documents)
    exact = found.duplicates()
    near = found.near_duplicates(documents)
    shares = _shares(found.groups)
    prefixes = _shared_prefixes(documents, found.pairs.values())
    ids = _Ids(documents)
    return Audit(
        rows=found.rows(),
        shares=shares,
        exact_duplicates=tuple(tuple(ids.of(i) for i in same) for same in exact),
        near_duplicates=tuple((ids.of(a), ids.of(b)) for a, b in near),
        shared_prefixes=prefixes,
        warnings=(*_warnings(found, ids, exact, near), *_prefix_warning(prefixes)),
        notes=tuple(_notes(found, ids, exact, near, shares)),
    )


@dataclass
class _Ids:
    """Ids of documents by position."""

    documents: Sequence[Document]

    def of(self, position: int) -> str:
        """Return the id of a document."""
        return self.documents[position].id

    def equal(self, positions: Sequence[int]) -> str:
        """Name documents with the same text."""
        return " = ".join(map(self.of, positions))

    def similar(self, positions: Sequence[int]) -> str:
        """Name documents with similar texts."""
        return " ~ ".join(map(self.of, positions))


@dataclass
class _Read:
    """What is known of each document once it has been read; its text is not held.

    Attributes:
        splits: split of each document.
        labels: label of each document.
        groups: group of each document.
        pairs: positions of the documents of each pair.
        words: lengths in words by split, label and group.
        domains: counts of domains, by the same.
        digests: 16 bytes of the digest of each text.
        grams: 8-grams of the texts.
    """

    splits: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    pairs: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    words: defaultdict[tuple[str, str, str], array[int]] = field(
        default_factory=lambda: defaultdict(lambda: array("L"))
    )
    domains: defaultdict[tuple[str, str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    digests: bytearray = field(default_factory=bytearray)
    grams: SharedGrams = field(default_factory=SharedGrams)

    @classmethod
    def of(cls, documents: Iterable[Document]) -> _Read:
        """Read documents once."""
        found = cls()
        for i, d in enumerate(documents):
            key = (d.split or "", d.label or "unknown", d.group or "")
            found.splits.append(key[0])
            found.labels.append(d.label)
            found.groups.append(key[2])
            if d.pair is not None:
                found.pairs[d.pair].append(i)
            found.words[key].append(count_words(d.text))
            if d.domain is not None:
                found.domains[key][d.domain] += 1
            found.digests += bytes.fromhex(sha256_text(normalised(d.text))[:_DIGEST])
            found.grams.add(i, shingles(d.text))
        return found

    def rows(self) -> tuple[AuditRow, ...]:
        """Count by split, label and group."""
        return tuple(
            AuditRow(
                *key,
                documents=len(words),
                words=median(words),
                domains=dict(self.domains[key].most_common()),
            )
            for key, words in sorted(self.words.items())
        )

    def duplicates(self) -> list[list[int]]:
        """Group the positions of equal texts, in order of the first of each group."""
        digests = np.frombuffer(bytes(self.digests), dtype=">u8").reshape(-1, 2)
        order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: ascending positions within a group
        begins = np.any(np.diff(digests[order].astype(np.uint64), axis=0, prepend=0) != 0, axis=1)
        begins[:1] = True
        groups = np.split(order, np.flatnonzero(begins)[1:])
        return sorted(group.tolist() for group in groups if len(group) > 1)

    def near_duplicates(self, documents: Sequence[Document]) -> list[tuple[int, int]]:
        """Find pairs through shared 8-grams, exact duplicates left out; a text under 8 words has no 8-gram."""

        @lru_cache(maxsize=64)
        def grams(position: int) -> frozenset[int]:
            return shingles(documents[position].text)

        def digest(position: int) -> bytes:
            return bytes(self.digests[_DIGEST // 2 * position : _DIGEST // 2 * (position + 1)])

        return [
            (a, b)
            for a, b in self.grams.pairs()
            if digest(a) != digest(b) and len(grams(a) & grams(b)) >= NEAR * min(len(grams(a)), len(grams(b)))
        ]


def _shares(groups: Sequence[str]) -> dict[str, float]:
    counts = Counter(groups)
    if set(counts) <= {""}:
        return {}
    return {group or "none given": n / len(groups) for group, n in counts.most_common()}


def _shared_prefixes(documents: Sequence[Document], pairs: Iterable[Sequence[int]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for positions in pairs:
        members = [documents[i] for i in positions]
        human = [normalised(d.text) for d in members if d.label == "human"]
        for document in members:
            if human and document.label == "ai":
                text = normalised(document.text)
                found[document.id] = max(_in_common(text, other) for other in human) / len(text)
    return found


def _in_common(text: str, other: str) -> int:
    """Number of characters up to which two texts are the same, 0 where these are too few words to say anything."""
    same = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(text, other, strict=False)))
    return same if count_words(text[:same]) >= _OPENING else 0


def _prefix_warning(prefixes: Mapping[str, float]) -> Iterable[str]:
    """Say that AI texts continue human ones."""
    sharing = {id: share for id, share in prefixes.items() if share >= _PREFIX}
    if sharing and len(sharing) >= _SHARING * len(prefixes):
        mean = sum(sharing.values()) / len(sharing)
        what = f"of {len(prefixes)} AI texts begin with the text of their human counterpart"
        yield (
            f"{_found(list(sharing), what, str)} ({mean:.0%} of their characters on average): a person wrote those, "
            "so detectors look worse than they are; cut it off both texts of each pair, or measure on longer texts"
        )


def _warnings(
    found: _Read, ids: _Ids, exact: Sequence[Sequence[int]], near: Sequence[tuple[int, int]]
) -> Iterable[str]:
    def in_several(positions: Iterable[int]) -> bool:
        return len({found.splits[i] for i in positions}) > 1

    if across := [group for group in exact if in_several(group)]:
        yield _found(across, "texts are in more than one split", ids.equal)
    if leaked := [pair for pair in near if in_several(pair)]:
        yield _found(leaked, "pairs of near-duplicate texts are in different splits", ids.similar)
    if apart := [name for name, members in found.pairs.items() if in_several(members)]:
        yield _found(apart, "pairs are split: their texts are in more than one split", str)
    if contradictory := [group for group in exact if len({found.labels[i] for i in group} - {None}) > 1]:
        yield _found(contradictory, "texts are labelled both human and ai", ids.equal)
    yield from _length_gap(found)


def _notes(
    found: _Read,
    ids: _Ids,
    exact: Sequence[Sequence[int]],
    near: Sequence[tuple[int, int]],
    shares: Mapping[str, float],
) -> Iterable[str]:
    if exact:
        yield _found(exact, "texts occur more than once", ids.equal)
    if near:
        yield _found(near, "pairs of texts are near duplicates", ids.similar)
    if found.pairs:
        for label, other in (("ai", "human"), ("human", "ai")):
            matched = {
                i
                for members in found.pairs.values()
                if any(found.labels[i] == other for i in members)
                for i in members
            }
            if lacking := [i for i, known in enumerate(found.labels) if known == label and i not in matched]:
                yield _found(lacking, f"{label} texts have no {other} counterpart", ids.of)
    for split in ("calibration", "train", "test"):
        yield from _lacks(found, split)
    if unknown := [i for i, label in enumerate(found.labels) if label is None]:
        yield _found(unknown, "texts have no label", ids.of)
    if shares:
        yield "shares of groups: " + ", ".join(f"{group} {share:.1%}" for group, share in shares.items())


def _lacks(found: _Read, split: str) -> Iterable[str]:
    labels = {label for of, label, _ in found.words if of == split}
    if not labels:
        yield f"the {split} split is empty"
        return
    for label in ("human", "ai"):
        if label not in labels:
            yield f"the {split} split has no {label} texts"


def _length_gap(found: _Read) -> Iterable[str]:
    """Lengths that differ by label let a detector look good by counting words."""
    words = {
        label: median([n for (_, of, _), counts in found.words.items() if of == label for n in counts] or [0])
        for label in ("human", "ai")
    }
    short, long = sorted(words.values())
    if short and long / short > 1.5:
        yield f"lengths differ by label: median {words['human']:g} words human, {words['ai']:g} ai"


def _found(items: Sequence[T], what: str, name: Callable[[T], str]) -> str:
    shown = ", ".join(name(item) for item in items[:3])
    return f"{len(items)} {what}: {shown}{', …' if len(items) > 3 else ''}"
