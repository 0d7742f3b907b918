"""Texts with missing spaces where a line end was deleted: a fault of published sets that reveals the label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[a-z]+")
_SENTENCES = re.compile(r"[a-z]{2}[.!?][A-Z][a-z]")
_COMMONEST = "the of and that this which with from have was were these their our between using into been"
_LINKS = frozenset(_COMMONEST.split())
_SEEN = 3
_RARER = 20
"""Both halves must be words of at least ``_SEEN`` texts, and so many times commoner than the whole."""


def missing_spaces(texts: Sequence[str]) -> list[bool]:
    """Find texts in which a space between two words is missing: ``end.Then``, ``ofthe``, ``withmethods``.

    One of the two words must be among the commonest in English, with which every other line of prose begins or ends;
    the other must occur elsewhere in the texts, so that fewer are found in a small sample. Meant for comparing
    shares: a single find can be wrong, and most texts with the fault show it more than once.

    Returns:
        One bool for each text, in order.
    """
    words = [set(_WORD.findall(text.lower())) for text in texts]
    seen = Counter(word for found in words for word in found)
    return [
        bool(_SENTENCES.search(text)) or any(_splits(word, seen) for word in found)
        for text, found in zip(texts, words, strict=True)
    ]


def _splits(word: str, seen: Counter[str]) -> bool:
    enough = max(_SEEN, _RARER * seen[word])
    return any(
        seen[left] >= enough and seen[right] >= enough
        for left, right in ((word[:at], word[at:]) for at in range(2, len(word) - 1))
        if (left in _LINKS and (len(right) > 2 or right in _LINKS)) or (right in _LINKS and len(left) > 2)
    )
