"""Every rewriter of characters and words keeps the contract, and the contract catches what breaks it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.testing import RewriterContract
from paraphrase_rl.types import Failure, Rewrite
from tests.rewriters.sentences import ALL, SENTENCES

HIDDEN = "A man wаlked in\u200bto  the café\u00ad."


class Bundled(RewriterContract):
    name: ClassVar[str]
    texts = SENTENCES

    def make(self) -> Any:
        return default_registry().build("rewriters", self.name)


def contract(rewriter: str, given: Sequence[str]) -> type[Bundled]:
    class TestOne(Bundled):
        name = rewriter
        texts = given

    return TestOne


TestHomoglyph = contract("homoglyph", SENTENCES)
TestZeroWidth = contract("zero-width", SENTENCES)
TestWhitespace = contract("whitespace", SENTENCES)
TestMisspelling = contract("misspelling", SENTENCES)
TestSynonym = contract("synonym", SENTENCES)
TestArticleDeletion = contract("article-deletion", SENTENCES)
TestUpperLower = contract("upper-lower", SENTENCES)
TestNumberSwap = contract("number-swap", SENTENCES)
TestParagraphBreaks = contract("paragraph-breaks", [" ".join(SENTENCES[i : i + 4]) for i in range(3)])
TestAlternativeSpelling = contract("alternative-spelling", SENTENCES)
TestSanitise = contract("sanitise", [*SENTENCES, HIDDEN])


def test_none_returns_the_original_texts() -> None:
    found = default_registry().build("rewriters", "none").rewrite([HIDDEN, ""], 2, 0)
    assert found[0] == [Rewrite(text=HIDDEN)] * 2
    assert isinstance(found[1], Failure)


def test_all_of_them_are_held_to_it() -> None:
    held = {value.name for value in globals().values() if isinstance(value, type) and hasattr(value, "name")}
    assert held == {*ALL, "sanitise"}


Answer = list[list[Rewrite] | Failure]


def upper(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [
        [Rewrite(text=text.upper() + "!")] * n
        if text.strip()
        else Failure(index=i, owner="upper", kind="empty", message="the text is empty")
        for i, text in enumerate(texts)
    ]


def crashes(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [[Rewrite(text=text + " " + text.split()[0])] * n for text in texts]


def copies(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [[Rewrite(text=text)] * n if text.strip() else upper([text], n, seed)[0] for text in texts]


def numbers_of_the_call(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [[Rewrite(text=f"{i} {len(texts)} {text}")] * n for i, text in enumerate(texts)]


def one_too_few(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [[Rewrite(text=text + ".")] * (n - 1) for text in texts]


def another_each_time(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [[Rewrite(text=f"{text} {random.random()}")] * n for text in texts]


def wrong_index(texts: Sequence[str], n: int, seed: int) -> Answer:
    return [
        Failure(index=0, owner="upper", kind="empty", message="the text is empty")
        if isinstance(answer, Failure)
        else answer
        for answer in upper(texts, n, seed)
    ]


def breaches(rewrite: Callable[[Sequence[str], int, int], Answer]) -> set[str]:
    class Made(RewriterContract):
        def make(self) -> Any:
            return type("Made", (), {"rewrite": staticmethod(rewrite)})()

    broken = set()
    for test in (name for name in dir(Made) if name.startswith("test_")):
        try:
            getattr(Made(), test)()
        except Exception:
            broken.add(test)
    return broken


@pytest.mark.parametrize(
    ("rewrite", "caught"),
    [
        (upper, set()),
        (crashes, {"test_odd_texts_fail_and_do_not_crash", "test_other_texts_do_not_matter"}),
        (copies, {"test_it_changes_something", "test_odd_texts_fail_and_do_not_crash"}),
        (one_too_few, {"test_n_rewrites_a_text", "test_one_rewrite_a_text"}),
        (wrong_index, {"test_odd_texts_fail_and_do_not_crash"}),
    ],
)
def test_the_contract_catches(rewrite: Callable[..., Answer], caught: set[str]) -> None:
    found = breaches(rewrite)
    assert caught <= found
    assert bool(caught) == bool(found)


@pytest.mark.parametrize("rewrite", [numbers_of_the_call, another_each_time])
def test_the_contract_catches_dependence_on_the_call(rewrite: Callable[..., Answer]) -> None:
    assert {
        "test_other_texts_do_not_matter",
        "test_the_order_of_texts_does_not_matter",
        "test_the_same_seed_gives_the_same_rewrites",
    } <= breaches(rewrite)
