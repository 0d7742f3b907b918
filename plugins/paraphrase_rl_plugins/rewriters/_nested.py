"""Rewriter inside another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paraphrase_rl.plugin import Component, Context, Failure, Rewrite, Rewriter, Rewrites, with_index

WHICH = "inner rewriter: name and options; null = the run's policy, prompted where there is no run"


class Nested:
    """Rewriter named by the option of another rewriter; by default the run's policy, else ``prompted``."""

    def __init__(self, component: Component | None, context: Context) -> None:

        chosen = component or Component(name="prompted" if context.run is None else "policy")
        self.name = chosen.name
        self._rewriter: Rewriter = context.components().build(
            "rewriters", chosen.name, chosen.options, context
        )

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        """Rewrite each text ``n`` times; a text without rewrites has a Failure."""
        return self._rewriter.rewrite(texts, n, seed)


def derived_seed(seed: int, *place: int) -> int:
    """Derive a seed for one of several calls, such that rewriters that add up seeds do not repeat themselves."""
    return int(np.random.SeedSequence((seed, *place)).generate_state(1)[0])


def by_text(samples: Sequence[Sequence[Rewrite | Failure]]) -> list[Rewrites]:
    """Regroup rewrites by text; a text of which one sample failed has none.

    Args:
        samples: rewrites of shape (n, N).
    """
    found: list[Rewrites] = []
    for i, of_text in enumerate(zip(*samples, strict=True)):
        failed = [one for one in of_text if isinstance(one, Failure)]
        found.append(
            with_index(failed[0], i) if failed else [one for one in of_text if isinstance(one, Rewrite)]
        )
    return found
