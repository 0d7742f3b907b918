"""Rewriter: articles left out, as learners of English do.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``article_deletion``, at 50 %. Deviations: RAID deletes "a", "an"
and "the" only where they are in lower case between two spaces, so never at the beginning of a sentence or a line;
here those are eligible too, and the next word is capitalised instead. A capital "A" or "The" elsewhere is part
of a name and is left.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

SMALL = r"(?<![\w.'’-])(?:a|an|the)[ \t]+(?=\w)"
CAPITAL = r"(?<![\w.'’-])(?:A|An|The)[ \t]+[a-z]"
ARTICLE = re.compile(f"{SMALL}|{CAPITAL}")
BEFORE = 40
"""Number of characters before an article that are searched for the end of the last sentence."""


class ArticleDeletionOptions(RateOptions):
    rate: float = rate_field(0.5)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [editor_spec(ArticleDeletion, ArticleDeletionOptions, "articles (a, an, the) left out")]


class ArticleDeletion(Edits):
    """Places: articles before a word, capital ones at the beginning of a sentence only."""

    name = "article-deletion"

    def places(self, text: str) -> Sequence[Span]:
        return [
            Span(*found.span())
            for found in ARTICLE.finditer(text)
            if found[0][0].islower() or _begins_sentence(text, found.start())
        ]

    def change(self, text: str, place: Span, rng: random.Random) -> str:  # noqa: ARG002 - always the same
        return text[place.end - 1].upper() if text[place.start].isupper() else ""


def _begins_sentence(text: str, start: int) -> bool:
    before = text[max(0, start - BEFORE) : start].rstrip(" \t\"'“”‘’([*_")
    return not before or before[-1] in ".!?…:\n"
