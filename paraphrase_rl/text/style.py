"""Measures of how a text is written, from its characters alone: what tells one kind of text from another.

Shares enter as their square roots, which makes the spread of a count about the same whatever its mean (Bartlett 1936);
lengths enter as logarithms. Function words and pronouns are English: in other languages these measures are near zero
for every text alike.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache

from paraphrase_rl.text.language import FUNCTION_WORDS
from paraphrase_rl.text.length import count_words

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_SENTENCE_END = re.compile(r"[.!?。！？]+(?=\s|$|[\"'”’)])|[。！？]")
_MARKS = {
    "commas": re.compile("[,،、，]"),
    "quotation marks": re.compile('["“”„«»]'),
    "further punctuation": re.compile(r"[;:()\[\]–—*#|/\\]|\s-+\s"),
    "line breaks": re.compile(r"\n+"),
}
_FIRST = "i me my mine myself we us our ours ourselves i'm i've i'd i'll we're we've"
_SECOND = "you your yours yourself you're you've you'll"
_THIRD = "he him his she her hers they them their theirs he's she's they're"
_PRONOUNS = {
    "first person": frozenset(_FIRST.split()),
    "second person": frozenset(_SECOND.split()),
    "third person": frozenset(_THIRD.split()),
}
_LEXICAL_WORDS = 50
_LEAST_LETTERS, _MOST_LETTERS = 20, 2_000

STYLE = (
    "length",
    "word length",
    "sentence length",
    "repeated words",
    "function words",
    "capitals",
    "numbers",
    "contractions",
    *_PRONOUNS,
    *_MARKS,
)
"""Names of the measures of :func:`style`, in order."""


@lru_cache(maxsize=1024)  # each detector of an ensemble asks for it
def style(text: str) -> tuple[float, ...]:
    """Measure a text; finite values in the order of :data:`STYLE`."""
    found = _WORD.findall(text)
    words = [word.lower().replace("’", "'") for word in found] or [""]
    n = len(words)

    def share(count: float) -> float:
        return math.sqrt(count / n)

    sentences = len(_SENTENCE_END.findall(text)) or 1
    first = words[:_LEXICAL_WORDS]
    return (
        math.log(1 + count_words(text)),
        math.log(1 + sum(map(len, words)) / n),
        math.log(1 + n / sentences),
        share(n * (1 - len(set(first)) / len(first))),
        share(sum(word in FUNCTION_WORDS for word in words)),
        share(sum(word[:1].isupper() for word in found)),
        share(sum(word[0].isdecimal() for word in words if word)),
        share(sum("'" in word for word in words)),
        *(share(sum(word in some for word in words)) for some in _PRONOUNS.values()),
        *(share(len(mark.findall(text))) for mark in _MARKS.values()),
    )


def script(text: str) -> str | None:
    """Name the script of most letters of a text, such as ``Latin``; ``None`` where it has fewer than 20 letters."""
    letters = Counter(char for char in text[: 2 * _MOST_LETTERS] if char.isalpha())
    counts: Counter[str] = Counter()
    for char, times in letters.items():
        counts[_script_of(char)] += times
    if counts.total() < _LEAST_LETTERS:
        return None
    return max(sorted(counts), key=counts.__getitem__)


@lru_cache(maxsize=4096)
def _script_of(char: str) -> str:
    """The first word of a letter's Unicode name; Kana and Chinese characters are one, as Japanese mixes them."""
    name = unicodedata.name(char, "unknown").partition(" ")[0].capitalize()
    return "Cjk" if name in ("Hiragana", "Katakana", "Cjk") else name
