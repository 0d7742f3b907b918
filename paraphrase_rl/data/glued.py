"""Words glued together where a line end was deleted, a fault of published sets that gives a label away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[a-z]+")
_SENTENCES = re.compile(r"[a-z]{2}[.!?][A-Z][a-z]")
_SEEN = 5
"""Both halves must be words of at least so many texts of the sample, the whole of no other."""
_SHORTEST = 6


def glued(texts: Sequence[str]) -> list[bool]:
    """Which texts hold words glued together: ``the.Then``, or ``ofthe`` where both halves are common words.

    The vocabulary is that of the texts themselves, so a small sample finds less. A rare compound can be taken
    for a glued pair; compare shares, do not mend texts by this.
    """
    words = [set(_WORD.findall(text.lower())) for text in texts]
    seen = Counter(word for found in words for word in found)
    return [
        bool(_SENTENCES.search(text)) or any(_splits(word, seen) for word in found)
        for text, found in zip(texts, words, strict=True)
    ]


def _splits(word: str, seen: Counter[str]) -> bool:
    if len(word) < _SHORTEST or seen[word] > 1:
        return False
    return any(seen[word[:at]] >= _SEEN and seen[word[at:]] >= _SEEN for at in range(2, len(word) - 1))
