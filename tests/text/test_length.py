"""Words of a text."""

from __future__ import annotations

import pytest

from paraphrase_rl.text.length import count_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("One two, three.", 3),
        ("a - b", 3),
        ("中" * 800, 400),
        ("我们用 Python 写。", 3),
        ("これはテストです", 4),
        ("สวัสดี", 3),
        ("한국어는 띄어 쓴다", 3),
    ],
)
def test_words_in_any_script(text: str, words: int) -> None:
    assert count_words(text) == words
