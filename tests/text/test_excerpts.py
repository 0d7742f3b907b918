"""Excerpts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.text.excerpts import excerpt


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (10, "One two three. Four five. Six."),
        (6, "One two three. Four five. Six."),
        (5, "One two three. Four five."),
        (4, "One two three."),
        (3, "One two three."),
        (2, "One two"),
    ],
)
def test_an_excerpt_is_whole_sentences_or_the_head_of_the_first(words: int, expected: str) -> None:
    assert excerpt("  One two three. Four five. Six. ", words) == expected


@given(st.text(alphabet='aB .!?"“”\n,', max_size=200), st.integers(1, 30))
def test_an_excerpt_is_a_prefix_within_the_limit(text: str, words: int) -> None:
    cut = excerpt(text, words)
    assert text.strip().startswith(cut)
    assert len(cut.split()) <= words
    assert bool(cut) == bool(text.strip())
    assert excerpt(cut, words) == cut or '"' in text  # an opening quote may lose its closing one
    assert len(text.split()) > words or cut == text.strip()
