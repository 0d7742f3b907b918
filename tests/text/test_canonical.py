"""What of a text is container, and what is content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.text.canonical import canonical

ENDS = ("\n", "\r\n", "\r")
TEXTS = st.text(st.sampled_from("aЖ. \t\n\r\ufeff\u200b\u0085\u2028\x0b漢\U0001f642"), max_size=30)


@pytest.mark.parametrize(
    ("given_", "content"),
    [
        ("a\r\nb\rc\n", "a\nb\nc"),
        ("\ufeffa", "a"),
        ("\ufeff \ufeff\n a \t\n\n", "a"),
        ("a\r\n\r\nb", "a\n\nb"),
        ("\u00a0a\u3000", "a"),
        (" \r\n\ufeff", ""),
        ("", ""),
    ],
)
def test_the_container_goes(given_: str, content: str) -> None:
    assert canonical(given_) == content


@pytest.mark.parametrize(
    "text",
    [
        "a  b",
        "a \n\n\n\tb",
        "a\ufeffb",
        "a\ufeff",
        "\u200ba\u200b",
        "a\u0085b\u2028c\u2029d\x0be\x0cf",
        "p\u0430ypal",
        "caf\u0065\u0301",
        "a\x1b[31mb",
    ],
    ids=repr,
)
def test_the_content_stays(text: str) -> None:
    assert canonical(text) == text


@given(TEXTS)
def test_twice_is_once(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(TEXTS, st.sampled_from(ENDS), st.sampled_from(ENDS))
def test_the_kind_of_line_end_does_not_matter(text: str, one: str, other: str) -> None:
    plain = text.replace("\r", "")
    assert canonical(plain.replace("\n", one)) == canonical(plain.replace("\n", other))


@given(TEXTS, st.sampled_from(("", "\ufeff")), st.sampled_from(("", *ENDS, "\n\n  ")))
def test_neither_do_the_ends(text: str, before: str, after: str) -> None:
    assert canonical(before + text.replace("\r", "") + after) == canonical(text.replace("\r", ""))


@given(st.text(max_size=40))
def test_of_characters_only_blanks_and_the_mark_go(text: str) -> None:
    def seen(of: str) -> list[str]:
        return [c for c in of if not c.isspace() and c != "\ufeff"]

    assert seen(canonical(text)) == seen(text)
