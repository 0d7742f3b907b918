"""Rewriter: additional spaces between words.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``whitespace``, at 20 % of the words. Deviations: RAID draws with
replacement (three spaces can result, and fewer than 20 % of the gaps change) and may add a space at the text's
end.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

GAP = re.compile(r"(?<=\S) +(?=\S)")


class WhitespaceOptions(RateOptions):
    rate: float = rate_field(0.2)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [editor_spec(Whitespace, WhitespaceOptions, "one additional space between words")]


class Whitespace(Edits):
    """Places: the gaps between words of a line."""

    name = "whitespace"

    def places(self, text: str) -> Sequence[Span]:
        return [Span(found.end(), found.end()) for found in GAP.finditer(text)]

    def change(self, text: str, place: Span, rng: random.Random) -> str:  # noqa: ARG002 - always the same
        return " "
