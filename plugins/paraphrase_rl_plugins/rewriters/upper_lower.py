"""Rewriter: upper and lower case of words' first letters swapped.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``upper_lower``, at 5 % of the words. Deviations: letters without
case (Chinese, Arabic) are not counted as places, since nothing can be changed there; "don't" is one word, in RAID
two.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class UpperLowerOptions(RateOptions):
    rate: float = rate_field(0.05)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [editor_spec(UpperLower, UpperLowerOptions, "first letters of words change case")]


class UpperLower(Edits):
    """Places: first letters of words, where both cases exist and are one character each."""

    name = "upper-lower"

    def places(self, text: str) -> Sequence[Span]:
        starts = (found.start() for found in WORD.finditer(text))
        return [Span(i, i + 1) for i in starts if len(turned(text[i])) == 1 and turned(text[i]) != text[i]]

    def change(self, text: str, place: Span, rng: random.Random) -> str:  # noqa: ARG002 - always the same
        return turned(text[place.start])


def turned(letter: str) -> str:
    """Change the case of a letter; several characters for a few letters, such as ß."""
    return letter.lower() if letter.isupper() else letter.upper()
