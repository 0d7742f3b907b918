"""Selection of texts from several published sets for one training set, with the reasons for leaving texts out.

A row is an AI text, with its human counterpart if the set says which text that is. The choice depends on the
texts and the seed alone, not on the order of rows or files.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from paraphrase_rl.data.splits import drawn_order, opening
from paraphrase_rl.files import sha256_text
from paraphrase_rl.text.duplicates import normalised
from paraphrase_rl.types import Document

SHORTEST = 50
"""Least number of words of a text; shorter texts say little about who wrote them."""
LONGEST = 360
"""Largest number of words of an AI text: at 1.4 tokens a word its rewrite fits the recipe's 512 tokens."""
_ALIKE = "same text or opening as another one"
_SURPLUS = "more than needed"


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """One AI text of a set, and its human counterpart if that is known."""

    source: str
    rank: str
    ai: Document
    human: Document | None

    @property
    def documents(self) -> list[Document]:
        return [self.ai] if self.human is None else [self.ai, self.human]


@dataclass
class Offer:
    """Texts of one set that can be drawn.

    Attributes:
        rows: AI texts, first those with a human counterpart, in the order of their ranks.
        humans: human texts without an AI counterpart, in the order of their ranks.
        read: number of documents read, by label.
        left_out: number of documents left out, by reason.
    """

    rows: list[TrainingRow]
    humans: list[Document]
    read: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def rank(text: str, seed: int) -> str:
    """Compute the place of a text in the draw: a hash of the seed and the text."""
    return drawn_order([text], seed)


def read_offer(source: str, documents: Iterable[Document], seed: int, at_most: int) -> Offer:
    """Read a set once and collect the texts that can be drawn from it.

    Of a pair, the AI text and the human text with the lowest ranks are taken; of texts without a pair, the
    ``at_most`` texts of each label with the lowest ranks, so that a set of any size fits into memory.
    """
    offer = Offer([], [])
    pairs: dict[str, dict[str, tuple[str, Document]]] = {}
    alone = {"ai": _Lowest(at_most), "human": _Lowest(at_most)}
    for document in documents:
        if document.label is None:
            offer.left_out["no label"] += 1
            continue
        offer.read[document.label] += 1
        if reason := _unfit(document):
            offer.left_out[reason] += 1
            continue
        drawn = rank(document.text, seed)
        if document.pair is None:
            if reason := alone[document.label].add(drawn, document):
                offer.left_out[reason] += 1
            continue
        kept = pairs.setdefault(document.pair, {})
        if document.label in kept:
            offer.left_out["another text of its pair was taken"] += 1
        kept[document.label] = min(
            kept.get(document.label, (drawn, document)), (drawn, document), key=lambda item: item[0]
        )
    for kept in pairs.values():
        if "ai" in kept:
            human = kept["human"][1] if "human" in kept else None
            offer.rows.append(TrainingRow(source=source, rank=kept["ai"][0], ai=kept["ai"][1], human=human))
        else:
            if reason := alone["human"].add(*kept["human"]):
                offer.left_out[reason] += 1
    offer.rows += [TrainingRow(source=source, rank=drawn, ai=ai, human=None) for drawn, ai in alone["ai"]]
    offer.rows.sort(key=lambda row: (row.human is None, row.rank))
    offer.humans = [human for _, human in alone["human"]]
    return offer


@dataclass(frozen=True)
class Selection:
    """Texts that were drawn: rows in the order of the draw, and human texts without an AI counterpart, by set."""

    rows: list[TrainingRow]
    humans: dict[str, list[Document]]


def select(offers: Mapping[str, Offer], wanted: int) -> Selection:
    """Draw rows: first those whose group is known, then from each set in turn, so that all contribute equally.

    No two rows share a text or its first words: otherwise continuations of one human text could be in two splits.
        Human texts without an AI counterpart are added: all whose group is known, and from each set as many as
    it has rows without a human counterpart.
    """
    seen: set[str] = set()
    rows: list[TrainingRow] = []

    def admit(source: str, documents: list[Document]) -> bool:
        keys = {key for document in documents for key in _keys(document)}
        if keys & seen:
            offers[source].left_out[_ALIKE] += len(documents)
            return False
        seen.update(keys)
        return True

    grouped = {name: [row for row in offer.rows if row.ai.group] for name, offer in offers.items()}
    others = {name: [row for row in offer.rows if not row.ai.group] for name, offer in offers.items()}
    for row in chain(_in_turn(grouped), _in_turn(others)):
        if len(rows) == wanted:
            break
        if admit(row.source, row.documents):
            rows.append(row)
    humans: dict[str, list[Document]] = {}
    for name in sorted(offers):
        lacking = sum(row.source == name and row.human is None for row in rows)
        chosen: list[Document] = []
        for human in offers[name].humans:
            room = sum(not d.group for d in chosen) < lacking
            if (human.group or room) and admit(name, [human]):
                chosen.append(human)
        humans[name] = chosen
    return Selection(rows, humans)


def _in_turn(rows: Mapping[str, list[TrainingRow]]) -> Iterator[TrainingRow]:
    queues = [iter(rows[name]) for name in sorted(rows)]
    while queues:
        for queue in list(queues):
            row = next(queue, None)
            if row is None:
                queues.remove(queue)
            else:
                yield row


def _keys(document: Document) -> tuple[str, str]:
    return sha256_text(normalised(document.text)), opening(document.text)


def _unfit(document: Document) -> str:
    words = len(document.text.split())
    if words < SHORTEST:
        return f"under {SHORTEST} words"
    if document.label == "ai" and words > LONGEST:
        return f"AI text over {LONGEST} words"
    if any("\ud800" <= character <= "\udfff" for character in document.text):
        return "not valid Unicode"
    return ""


class _Lowest:
    """Documents of the lowest ranks, at most so many; equal texts count once."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._heap: list[tuple[int, str]] = []
        self._kept: dict[str, Document] = {}

    def add(self, drawn: str, document: Document) -> str:
        """Add a document; returns why it, or another one in its place, is left out; empty while there is room."""
        if drawn in self._kept:
            return _ALIKE
        self._kept[drawn] = document
        heapq.heappush(self._heap, (-int(drawn, 16), drawn))
        if len(self._heap) <= self._at_most:
            return ""
        del self._kept[heapq.heappop(self._heap)[1]]
        return _SURPLUS

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        return iter(sorted(self._kept.items()))
