"""Rewriter: zero-width spaces between characters; invisible, but a tokenizer splits every word at them.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``zero_width_space``, after 100 % of the characters. Deviation:
after user-perceived characters (grapheme clusters, UAX 29), so that no accent, emoji or syllable is split.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

ZERO_WIDTH_SPACE = "\u200b"


class ZeroWidthOptions(RateOptions):
    rate: float = rate_field(1.0)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        editor_spec(
            ZeroWidth,
            ZeroWidthOptions,
            "a zero-width space after characters",
            extra="rewriters",
            modules=("regex",),
        )
    ]


class ZeroWidth(Edits):
    """Places: after each user-perceived character, the last one too."""

    name = "zero-width"

    def places(self, text: str) -> Sequence[Span]:
        import regex

        return [Span(found.end(), found.end()) for found in regex.finditer(r"\X", text)]

    def change(self, text: str, place: Span, rng: random.Random) -> str:  # noqa: ARG002 - always the same
        return ZERO_WIDTH_SPACE
