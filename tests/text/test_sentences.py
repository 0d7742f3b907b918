"""Sentences."""

from __future__ import annotations

import pytest

from paraphrase_rl.text.sentences import each_sentence_end, sentence_ends


def sentences(text: str) -> list[str]:
    ends = sentence_ends(text)
    return [text[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. It stopped.", ["It rained.", "It stopped."]),
        ("Really?! Yes… Good.", ["Really?!", "Yes…", "Good."]),
        ("Dr. Lee met Mr. Roe. They spoke.", ["Dr. Lee met Mr. Roe.", "They spoke."]),
        ("J. R. Roe of the U.S. Senate left. He ran.", ["J. R. Roe of the U.S. Senate left.", "He ran."]),
        ("It closed at 5 p.m. Nobody came.", ["It closed at 5 p.m.", "Nobody came."]),
        ("Rain fell for 3.5 hours. Then sun.", ["Rain fell for 3.5 hours.", "Then sun."]),
        ('"We won. They lost," she said. He left.', ['"We won. They lost," she said.', "He left."]),
        ('She said "We won." He left.', ['She said "We won."', "He left."]),
        ("He said “Go. Now.” Then he left.", ["He said “Go. Now.”", "Then he left."]),
        ('The 6" pipe broke. It leaked.', ['The 6" pipe broke.', "It leaked."]),
        ("They won't. We don't. Go.", ["They won't.", "We don't.", "Go."]),
        ("He told 'Dr. Lee' so. Go.", ["He told 'Dr. Lee' so.", "Go."]),
        ("See e.g. the list. it goes on", ["See e.g. the list. it goes on"]),
        ("A title\n\nThe text. More", ["A title", "The text.", "More"]),
        ("هل جاء؟ نعم.", ["هل جاء؟", "نعم."]),
        ("no end at all", ["no end at all"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


LONG = 500_000


@pytest.mark.parametrize(
    "text",
    [
        "x" * LONG,
        "!" * LONG + "x",
        "x." * LONG + "! A",
        '"' * LONG + ". A",
        "a.b " * LONG,
        "x" * LONG + '"' + "b. A",
    ],
    ids=["one word", "marks", "dots", "quotes", "one paragraph", "a long word before a short one"],
)
def test_work_grows_with_the_length(text: str) -> None:
    """Each took the square of its length: hours for these."""
    assert sentence_ends(text)[-1] == len(text.rstrip())


def test_nothing_behind_the_paragraph_asked_for_is_looked_at() -> None:
    ends = each_sentence_end("One. Two.\n\n" + "Three. " * LONG)
    assert [next(ends), next(ends)] == [4, 9]
