"""Names and negations in English text, found by rule, and the share of such facts that a rewrite preserves or adds.

The rewrite must have only the source's certain items, but any possible item of the rewrite counts, so that a doubt
never counts as damage:
"one" in the rewrite keeps the source's "1", a name at the start of a sentence keeps the source's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator

from paraphrase_rl.plugin import sentence_ends

Found = tuple[frozenset[Hashable], frozenset[Hashable]]
"""Pair of sets: items that are certain, and all possible items, which include the certain ones."""

_WORD = re.compile(r"[^\W\d_]\w*(?:[-'’]\w+)*")
_POSSESSIVE = re.compile(r"['’]s$")
_QUOTE = re.compile(r"[\"“”«»]")
_FRESH_START = re.compile(r"[:\n•]|(?:^|[\s(\[–—-])[\"'“‘«]$")
"""A gap behind which a capital tells nothing: a colon, a new line, an opening quotation mark."""
_FUNCTION_WORDS = (
    "a an the and or but nor so yet if of in on at to for from by with as into over under after before between is are "
    "was were be been am do does did has have had will would can could may might must shall should it its he him his "
    "she her hers they them their we us our you your i me my mine this that these those there here not no yes when "
    "where what who whom whose which why how then than also however while because although mr mrs ms miss dr prof sir"
)
_NEVER_NAMES = frozenset(_FUNCTION_WORDS.split())
_NEGATION = re.compile(
    r"\b(?:not|cannot|never|none|nobody|nothing|nowhere|neither|without)\b|\bno\b(?!\.\s*\d)|n['’]t\b",
    re.IGNORECASE,
)


def names(text: str) -> Found:
    """Find names, word by word, in lower case and without a possessive ending.

    Certain are words with a capital inside a sentence, and words with a capital behind their first letter ("NASA",
    "McDonald") anywhere. No name is: the first word of a sentence, line or quotation, or after a colon; a word
    of a closed list of English function words and titles; anything in a sentence without a word in lower case (a
    headline). All words of the text may be names.
    """
    words = [(match, _key(match[0])) for match in _WORD.finditer(text)]
    certain = {key for sentence in _sentences(text, words) for key in _certain(text, sentence)}
    return frozenset(certain), frozenset(key for _, key in words)


def negations(text: str) -> int:
    """Count negations: not, n't, no, cannot, never, none, nobody, nothing, nowhere, neither, without.

    "nor" is left out, since it follows another negation, and so is "No." before a number.
    """
    return sum(1 for _ in _NEGATION.finditer(text))


def kept(find: Callable[[str], Found]) -> Callable[[str, str], float]:
    """Build the measure of the share of the source's items that the rewrite has, in [0, 1]; NaN without items."""

    def measure(source: str, rewrite: str) -> float:
        wanted, found = find(source)[0], find(rewrite)[1]
        return len(wanted & found) / len(wanted) if wanted else math.nan

    return measure


def added(find: Callable[[str], Found]) -> Callable[[str, str], float]:
    """Build the measure that counts the certain items of the rewrite that the source does not have."""

    def measure(source: str, rewrite: str) -> float:
        return float(len(find(rewrite)[0] - find(source)[1]))

    return measure


def agreement(find: Callable[[str], Found]) -> Callable[[str, str], float]:
    """Build the measure of items kept over items kept, lost and added, in [0, 1]; NaN where neither text has any.

    Lost are certain items of the source that the rewrite does not have; added, certain items of the rewrite that the
    source does not have.
    """

    def measure(source: str, rewrite: str) -> float:
        (wanted, had), (new, found) = find(source), find(rewrite)
        named = len(wanted) + len(new - had)
        return len(wanted & found) / named if named else math.nan

    return measure


def negations_agreement(source: str, rewrite: str) -> float:
    """Compute the smaller number of negations over the larger, in [0, 1]; NaN where neither text has any."""
    counts = negations(source), negations(rewrite)
    return min(counts) / max(counts) if max(counts) else math.nan


_Words = list[tuple[re.Match[str], str]]


def _key(word: str) -> str:
    return _POSSESSIVE.sub("", word).casefold().replace("’", "'")


def _sentences(text: str, words: _Words) -> Iterator[_Words]:
    """The words of each sentence; quotation marks do not hold sentences together here."""
    at = 0
    for end in sentence_ends(_QUOTE.sub(" ", text)):
        first = at
        while at < len(words) and words[at][0].start() < end:
            at += 1
        yield words[first:at]


def _certain(text: str, sentence: _Words) -> Iterator[str]:
    if not any(match[0][0].islower() for match, _ in sentence):
        return
    for i, (match, key) in enumerate(sentence):
        word = match[0]
        if key.partition("'")[0] in _NEVER_NAMES or key.endswith("n't"):
            continue
        if any(letter.isupper() for letter in _POSSESSIVE.sub("", word)[1:]):
            yield key
        elif i > 0 and word[0].isupper():
            gap = text[sentence[i - 1][0].end() : match.start()]
            if not _FRESH_START.search(gap):
                yield key
