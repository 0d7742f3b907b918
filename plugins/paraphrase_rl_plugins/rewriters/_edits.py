"""What the rewriters share that edit places of a text: how many places, which ones, and what goes wrong.

A place is chosen by (rewriter, seed, digest of the text, number of the rewrite) alone, so that a text's rewrites
depend on no other text of the call and are the same in every process.
"""

from __future__ import annotations

import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from paraphrase_rl.files import sha256_text
from paraphrase_rl.plugins import one_line
from paraphrase_rl.specs import Options
from paraphrase_rl.types import Failure, Rewrite

REDRAWS = 32
"""Draws of a rewrite that repeats an earlier one of its text, before the repetition is accepted."""
LOWER_WORD = re.compile(r"(?<![\w@./\\'’])[a-z]{2,}(?![\w@/'’]|\.\w)")
"""A word in small letters: no name, no acronym, no part of an address, a path or a contraction."""


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text; empty where something is inserted."""

    start: int
    end: int


def rate_field(default: float) -> Any:
    """The option that every rewriter with eligible places has; ``default`` is the published rate."""
    return Field(default, ge=0, le=1, description="share of the eligible places changed, 0 = none, 1 = all")


class RateOptions(Options):
    """Base of the options of a rewriter that edits places."""

    rate: float


class Edits(ABC):
    """Changes a share of a text's eligible places, chosen at random: round(rate x places), halves up.

    A text without eligible places comes back as it is. The ``n`` rewrites of a text differ where there is room,
    and the first of them do not depend on ``n``.

    Attributes:
        name: of the rewriter, owner of its failures.
        random_changes: whether :meth:`change` has several answers for a place.
    """

    name: ClassVar[str]
    random_changes: ClassVar[bool] = False

    def __init__(self, options: RateOptions) -> None:
        self.rate = options.rate

    @abstractmethod
    def places(self, text: str) -> Sequence[Span]:
        """All eligible places, in order, none overlapping another."""

    @abstractmethod
    def change(self, text: str, place: Span, rng: random.Random) -> str:
        """What stands at the place instead; never what stands there."""

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        """``n`` rewrites for each text; an empty text, or one it crashes on, is a Failure."""
        return contained(self.name, texts, lambda text: self._samples(text, n, seed))

    def _samples(self, text: str, n: int, seed: int) -> list[str]:
        places = self.places(text)
        k = math.floor(self.rate * len(places) + 0.5)
        digest = sha256_text(text)
        samples: list[str] = []
        room = 0 < k < len(places) or (self.random_changes and k > 0)
        for sample in range(n):
            for attempt in range(REDRAWS if room else 1):
                rng = random.Random(f"{self.name} {seed} {digest} {sample} {attempt}")
                drawn = self._draw(text, sorted(rng.sample(places, k)), rng)
                if drawn not in samples:
                    break
            room = room and drawn not in samples
            samples.append(drawn)
        return samples

    def _draw(self, text: str, chosen: Sequence[Span], rng: random.Random) -> str:
        parts, done = [], 0
        for place in chosen:
            parts += [text[done : place.start], self.change(text, place, rng)]
            done = place.end
        return "".join([*parts, text[done:]])


def contained(
    name: str, texts: Sequence[str], rewrites: Callable[[str], Sequence[str]]
) -> list[list[Rewrite] | Failure]:
    """``rewrites`` of each text; a text that is none, that is or becomes empty, or crashes costs itself alone."""
    return [_contained(name, i, text, rewrites) for i, text in enumerate(texts)]


def _contained(
    name: str, index: int, text: object, rewrites: Callable[[str], Sequence[str]]
) -> list[Rewrite] | Failure:
    def failure(kind: str, message: str) -> Failure:
        return Failure(index=index, owner=name, kind=kind, message=message)

    if not isinstance(text, str):
        return failure("not-text", f"{type(text).__name__} is not a text")
    if not text.strip():
        return failure("empty", "the text is empty")
    try:
        found = [Rewrite(text=new) for new in rewrites(text)]
    except Exception as error:
        return failure("crashed", one_line(error)[:300])
    if not all(rewrite.text.strip() for rewrite in found):
        return failure("empty", "nothing is left of the text")
    return found
