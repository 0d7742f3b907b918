"""Length of a text in words, also of scripts that put no spaces between them."""

from __future__ import annotations

import re

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: their words have about two characters."""
CHARACTERS_A_WORD = 2


def count_words(text: str) -> int:
    """Count words: runs between white space, and of scripts without spaces two characters for a word."""
    characters = len(_UNSPACED.findall(text))
    if not characters:
        return len(text.split())
    others = [word for word in _UNSPACED.sub(" ", text).split() if any(map(str.isalnum, word))]
    return len(others) + -(-characters // CHARACTERS_A_WORD)
