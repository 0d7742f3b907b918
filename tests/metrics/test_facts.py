"""Numbers, names and negations: answers worked out by hand."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.metrics._facts import names, negations
from paraphrase_rl_plugins.metrics._numbers import numbers
from paraphrase_rl_plugins.metrics.names import names_added, names_kept
from paraphrase_rl_plugins.metrics.negations import negations_added, negations_kept
from paraphrase_rl_plugins.metrics.numbers import numbers_added, numbers_kept

UP_TO_19 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
ROUND = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
ONES, TENS = UP_TO_19.split(), ROUND.split()


def spelled(n: int) -> str:
    """An English cardinal, spelled the British way; written apart from the reader it checks."""
    for size, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand")):
        if n >= size:
            rest = n % size
            joint = " and " if 0 < rest < 100 else " "
            return spelled(n // size) + f" {name}" + (joint + spelled(rest) if rest else "")
    if n >= 100:
        return f"{ONES[n // 100]} hundred" + (f" and {spelled(n % 100)}" if n % 100 else "")
    return ONES[n] if n < 20 else TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")


@pytest.mark.parametrize(
    ("text", "sure", "loose"),
    [
        ("The harbour counted 214 boats, nine more than in 2012.", "214 9 2012", ""),
        ("1,234,567.89 dollars, then 1,2345 and 0.50", "1234567.89 1 2345 0.5", ""),
        ("$4bn, £2.5 million, 3 hundred, half a million", "4000000000 2500000 300 1000000", ""),
        ("twelve hundred, a dozen, two dozen, a hundred and five", "1200 12 24 105", ""),
        ("five, six and seven; two to three million", "5 6 7 2 3000000", ""),
        ("twenty one of the ninety-nine", "21 99", ""),
        ("the 21st century, the twenty-first, the 1990s", "21 1990", ""),
        ("one of them came first, twice, with both", "", "1 2"),
        ("no one saw the B12 file of COVID-19", "19", "1"),
        ("at 10:30 on 2024-05-01, or at 11:00am", "10 30 2024 5 1 11", ""),
        ("often, tense, weighty, ninepins, seconds", "", ""),
        ("1\u202f000\u00a0000 people", "1000000", ""),
        ("hundred thousand, a thousand million", "100000 1000 1000000", ""),
        ("", "", ""),
    ],
)
def test_numbers(text: str, sure: str, loose: str) -> None:
    certain, possible = numbers(text)
    assert certain == {Decimal(n) for n in sure.split()}
    assert possible - certain == {Decimal(n) for n in loose.split()}


@given(st.integers(2, 10**15 - 1))
def test_a_number_is_the_same_in_digits_and_in_words(n: int) -> None:
    assert numbers(spelled(n))[0] == numbers(f"{n:,}")[0] == numbers(str(n))[0] == {Decimal(n)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In June the office in Port Merrow wrote to Mr. Smith.", "june port merrow smith"),
        ("Paris is large. Nobody lives there.", ""),
        ("Paris is large. They love Paris's cafés.", "paris"),
        ("NASA and McDonald's use an iPhone.", "nasa mcdonald iphone"),
        ('She said: "Everything in Oslo is new," and Jones agreed.', "oslo jones"),
        ("They won't. Everything moved. I'm sure I'd go to The Hague.", "hague"),
        ("HARBOUR CLOSED\n\nThe pier of Merrow fell.", "merrow"),
        ("- Apples\n- Pears from Kent", "kent"),
        ("Jean-Luc met O’Neill’s brother, an Australian.", "jean-luc o'neill australian"),
        ("all in small letters", ""),
        ("", ""),
    ],
)
def test_names(text: str, expected: str) -> None:
    # Jean-Luc stands first but has a capital inside
    assert names(text)[0] == set(expected.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is not so, and it isn't, and it cannot be; it can’t.", 4),
        ("No one came. None of them, never, without a word.", 4),
        ("Neither he nor she went.", 1),
        ("Room No. 5 is not notable; another knot.", 1),
        ("DON'T", 1),
        ("It is so.", 0),
    ],
)
def test_negations(text: str, expected: int) -> None:
    assert negations(text) == expected


SOURCE = "In 2012 Ann Reed of Leeds did not sell 40 boats. One was lost, and nobody paid the $2.5 million."


@pytest.mark.parametrize(
    ("rewrite", "numbers_", "names_", "negations_"),
    [
        (SOURCE, (1, 0), (1, 0), (1, 0)),
        # 2012, 40 and 2.5 million of three; ann, reed and leeds of three; "not", "nobody" of two
        (
            "Reed did not sell forty boats in 2012, nor did anyone pay 2,500,000 dollars.",
            (1, 0),
            (1 / 3, 0),
            (0.5, 0),
        ),
        (
            "Ann Reed sold 41 boats in 2012 to Bob of York. Not one was paid, never, not once, none.",
            (1 / 3, 1),
            (2 / 3, 2),
            (1, 2),
        ),
        ("ann reed of leeds had no luck", (0, 0), (1, 0), (0.5, 0)),
        ("", (0, 0), (0, 0), (0, 0)),
    ],
)
def test_what_is_kept_and_what_is_made_up(
    rewrite: str,
    numbers_: tuple[float, float],
    names_: tuple[float, float],
    negations_: tuple[float, float],
) -> None:
    assert (numbers_kept(SOURCE, rewrite), numbers_added(SOURCE, rewrite)) == pytest.approx(numbers_)
    assert (names_kept(SOURCE, rewrite), names_added(SOURCE, rewrite)) == pytest.approx(names_)
    assert (negations_kept(SOURCE, rewrite), negations_added(SOURCE, rewrite)) == pytest.approx(negations_)


def test_a_doubt_is_never_damage() -> None:
    assert (
        numbers_kept("He had 1 boat and 2 oars in 1 bay.", "He had one boat and a pair of oars in a bay.")
        == 1
    )
    assert numbers_added("He had one boat.", "He had 1 boat.") == 0
    assert names_kept("They saw Oslo.", "Oslo was seen.") == 1
    assert names_added("Oslo was seen.", "They saw Oslo.") == 0


def test_a_source_without_items_has_no_share() -> None:
    for kept in (numbers_kept, names_kept, negations_kept):
        assert math.isnan(kept("it is so", "it is so, says Bob, not 5"))


PIECES = """Ann Leeds boat 12 1,000 two hundred and million not don't no nobody . , " : - McX USA one first 3.5 … ٣"""
FRAGMENTS = st.lists(st.sampled_from([*PIECES.split(), "\n"]), max_size=40).map(" ".join)


@given(FRAGMENTS | st.text(max_size=80), FRAGMENTS | st.text(max_size=80))
def test_identity_and_ranges(a: str, b: str) -> None:
    for kept, added in (
        (numbers_kept, numbers_added),
        (names_kept, names_added),
        (negations_kept, negations_added),
    ):
        assert kept(a, a) == 1 or math.isnan(kept(a, a))
        assert added(a, a) == 0
        assert 0 <= kept(a, b) <= 1 or math.isnan(kept(a, a))
        assert added(a, b) >= 0
    for find in (numbers, names):
        certain, possible = find(a)
        assert certain <= possible
