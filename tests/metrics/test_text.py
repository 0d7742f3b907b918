"""Length, edits, chrF and repetition against computations of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.metrics._pairwise import NoText
from paraphrase_rl_plugins.metrics.chrf import chrf
from paraphrase_rl_plugins.metrics.edit_rate import edit_rate
from paraphrase_rl_plugins.metrics.length import length_ratio
from paraphrase_rl_plugins.metrics.repetition import repetition

from tests.rewards.samples import PARAPHRASE, SOURCE, UNRELATED

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "a,"]), max_size=9)


def levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    """The textbook recursion, by table."""
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            replaced = table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            table[i, j] = min(replaced, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return table[len(a), len(b)]


def chrf2(hypothesis: str, reference: str) -> float:
    """Popović 2015, formula 1 with beta 2: mean precision and recall over the orders that both texts have."""
    precisions, recalls = [], []
    ours, theirs = "".join(hypothesis.split()), "".join(reference.split())
    for n in range(1, 7):
        a = Counter(ours[i : i + n] for i in range(len(ours) - n + 1))
        b = Counter(theirs[i : i + n] for i in range(len(theirs) - n + 1))
        if a and b:
            precisions.append(sum((a & b).values()) / sum(a.values()))
            recalls.append(sum((a & b).values()) / sum(b.values()))
    if not precisions:
        return 0.0
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 5 * p * r / (4 * p + r) if p + r else 0.0


@given(WORDS.filter(bool), WORDS)
def test_edit_rate_is_the_textbook_distance_by_words(a: list[str], b: list[str]) -> None:
    assert edit_rate(" ".join(a), "  ".join(b)) == pytest.approx(levenshtein(a, b) / len(a))


def test_edit_rate_by_hand() -> None:
    rate = edit_rate
    assert rate("the cat sat down", "the dog sat down") == 0.25
    assert rate("the cat sat down", "the\n cat  sat down") == 0.0
    assert rate("the cat", "The cat.") == 1.0
    assert rate("one", "one two three") == 2.0
    assert rate("one two", "") == 1.0


@pytest.mark.parametrize("rewrite", [PARAPHRASE, UNRELATED, SOURCE, SOURCE[:50], "harbour office", "x"])
def test_chrf_is_the_published_formula(rewrite: str) -> None:
    assert chrf()(SOURCE, rewrite) == pytest.approx(chrf2(rewrite, SOURCE), abs=1e-9)


@given(st.text("abc ", min_size=1, max_size=20), st.text("abc ", max_size=20))
def test_chrf_is_the_published_formula_on_short_texts(source: str, rewrite: str) -> None:
    if source.strip():
        assert chrf()(source, rewrite) == pytest.approx(chrf2(rewrite, source), abs=1e-9)


def test_repetition_by_hand() -> None:
    # a b c d | b c d a | c d a b | d a b c | a b c d: five 4-grams, one seen before
    assert repetition("", "a b c d A b c d") == pytest.approx(1 / 5)
    assert repetition("", "a b c") == repetition("", "") == 0.0
    assert repetition("", "la " * 20) == pytest.approx(16 / 17)


def test_length_ratio_by_hand() -> None:
    assert length_ratio("one two three four", "one,  two\nthree") == 0.75


@given(st.text(max_size=60).filter(lambda t: bool(t.split())))
def test_identity(source: str) -> None:
    assert edit_rate(source, source) == 0.0
    assert length_ratio(source, source) == 1.0
    assert chrf()(source, source) == pytest.approx(1.0)


def test_a_source_without_words_is_no_divisor() -> None:
    for measure in (length_ratio, edit_rate):
        with pytest.raises(NoText, match="no words"):
            measure(" \n", "a")
