"""Rewriter: Latin letters replaced by look-alikes of other scripts, so that a detector sees other tokens.

Creo and Pudasaini 2024, "SilverSpeak: Evading AI-Generated Text Detectors using Homoglyphs" (arXiv 2406.11239) and
RAID (Dugan et al. 2024, arXiv 2405.07940, attack ``homoglyph``). Deviations: SilverSpeak's 10 % are of all characters
of the text, ours of the letters that have a look-alike; RAID swaps every letter of a smaller table (``rate: 1``). A
letter that carries a combining mark is not changed, because the mark would be drawn differently.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field
from paraphrase_rl_plugins.rewriters._lookalikes import LOOKALIKES


class HomoglyphOptions(RateOptions):
    rate: float = rate_field(0.1)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        editor_spec(
            Homoglyph,
            HomoglyphOptions,
            "Latin letters become look-alikes of the Cyrillic and Greek scripts",
            paper="Creo and Pudasaini 2024, arXiv 2406.11239; Dugan et al. 2024 (RAID), arXiv 2405.07940",
        )
    ]


class Homoglyph(Edits):
    """Places: Latin letters that have a look-alike and carry no combining mark."""

    name = "homoglyph"
    random_changes = True

    def places(self, text: str) -> Sequence[Span]:
        return [
            Span(i, i + 1)
            for i, character in enumerate(text)
            if character in LOOKALIKES and unicodedata.category(text[i + 1 : i + 2] or " ")[0] != "M"
        ]

    def change(self, text: str, place: Span, rng: random.Random) -> str:
        return rng.choice(LOOKALIKES[text[place.start]])
