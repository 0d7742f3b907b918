"""The rate is the share of eligible places, counted here by other means than the rewriters'."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters import _edits

from paraphrase_rl.errors import MissingDependencyError, RecipeError
from paraphrase_rl.plugin.isolation import IsolatedRewriter, Origin
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.types import Failure
from tests.rewriters.sentences import ALL, SENTENCES, clean_texts, once, rewritten

TWINS = "ABCEGHIJKMNOPQSTWXYZacdehijopqswxy"
NUMBERS = re.compile(r"[\d.,]*\d")
WORDS_TO_MISSPELL = re.compile(r"\b[a-z]{4,}\b")


def differing(old: list[str], new: list[str]) -> int:
    return sum(a != b for a, b in zip_longest(old, new))


def numbers(text: str) -> list[str]:
    return [number for word in text.split() for number in NUMBERS.findall(word)]


COUNTS: Mapping[str, tuple[Callable[[str], int], Callable[[str, str], int]]] = {
    "homoglyph": (
        lambda text: sum(c in TWINS for c in text),
        lambda text, new: differing(list(text), list(new)),
    ),
    "zero-width": (len, lambda text, new: new.count("\u200b")),
    "whitespace": (lambda text: text.count(" "), lambda text, new: new.count("  ")),
    "misspelling": (
        lambda text: len(WORDS_TO_MISSPELL.findall(re.sub(r"\w+['’]\w+", "", text))),
        lambda text, new: differing(text.split(), new.split()),
    ),
    "article-deletion": (
        lambda text: sum(word.lower().strip('"') in ("a", "an", "the") for word in text.split()),
        lambda text, new: len(text.split()) - len(new.split()),
    ),
    "upper-lower": (
        lambda text: len(re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text)),
        lambda text, new: differing(list(text), list(new)),
    ),
    "number-swap": (
        lambda text: sum(number != "0" for number in numbers(text.replace("A9", ""))),
        lambda text, new: differing(numbers(text), numbers(new)),
    ),
}
"""Rewriter -> eligible places of a text, changes in a rewrite of it. For the sentences above."""


@settings(max_examples=25)
@pytest.mark.parametrize("name", COUNTS)
@given(
    text=clean_texts(), rate=st.sampled_from([0.0, 0.03, 0.1, 0.25, 0.5, 0.9, 1.0]), seed=st.integers(0, 99)
)
def test_the_number_of_changes_is_the_rate_times_the_places(
    name: str, text: str, rate: float, seed: int
) -> None:
    places, changes = COUNTS[name]
    expected = int(rate * places(text) + 0.5)
    assert changes(text, once(name, text, seed, rate=rate)) == expected


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(text=st.one_of(clean_texts(), st.text(min_size=1).filter(str.strip)), seed=st.integers(0, 99))
def test_rate_0_is_the_text_itself(name: str, text: str, seed: int) -> None:
    assert rewritten(name, text, 2, seed, rate=0) == [text, text]


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15)
@given(text=st.text(min_size=1).filter(str.strip), rate=st.floats(0, 1))
def test_any_text_is_rewritten(name: str, text: str, rate: float) -> None:
    rewriter = default_registry().build("rewriters", name, {"rate": rate})
    (found,) = rewriter.rewrite([text], 2, 0)
    assert not isinstance(found, Failure)
    assert rewriter.rewrite([text], 2, 0) == [found]


@pytest.mark.parametrize("name", sorted({*ALL} - {"paragraph-breaks", "alternative-spelling"}))
def test_the_rewrites_of_a_text_differ(name: str) -> None:
    text = " ".join(SENTENCES)
    four = rewritten(name, text, 4, rate=0.3)
    assert len({*four, text}) == 5
    assert rewritten(name, text, 2, rate=0.3) == four[:2]
    assert rewritten(name, text, 4, seed=1, rate=0.3) != four


def test_rewrites_differ_as_far_as_there_is_room() -> None:
    assert sorted(rewritten("whitespace", "a b c d", 3, rate=0.34)) == ["a  b c d", "a b  c d", "a b c  d"]
    assert rewritten("whitespace", "a b", 3, rate=1) == ["a  b"] * 3


def test_two_texts_of_a_call_have_draws_of_their_own() -> None:
    rewriter = default_registry().build("rewriters", "whitespace", {"rate": 0.1})
    texts = [f"{i} " + "x " * 99 + "x" for i in range(8)]
    gaps = {
        found[0].text.index("  ") for found in rewriter.rewrite(texts, 1, 0) if not isinstance(found, Failure)
    }
    assert len(gaps) > 1


@pytest.mark.parametrize("rate", [-0.1, 1.1, "much", float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate: object) -> None:
    with pytest.raises(RecipeError, match="rate"):
        default_registry().options("rewriters", "homoglyph", {"rate": rate})


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("synonym", "lemminflect"),
        ("synonym", "pattern"),
        ("alternative-spelling", "breame"),
        ("zero-width", "regex"),
        ("sanitise", "regex"),
    ],
)
def test_a_missing_package_is_named_with_its_line(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paraphrase_rl.plugin.registry._importable", lambda wanted: wanted != module)
    with pytest.raises(MissingDependencyError, match=module) as caught:
        default_registry().build("rewriters", name)
    assert caught.value.hint == "pip install 'paraphrase-rl[rewriters]'"


def test_a_crash_costs_one_text() -> None:
    class Fragile(_edits.Edits):
        name = "fragile"

        def places(self, text: str) -> list[_edits.Span]:
            if "bad" in text:
                raise ValueError("two\nlines")
            return [_edits.Span(0, 1)]

        def change(self, text: str, place: _edits.Span, rng: object) -> str:
            return ""

    texts = ["ok", "bad", "x", 3, "half a character \ud800"]
    rewriter = IsolatedRewriter(Fragile(_edits.RateOptions(rate=1)), Origin("rewriter fragile", "fragile"))
    good, bad, gone, odd, torn = rewriter.rewrite(texts, 1, 0)  # type: ignore[arg-type]
    assert [rewrite.text for rewrite in good] == ["k"]
    assert (bad.index, bad.kind, bad.owner) == (1, "crashed", "fragile")
    assert "\n" not in bad.message
    assert (gone.index, gone.kind) == (2, "empty-rewrite")
    assert (odd.index, odd.kind) == (3, "not-text")
    assert (torn.index, torn.kind) == (4, "not-text")
