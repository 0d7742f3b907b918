"""Rewriter: numbers replaced by others of the same length.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``number``, at 50 %. It changes the meaning of a text: the
result is not a paraphrase. Deviations: "1,200.50" is one number, in RAID two; leading zeros stay zeros and the first
other digit never becomes one, so that a number keeps its order of magnitude and always changes (RAID may draw the same
digit again); digits within names and ordinals (GPT-4o, 3rd, v1.2) are left. Digits are 0 to 9 of ASCII.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from paraphrase_rl.plugin import RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._edits import Edits, RateOptions, Span, editor_spec, rate_field

NUMBER = re.compile(r"(?<![\w.])[0-9]+(?:[.,][0-9]+)*(?![.,]?\w)")


class NumberSwapOptions(RateOptions):
    rate: float = rate_field(0.5)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [editor_spec(NumberSwap, NumberSwapOptions, "numbers become others with as many digits")]


class NumberSwap(Edits):
    """Places: numbers that stand alone and are not zero."""

    name = "number-swap"
    random_changes = True

    def places(self, text: str) -> Sequence[Span]:
        return [Span(*found.span()) for found in NUMBER.finditer(text) if found[0].strip("0.,")]

    def change(self, text: str, place: Span, rng: random.Random) -> str:
        number = text[place.start : place.end]
        zeros = len(number) - len(number.lstrip("0.,"))
        first = rng.choice([digit for digit in "123456789" if digit != number[zeros]])
        rest = "".join(rng.choice("0123456789") if c.isdigit() else c for c in number[zeros + 1 :])
        return number[:zeros] + first + rest
