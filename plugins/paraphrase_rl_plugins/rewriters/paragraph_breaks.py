"""Rewriter: empty lines between sentences.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``insert_paragraphs``, at 50 % of the places between two sentences.
Deviations: sentences are found by a rule (end mark, white space, then a capital letter, a digit or an opening quote;
not after common abbreviations and initials) and not by NLTK's punkt; the break replaces the white space (RAID keeps a
space at the end of the line and joins all other sentences by one space); existing paragraph breaks are not eligible.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

BREAK = "\n\n"
_ABBREVIATIONS = """
mr mrs ms dr prof st sr jr rev gen col sgt capt lt gov sen rep hon vs etc al fig no inc ltd co cf ca approx vol pp
"""
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
BETWEEN = re.compile(r"(?P<mark>[.?!…]+)[\"'”’)\]]*(?P<gap>\s+)(?=[\"'“‘(\[]*[A-Z0-9À-ÖØ-Þ])")
LAST_WORD = re.compile(r"\w+\Z")
LONGEST_WORD = 20
"""Number of characters before an end mark that are searched for its word; longer than any abbreviation."""


class ParagraphBreaksOptions(RateOptions):
    rate: float = rate_field(0.5)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [editor_spec(ParagraphBreaks, ParagraphBreaksOptions, "an empty line between sentences")]


class ParagraphBreaks(Edits):
    """Places: the white space between two sentences of a paragraph."""

    name = "paragraph-breaks"

    def places(self, text: str) -> Sequence[Span]:
        return [
            Span(*found.span("gap"))
            for found in BETWEEN.finditer(text)
            if found["gap"].count("\n") < len(BREAK) and not _abbreviates(text, found)
        ]

    def change(self, text: str, place: Span, rng: random.Random) -> str:  # noqa: ARG002 - always the same
        return BREAK


def _abbreviates(text: str, found: re.Match[str]) -> bool:
    """Return whether a full stop belongs to an abbreviation or an initial."""
    start = found.start("mark")
    word = LAST_WORD.search(text[max(0, start - LONGEST_WORD) : start])
    if found["mark"] != "." or word is None:
        return False
    return len(word[0]) == 1 or word[0].lower() in ABBREVIATIONS
