"""Rewriter: typing errors.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``perplexity_misspelling``, misspells 20 % of the words.
Deviations: RAID looks misspellings up in a list and takes the words that GPT-2 finds least likely; here words are
drawn at random, and the errors follow a model: one error a word, equally often each of the four kinds that Damerau
1964 (CACM 7(3)) found behind 80 % of misspellings: two neighbouring letters exchanged, a letter left out, one too
many (here: doubled), a wrong one (here: a neighbour on a QWERTY keyboard). The first letter of a word stays, as it
mostly does (Kukich 1992, ACM Computing Surveys 24(4)). A misspelling can happen to be another word.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import (
    LOWER_WORD,
    Edits,
    RateOptions,
    Span,
    editor_spec,
    rate_field,
)

LEAST_LETTERS = 4
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _beside(letter: str) -> str:
    row = next(row for row in _ROWS if letter in row)
    i = row.index(letter)
    return row[max(0, i - 1) : i] + row[i + 1 : i + 2]


BESIDE = {letter: _beside(letter) for row in _ROWS for letter in row}
"""Keys left and right of each letter."""


class MisspellingOptions(RateOptions):
    rate: float = rate_field(0.2)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        editor_spec(
            Misspelling,
            MisspellingOptions,
            "typing errors, one in a word of four letters and more",
            paper="Dugan et al. 2024 (RAID), arXiv 2405.07940; Damerau 1964",
        )
    ]


class Misspelling(Edits):
    """Places: English words in lower case, of four letters and more."""

    name = "misspelling"
    random_changes = True

    def places(self, text: str) -> Sequence[Span]:
        return [
            Span(*found.span())
            for found in LOWER_WORD.finditer(text)
            if found.end() - found.start() >= LEAST_LETTERS
        ]

    def change(self, text: str, place: Span, rng: random.Random) -> str:
        return misspelt(text[place.start : place.end], rng)


def misspelt(word: str, rng: random.Random) -> str:
    """Put one typing error into a word (a to z, two letters or more) after its first letter."""
    exchangeable = [i for i in range(1, len(word) - 1) if word[i] != word[i + 1]]
    kind = rng.choice(("exchanged", "left out", "doubled", "wrong"))
    if kind == "exchanged" and exchangeable:
        i = rng.choice(exchangeable)
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    i = rng.randrange(1, len(word))
    if kind == "left out":
        return word[:i] + word[i + 1 :]
    if kind == "doubled":
        return word[: i + 1] + word[i:]
    return word[:i] + rng.choice(BESIDE[word[i]]) + word[i + 1 :]
