"""Duplicates and near duplicates of texts: one measure for the audit of data and for what a fitted thing has seen.

Two texts are **duplicates** if they are equal except for white space, and **near duplicates** if the shorter shares at
least half of its word 8-grams with the other; case and punctuation do not count. An excerpt is a near duplicate of its
text.
"""

from __future__ import annotations

import re
from zlib import crc32

SHINGLE_WORDS = 8
NEAR = 0.5
"""Share of the shorter text's word 8-grams from which on two texts are near duplicates."""
COMMON = 50
"""An 8-gram in more texts than this is boilerplate: it does not propose a pair, but counts as shared."""
_REPEATED = 4
_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """Replace every run of white space by one space; two texts equal after this are duplicates."""
    return " ".join(text.split())


def shingles(text: str) -> frozenset[int]:
    """Return 32-bit hashes (CRC-32) of the word 8-grams of a text, the same in every process.

    A text under 8 words has none; nor has one that only repeats itself (each 8-gram four times or more on average): it
    would be a near duplicate of every text that repeats the same.
    """
    words = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]
    count = len(words) - SHINGLE_WORDS + 1
    found = frozenset(crc32(b" ".join(words[i : i + SHINGLE_WORDS])) for i in range(count))
    return frozenset() if count > 1 and _REPEATED * len(found) <= count else found
