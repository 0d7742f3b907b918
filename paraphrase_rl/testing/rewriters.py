"""The contract of a rewriter, as tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from paraphrase_rl.testing.base import ODD_TEXTS, Contract, check_failures
from paraphrase_rl.testing.detectors import TEXTS
from paraphrase_rl.types import Failure, Rewrite

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import Rewriter


class RewriterContract(Contract):
    """Base of the tests of a rewriter: inherit, and define :meth:`make`.

    Attributes:
        texts: texts to rewrite; no text may fail, and at least one must change.
        n: number of rewrites of each text.
        seed: seed of the calls.
    """

    texts: ClassVar[Sequence[str]] = TEXTS
    n: ClassVar[int] = 2
    seed: ClassVar[int] = 7

    def rewriter(self) -> Rewriter:
        """The rewriter under test."""
        rewriter: Rewriter = self.component()
        return rewriter

    def rewrites(self, texts: Sequence[str]) -> list[list[Rewrite] | Failure]:
        """Call the rewriter; one item per text."""
        found = self.rewriter().rewrite(texts, self.n, self.seed)
        assert isinstance(found, list), f"rewrite() returned {type(found).__name__}, not a list"
        assert len(found) == len(texts), f"{len(found)} items for {len(texts)} texts"
        return found

    def test_n_rewrites_a_text(self) -> None:
        for found in self.rewrites(self.texts):
            assert not isinstance(found, Failure), f"could not rewrite an ordinary text: {found.message}"
            assert len(found) == self.n
            for rewrite in found:
                assert isinstance(rewrite, Rewrite), f"a rewrite is a {type(rewrite).__name__}, not a Rewrite"
                assert rewrite.text.strip(), "an empty rewrite: return a Failure for the text"

    def test_one_rewrite_a_text(self) -> None:
        for found in self.rewriter().rewrite(self.texts, 1, self.seed):
            assert not isinstance(found, Failure)
            assert len(found) == 1

    def test_no_texts(self) -> None:
        assert self.rewrites([]) == []

    def test_it_changes_something(self) -> None:
        changed = [
            rewrite.text != text
            for text, found in zip(self.texts, self.rewrites(self.texts), strict=True)
            if not isinstance(found, Failure)
            for rewrite in found
        ]
        assert any(changed), "every rewrite is the text itself"

    def test_the_same_seed_gives_the_same_rewrites(self) -> None:
        first = self.rewrites(self.texts)
        assert self.rewrites(self.texts) == first, "the same call again"
        twice = self.rewrites([self.texts[0], *self.texts])
        assert twice == [first[0], *first], "a text twice in a call"

    def test_the_order_of_texts_does_not_matter(self) -> None:
        backwards = self.rewrites(list(reversed(self.texts)))
        assert backwards[::-1] == self.rewrites(self.texts)

    def test_other_texts_do_not_matter(self) -> None:
        together = self.rewrites(self.texts)
        alone = [self.rewrites([text])[0] for text in self.texts]
        assert alone == together, "each text alone"
        beside = self.rewrites([*self.texts, *ODD_TEXTS])
        assert beside[: len(self.texts)] == together, "together with odd texts"

    def test_odd_texts_fail_and_do_not_crash(self) -> None:
        found = self.rewrites(ODD_TEXTS)
        failures = {i: answer for i, answer in enumerate(found) if isinstance(answer, Failure)}
        check_failures(list(failures.values()), len(ODD_TEXTS))
        assert [failure.index for failure in failures.values()] == list(failures), (
            "a Failure's index is its place"
        )
        assert {0, 1} <= set(failures), "an empty text has no rewrite: return a Failure for it"
        for answer in found:
            if not isinstance(answer, Failure):
                assert len(answer) == self.n
                assert all(rewrite.text.strip() for rewrite in answer)
