"""Base of rewriters that edit places of a text: how many places, which ones, and the spec.

A place is chosen by (rewriter, seed, digest of the text, number of the rewrite) alone, so that a text's rewrites
depend on no other text of the call and are the same in every process.
"""

from __future__ import annotations

import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from paraphrase_rl.plugin import Options, Rewrite, RewriterSpec, Rewrites, sha256_text
from paraphrase_rl_plugins.rewriters._texts import OneByOne

RAID = "Dugan et al. 2024 (RAID), arXiv 2405.07940"
REDRAWS = 32
"""Number of draws before a rewrite may equal an earlier one of its text."""
LOWER_WORD = re.compile(r"(?<![\w@./\\'’])[a-z]{2,}(?![\w@/'’]|\.\w)")
"""Pattern of a word in lower case that is no part of an address, a path or a contraction."""


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text; empty where something is inserted."""

    start: int
    end: int


def rate_field(default: float) -> Any:
    """Define the option ``rate``; ``default`` is the published rate."""
    return Field(default, ge=0, le=1, description="share of the eligible places changed, 0 = none, 1 = all")


class RateOptions(Options):
    """Base of the options of a rewriter that edits places."""

    rate: float


class Edits(ABC):
    """Rewriter that changes a share of a text's eligible places, chosen at random: round(rate x places), halves up.

    A text without eligible places is returned as it is. The ``n`` rewrites of a text differ if there are enough
    places, and the first of them do not depend on ``n``.

    Attributes:
        name: name of the rewriter, owner of its failures.
        random_changes: whether :meth:`change` has several answers for a place.
    """

    name: ClassVar[str]
    random_changes: ClassVar[bool] = False

    def __init__(self, options: RateOptions) -> None:
        self.rate = options.rate

    @abstractmethod
    def places(self, text: str) -> Sequence[Span]:
        """Find all eligible places, in order and without overlap."""

    @abstractmethod
    def change(self, text: str, place: Span, rng: random.Random) -> str:
        """Return the replacement of a place, which always differs from the text it replaces."""

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        return OneByOne(self.name, self._samples).rewrite(texts, n, seed)

    def _samples(self, text: str, n: int, seed: int) -> list[Rewrite]:
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
        return [Rewrite(text=sample) for sample in samples]

    def _draw(self, text: str, chosen: Sequence[Span], rng: random.Random) -> str:
        parts, done = [], 0
        for place in chosen:
            parts += [text[done : place.start], self.change(text, place, rng)]
            done = place.end
        return "".join([*parts, text[done:]])


def editor_spec(
    editor: type[Edits], options: type[RateOptions], summary: str, **described: Any
) -> RewriterSpec:
    """Build the spec of a rewriter that edits places.

    Args:
        editor: class of the rewriter, built from its options alone unless ``described`` has a ``factory``.
        options: its options.
        summary: one line.
        described: further fields of the spec; by default the paper is RAID's and there is no cost.
    """
    fields = {
        "factory": lambda options, context: editor(options),  # noqa: ARG005 - the factory's signature
        "paper": RAID,
        "cost": "negligible",
        **described,
    }
    return RewriterSpec(name=editor.name, summary=summary, options=options, **fields)
