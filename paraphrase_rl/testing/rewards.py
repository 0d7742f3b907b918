"""The contract of a reward, as tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paraphrase_rl.testing.base import ODD_TEXTS, Contract, check_failures
from paraphrase_rl.types import Document, RewardBatch, Terms

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import Reward

SOURCE = (
    "The harbour office counted 214 boats in June, nine more than a year before. "
    "Most of them were fishing boats from the two villages across the bay."
)


class RewardContract(Contract):
    """Base of the tests of a reward: inherit, and define :meth:`make` and :attr:`pairs`.

    Attributes:
        pairs: ``(better, worse)`` rewrites of :attr:`source`; the first of each pair must get the higher reward.
        source: document that was rewritten.
    """

    pairs: ClassVar[Sequence[tuple[str, str]]] = ()
    source: ClassVar[Document] = Document(id="source", text=SOURCE, label="ai")

    def reward(self) -> Reward:
        """The reward under test."""
        reward: Reward = self.component()
        return reward

    def batch(self, rewrites: Sequence[str]) -> RewardBatch:
        """Rewrites of :attr:`source`, all finished."""
        return RewardBatch(
            sources=[replace(self.source, id=f"source-{i}") for i in range(len(rewrites))],
            rewrites=list(rewrites),
            finished=[True] * len(rewrites),
            instruction="Paraphrase the following text.",
        )

    def everything(self) -> RewardBatch:
        """All rewrites of :attr:`pairs` in one batch."""
        assert self.pairs, "give `pairs`: rewrites of which the first is better than the second"
        return self.batch([rewrite for pair in self.pairs for rewrite in pair])

    def test_values_lie_between_0_and_1(self) -> None:
        batch = self.everything()
        terms = self.reward()(batch)
        assert isinstance(terms, Terms), f"returned {type(terms).__name__}, not Terms"
        assert terms.values.shape == (len(batch),)
        assert not terms.failures, f"could not rate an ordinary rewrite: {terms.failures[0].message}"
        assert all(detail.shape == (len(batch),) for detail in terms.details.values())

    def test_the_better_rewrite_is_paid_more(self) -> None:
        values = self.reward()(self.everything()).values
        for i, (better, worse) in enumerate(self.pairs):
            assert values[2 * i] > values[2 * i + 1], (
                f"{better!r} is paid {values[2 * i]:g}, {worse!r} is paid {values[2 * i + 1]:g}"
            )

    def test_items_are_judged_on_their_own(self) -> None:
        batch = self.everything()
        together = self.reward()(batch).values
        alone = np.concatenate([self.reward()(batch.subset([i])).values for i in range(len(batch))])
        self.agree(alone, together, "each rewrite alone")
        order = list(reversed(range(len(batch))))
        self.agree(self.reward()(batch.subset(order)).values[::-1], together, "rewrites in reverse")

    def test_there_is_no_running_state(self) -> None:
        batch = self.everything()
        first = self.reward()(batch).values
        for _ in range(3):
            self.reward()(self.batch([self.pairs[0][1]] * 4))
        self.agree(self.reward()(batch).values, first, "the same batch later")

    def test_no_rewrites(self) -> None:
        terms = self.reward()(self.batch([]))
        assert terms.values.shape == (0,)
        assert terms.failures == ()

    def test_odd_rewrites_do_not_crash(self) -> None:
        terms = self.reward()(self.batch(ODD_TEXTS))
        assert terms.values.shape == (len(ODD_TEXTS),)
        check_failures(terms.failures, len(ODD_TEXTS))
