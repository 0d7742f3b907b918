"""Audit of a data set: counts, duplicates, leakage between splits, incomplete pairs, shared beginnings, groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import median
from typing import TypeVar

from paraphrase_rl.files import sha256_text
from paraphrase_rl.text.duplicates import COMMON, NEAR, normalised, shingles
from paraphrase_rl.text.length import count_words
from paraphrase_rl.types import Document

T = TypeVar("T")
_PREFIX, _SHARING = 0.05, 0.1
"""Share of an AI text's characters, and share of the AI texts, from which on a shared beginning is no chance."""


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
            which the two are the same.
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
    """Audit documents, each of which has a split."""
    exact = _exact_duplicates(documents)
    near = _near_duplicates(documents)
    shares = _shares(documents)
    prefixes = _shared_prefixes(documents)
    return Audit(
        rows=_rows(documents),
        shares=shares,
        exact_duplicates=tuple(tuple(d.id for d in same) for same in exact),
        near_duplicates=tuple((a.id, b.id) for a, b in near),
        shared_prefixes=prefixes,
        warnings=(*_warnings(documents, exact, near), *_prefix_warning(prefixes)),
        notes=tuple(_notes(documents, exact, near, shares)),
    )


def _rows(documents: Sequence[Document]) -> tuple[AuditRow, ...]:
    alike: defaultdict[tuple[str, str, str], list[Document]] = defaultdict(list)
    for d in documents:
        alike[d.split or "", d.label or "unknown", d.group or ""].append(d)
    return tuple(
        AuditRow(
            *key,
            documents=len(found),
            words=median(count_words(d.text) for d in found),
            domains=dict(Counter(d.domain for d in found if d.domain is not None).most_common()),
        )
        for key, found in sorted(alike.items())
    )


def _shares(documents: Sequence[Document]) -> dict[str, float]:
    counts = Counter(d.group or "" for d in documents)
    if set(counts) <= {""}:
        return {}
    return {group or "none given": n / len(documents) for group, n in counts.most_common()}


def _exact_duplicates(documents: Sequence[Document]) -> list[list[Document]]:
    same: defaultdict[str, list[Document]] = defaultdict(list)
    for d in documents:
        same[sha256_text(normalised(d.text))].append(d)
    return [group for group in same.values() if len(group) > 1]


def _near_duplicates(documents: Sequence[Document]) -> list[tuple[Document, Document]]:
    """Pairs found through shared 8-grams, exact duplicates left out; a text under 8 words has no 8-gram."""
    grams = [shingles(d.text) for d in documents]
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for i, found in enumerate(grams):
        for shingle in found:
            holders[shingle].append(i)
    candidates = {
        (a, b)
        for group in holders.values()
        if 2 <= len(group) <= COMMON
        for k, b in enumerate(group)
        for a in group[:k]
    }
    return [
        (documents[a], documents[b])
        for a, b in sorted(candidates)
        if len(grams[a] & grams[b]) >= NEAR * min(len(grams[a]), len(grams[b]))
        and normalised(documents[a].text) != normalised(documents[b].text)
    ]


def _shared_prefixes(documents: Sequence[Document]) -> dict[str, float]:
    found: dict[str, float] = {}
    for members in _by_pair(documents).values():
        human = [normalised(d.text) for d in members if d.label == "human"]
        for document in members:
            if human and document.label == "ai":
                text = normalised(document.text)
                found[document.id] = max(_in_common(text, other) for other in human) / len(text)
    return found


def _in_common(text: str, other: str) -> int:
    """Number of characters up to which two texts are the same."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(text, other, strict=False)))


def _prefix_warning(prefixes: Mapping[str, float]) -> Iterable[str]:
    """Say that AI texts continue human ones; a few equal words at the beginning are chance."""
    sharing = {id: share for id, share in prefixes.items() if share >= _PREFIX}
    if sharing and len(sharing) >= _SHARING * len(prefixes):
        mean = sum(sharing.values()) / len(sharing)
        what = f"of {len(prefixes)} AI texts begin with the text of their human counterpart"
        yield (
            f"{_found(list(sharing), what, str)} ({mean:.0%} of their characters on average): a person wrote those, "
            "so detectors look worse than they are; cut it off both texts of each pair, or measure on longer texts"
        )


def _warnings(
    documents: Sequence[Document],
    exact: Sequence[Sequence[Document]],
    near: Sequence[tuple[Document, Document]],
) -> Iterable[str]:
    if across := [group for group in exact if len({d.split for d in group}) > 1]:
        yield _found(across, "texts are in more than one split", _equal)
    if leaked := [pair for pair in near if pair[0].split != pair[1].split]:
        yield _found(leaked, "pairs of near-duplicate texts are in different splits", _similar)
    pairs = _by_pair(documents)
    if apart := [name for name, members in pairs.items() if len({d.split for d in members}) > 1]:
        yield _found(apart, "pairs are split: their texts are in more than one split", str)
    if contradictory := [group for group in exact if len({d.label for d in group} - {None}) > 1]:
        yield _found(contradictory, "texts are labelled both human and ai", _equal)
    yield from _length_gap(documents)


def _notes(
    documents: Sequence[Document],
    exact: Sequence[Sequence[Document]],
    near: Sequence[tuple[Document, Document]],
    shares: Mapping[str, float],
) -> Iterable[str]:
    if exact:
        yield _found(exact, "texts occur more than once", _equal)
    if near:
        yield _found(near, "pairs of texts are near duplicates", _similar)
    if pairs := _by_pair(documents):
        for label, other in (("ai", "human"), ("human", "ai")):
            if lacking := [
                d for d in documents if d.label == label and not _has(pairs.get(d.pair or ""), other)
            ]:
                yield _found(lacking, f"{label} texts have no {other} counterpart", lambda d: d.id)
    for split in ("calibration", "train", "test"):
        yield from _lacks(documents, split)
    if unknown := [d for d in documents if d.label is None]:
        yield _found(unknown, "texts have no label", lambda d: d.id)
    if shares:
        yield "shares of groups: " + ", ".join(f"{group} {share:.1%}" for group, share in shares.items())


def _equal(group: Sequence[Document]) -> str:
    return " = ".join(d.id for d in group)


def _similar(pair: tuple[Document, Document]) -> str:
    return f"{pair[0].id} ~ {pair[1].id}"


def _by_pair(documents: Sequence[Document]) -> dict[str, list[Document]]:
    pairs: defaultdict[str, list[Document]] = defaultdict(list)
    for d in documents:
        if d.pair is not None:
            pairs[d.pair].append(d)
    return pairs


def _has(members: Sequence[Document] | None, label: str) -> bool:
    return any(d.label == label for d in members or ())


def _lacks(documents: Sequence[Document], split: str) -> Iterable[str]:
    labels = {d.label for d in documents if d.split == split}
    if not labels:
        yield f"the {split} split is empty"
        return
    for label in ("human", "ai"):
        if label not in labels:
            yield f"the {split} split has no {label} texts"


def _length_gap(documents: Sequence[Document]) -> Iterable[str]:
    """Lengths that differ by label let a detector look good by counting words."""
    words = {
        label: median([count_words(d.text) for d in documents if d.label == label] or [0])
        for label in ("human", "ai")
    }
    short, long = sorted(words.values())
    if short and long / short > 1.5:
        yield f"lengths differ by label: median {words['human']:g} words human, {words['ai']:g} ai"


def _found(items: Sequence[T], what: str, name: Callable[[T], str]) -> str:
    shown = ", ".join(name(item) for item in items[:3])
    return f"{len(items)} {what}: {shown}{', …' if len(items) > 3 else ''}"
