"""What each rewriter of characters and words writes, by hand."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters.misspelling import misspelt

from paraphrase_rl.plugin.registry import default_registry
from tests.rewriters.sentences import clean_texts, once, rewritten

RAID_HOMOGLYPHS = "aecpyoxiABEKOPMHTXCINZ"
E_ACUTE = "e\u0301"


def names(text: str) -> list[str]:
    return [unicodedata.name(c) for c in text]


def test_homoglyphs_are_named_like_letters_of_other_scripts() -> None:
    assert names(once("homoglyph", "ace", rate=1)) == [
        "CYRILLIC SMALL LETTER A",
        "CYRILLIC SMALL LETTER ES",
        "CYRILLIC SMALL LETTER IE",
    ]
    greek_or_not = {unicodedata.name(new) for new in rewritten("homoglyph", "A", 8, rate=1)}
    assert greek_or_not == {"CYRILLIC CAPITAL LETTER A", "GREEK CAPITAL LETTER ALPHA"}


def test_every_letter_that_raid_swaps_is_swapped() -> None:
    swapped = once("homoglyph", RAID_HOMOGLYPHS, rate=1)
    assert all(old != new for old, new in zip(RAID_HOMOGLYPHS, swapped, strict=True))


def test_a_letter_with_an_accent_on_it_is_left() -> None:
    assert once("homoglyph", f"{E_ACUTE}t{E_ACUTE}", rate=1) == f"{E_ACUTE}t{E_ACUTE}"
    assert once("homoglyph", "été привет 你好 123", rate=1) == "été привет 你好 123"


def test_zero_width_spaces_stand_after_characters_as_read() -> None:
    z = "\u200b"
    assert once("zero-width", "a b") == f"a{z} {z}b{z}"
    family, flag = "👩\u200d👩\u200d👧", "🇫🇷"
    assert once("zero-width", f"{E_ACUTE}{family}{flag}\r\n") == f"{E_ACUTE}{z}{family}{z}{flag}{z}\r\n{z}"


def test_spaces_are_doubled_between_words_of_a_line() -> None:
    assert once("whitespace", " a b\n c  d ", rate=1) == " a  b\n c   d "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat saw a dog and an owl.", "Cat saw dog and owl."),
        ("A cat. The\tdog! An owl? The end", "Cat. Dog! Owl? End"),
        ('He said: "The cat left."', 'He said: "Cat left."'),
        (
            "He read The Times, plan A is vitamin A at The Hague.",
            "He read The Times, plan A is vitamin A at The Hague.",
        ),
        (
            "a 5 a.m. start, the\nline, other theatre, d'a b, THE END",
            "5 a.m. start, the\nline, other theatre, d'a b, THE END",
        ),
        ("the a the", "the"),
    ],
)
def test_articles_are_deleted(text: str, expected: str) -> None:
    assert once("article-deletion", text, rate=1) == expected


def test_first_letters_are_turned() -> None:
    assert (
        once("upper-lower", "The cat's NASA ßeta été 3rd x_y 你好", rate=1)
        == "the Cat's nASA ßeta Été 3Rd X_Y 你好"
    )


@given(
    st.lists(st.from_regex(r"[0-9]{1,9}([.,][0-9]{1,3})?", fullmatch=True), min_size=1, max_size=6),
    st.integers(0, 9),
)
def test_numbers_keep_their_length_and_change(numbers: list[str], seed: int) -> None:
    swapped = once("number-swap", " and ".join(numbers), seed, rate=1).split(" and ")
    for old, new in zip(numbers, swapped, strict=True):
        assert re.sub(r"\d", "9", new) == re.sub(r"\d", "9", old)
        digits, new_digits = re.sub(r"\D", "", old), re.sub(r"\D", "", new)
        zeros = len(digits) - len(digits.lstrip("0"))
        assert len(new_digits) - len(new_digits.lstrip("0")) == zeros
        assert (new == old) == (not digits.strip("0"))


def test_digits_of_names_are_left() -> None:
    kept = "GPT4 and GPT-4o, the 3rd of v1.2.3, A9, 1990s, H2O, 0 and 0.00."
    assert once("number-swap", kept, rate=1) == kept
    assert re.fullmatch(
        r"On \d, \d% or \$\d,\d{3}\.\d\d\.", once("number-swap", "On 5, 7% or $1,200.50.", rate=1)
    )


def test_paragraphs_break_between_sentences() -> None:
    text = 'Dr. Ellis met J. Smith vs. Co. Inc. today. "Why?" 12 asked… He left, e.g. Tuesday.\nThen\n\nEnd. Now! no.'
    assert once("paragraph-breaks", text, rate=1) == (
        'Dr. Ellis met J. Smith vs. Co. Inc. today.\n\n"Why?"\n\n12 asked…\n\nHe left, e.g. Tuesday.\n\n'
        "Then\n\nEnd.\n\nNow! no."
    )


def test_spelling_of_the_other_variety() -> None:
    american = (
        "Color, COLORS and organized theaters in Colorado; the neighbor's gray-ish e-mail at color.com. CoLor"
    )
    british = "Colour, COLOURS and organised theatres in Colorado; the neighbour's grey-ish e-mail at color.com. CoLor"
    assert once("alternative-spelling", american) == british
    assert once("alternative-spelling", british, to="american") == american


def test_a_misspelling_is_one_of_four_errors() -> None:
    word = "house"
    exchanged = {"huose", "hosue", "houes"}
    left_out = {"huse", "hose", "houe", "hous"}
    doubled = {"hoouse", "houuse", "housse", "housee"}
    wrong = {"hiuse", "hpuse", "hoyse", "hoise", "houae", "houde", "housw", "housr"}
    seen = {misspelt(word, random.Random(i)) for i in range(2000)}
    assert seen == exchanged | left_out | doubled | wrong


@given(st.from_regex(r"[a-z]{2,12}", fullmatch=True), st.randoms())
def test_a_misspelling_is_another_word_with_the_same_beginning(word: str, rng: random.Random) -> None:
    new = misspelt(word, rng)
    assert new != word
    assert new[0] == word[0]
    assert abs(len(new) - len(word)) <= 1


def test_only_plain_words_are_misspelt() -> None:
    kept = "Don't ask Mary or NASA at www.house.org or ann@house.org, they'll see the cat in /usr/share 1000times"
    assert once("misspelling", kept, rate=1) == kept


@given(clean_texts(), st.integers(0, 99))
def test_number_swap_and_paragraph_breaks_change_nothing_else(text: str, seed: int) -> None:
    assert re.sub(r"\d", "", once("number-swap", text, seed)) == re.sub(r"\d", "", text)
    assert once("paragraph-breaks", text, seed).split() == text.split()


def test_defaults_are_the_published_rates() -> None:
    rates = {
        entry.spec.name: entry.spec.options.model_fields["rate"].default
        for entry in default_registry().entries("rewriters")
        if "rate" in entry.spec.options.model_fields and entry.plugin.bundled
    }
    assert rates == {
        "alternative-spelling": 1.0,
        "article-deletion": 0.5,
        "homoglyph": 0.1,
        "misspelling": 0.2,
        "number-swap": 0.5,
        "paragraph-breaks": 0.5,
        "synonym": 1.0,
        "upper-lower": 0.05,
        "whitespace": 0.2,
        "zero-width": 1.0,
    }
