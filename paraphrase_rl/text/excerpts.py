"""Excerpts: the first sentences of a text, at most so many words.

A text can be compared with others only at one length, since scores of detectors depend on it.
"""

from __future__ import annotations

import itertools
import re

from paraphrase_rl.text.sentences import each_sentence_end

_WORD = re.compile(r"\S+")


def excerpt(text: str, words: int) -> str:
    """Return the first whole sentences of a text, at most ``words`` white-space separated words.

    At least one sentence is kept; a first sentence longer than ``words`` is cut behind its ``words``-th word.
    The result is a prefix of the text (leading space aside), so nothing in it is reworded or respaced.
    """
    text = text.strip()
    limit = _end_of_word(text, words)
    last = 0
    for end in itertools.takewhile(lambda end: end <= limit, each_sentence_end(text)):
        last = end
    return text[: last or limit].rstrip()


def _end_of_word(text: str, words: int) -> int:
    end = len(text)
    for count, match in enumerate(_WORD.finditer(text), start=1):
        end = match.end()
        if count == words:
            break
    return end
