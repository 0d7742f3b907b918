"""Rewriter: American spellings become British ones, or the other way round.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``alternative_spelling``, every American spelling (100 %).
Deviations: the list is the one that the package ``breame`` ships (about 1,700 pairs, Apache-2.0), because RAID
downloads its own at run time; whole words only (RAID also finds "color" within "Colorado"); the case of a word is
preserved; both directions.

Pairs apply whatever a word means, as in RAID: a computer "program" becomes a "programme".
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from paraphrase_rl.plugin import Context, RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

WORD = re.compile(r"(?<![\w@./\\'’])[A-Za-z]{2,}(?![\w@/]|\.\w)")


class AlternativeSpellingOptions(RateOptions):
    rate: float = rate_field(1.0)
    to: Literal["british", "american"] = Field("british", description="spelling to change to")


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        editor_spec(
            AlternativeSpelling,
            AlternativeSpellingOptions,
            "American spellings become British, or the reverse",
            factory=build,
            extra="rewriters",
            modules=("breame",),
            licence="list of pairs: Apache-2.0 (breame)",
        )
    ]


def build(options: AlternativeSpellingOptions, context: Context) -> AlternativeSpelling:  # noqa: ARG001 - the factory's signature
    """Build the rewriter."""
    from breame.data.spelling_constants import AMERICAN_ENGLISH_SPELLINGS, BRITISH_ENGLISH_SPELLINGS

    pairs = AMERICAN_ENGLISH_SPELLINGS if options.to == "british" else BRITISH_ENGLISH_SPELLINGS
    return AlternativeSpelling(options, pairs)


class AlternativeSpelling(Edits):
    """Rewriter of places: words spelt differently in the other variety, in lower case, capitalised or in capitals.

    Args:
        options: of the rewriter.
        pairs: spelling in lower case -> spelling that replaces it.
    """

    name = "alternative-spelling"

    def __init__(self, options: AlternativeSpellingOptions, pairs: Mapping[str, str]) -> None:
        super().__init__(options)
        self.pairs = {old: new for old, new in pairs.items() if old != new}

    def places(self, text: str) -> Sequence[Span]:
        return [
            Span(*found.span())
            for found in WORD.finditer(text)
            if found[0].lower() in self.pairs and _case(found[0]) is not None
        ]

    def change(self, text: str, place: Span, rng: random.Random) -> str:  # noqa: ARG002 - always the same
        word = text[place.start : place.end]
        new = self.pairs[word.lower()]
        return {"lower": new, "title": new[:1].upper() + new[1:], "upper": new.upper()}[
            _case(word) or "lower"
        ]


def _case(word: str) -> Literal["lower", "title", "upper"] | None:
    if word.islower():
        return "lower"
    if word.isupper():
        return "upper"
    return "title" if word[0].isupper() and word[1:].islower() else None
