"""Sentences, and short ways to rewrite them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.types import Failure

SENTENCES: Sequence[str] = (
    "The ferry was late again this morning, so half the village stood on the pier and complained.",
    "A man of 47 was taken to hospital after the crash on the A9, police said at 11.30 on Tuesday.",
    "Don't forget that Dr. Ellis, an honest doctor, colored the center of each of the 1,250 slides gray!",
    "I can't organize an event in 2019 without a program, a theater and $3.75 for the posters.",
    "Who told the children that an owl, a pike and the neighbor's dog would never behave?",
    'She said: "The second bridge is closed." We walked back, wet to the knees.',
    "Regular exercise improves mood, promotes better sleep and quickly reduces the risk of 20 chronic diseases.",
    "In conclusion, individuals can improve their communication skills (see pp. 12-14) by listening actively.",
    "Coop, Ace and Opie hope to cope; 0 of 5 coaches is a pace that I accept.",
)
"""Clean English: ASCII, single spaces, and in each a letter that has no look-alike."""

ALL = (
    "homoglyph",
    "zero-width",
    "whitespace",
    "misspelling",
    "synonym",
    "article-deletion",
    "upper-lower",
    "number-swap",
    "paragraph-breaks",
    "alternative-spelling",
)
"""The rewriters that have a rate."""


def clean_texts() -> st.SearchStrategy[str]:
    """Texts of one to five sentences in one or two paragraphs."""
    paragraph = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3).map(" ".join)
    return st.lists(paragraph, min_size=1, max_size=2).map("\n\n".join)


def rewritten(name: str, text: str, n: int = 1, seed: int = 0, **options: object) -> list[str]:
    """The ``n`` rewrites of one text."""
    (found,) = default_registry().build("rewriters", name, options).rewrite([text], n, seed)
    assert not isinstance(found, Failure), found
    return [rewrite.text for rewrite in found]


def once(name: str, text: str, seed: int = 0, **options: object) -> str:
    """One rewrite of one text."""
    return rewritten(name, text, 1, seed, **options)[0]
