"""Some items of a list: of every kind in its share, whatever order the list has."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.data.spread import spread
from paraphrase_rl.stored import StoredDocuments
from paraphrase_rl.types import Document

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=6)


@given(st.integers(0, 400), st.integers(0, 500))
def test_so_many_in_order_and_the_first_of_them(total: int, n: int) -> None:
    found = spread(range(total), n)
    assert len(found) == min(n, total)
    assert found == sorted(set(found))
    assert set(found) <= set(range(total))
    assert found[:1] == list(range(total))[: min(n, 1)]
    assert found == [int(item) for item in spread(list(map(str, range(total))), n)], (
        "the lengths decide alone"
    )


@given(st.lists(st.integers()))
def test_all_where_no_number_is_given_or_there_are_no_more(items: list[int]) -> None:
    assert spread(items, None) == spread(items, len(items)) == spread(items, len(items) + 1) == items


@given(SIZES, st.data())
def test_kinds_one_after_the_other_have_their_shares(sizes: list[int], data: st.DataObject) -> None:
    items = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    n = data.draw(st.integers(1, len(items)))
    counts = Counter(spread(items, n))
    for kind, size in enumerate(sizes):
        within = 1 if kind in (0, len(sizes) - 1) else 2
        assert abs(counts[kind] - n * size / len(items)) < within


@pytest.mark.parametrize("n", [8, 16, 32, 64])
@pytest.mark.parametrize("kinds", [2, 3, 4, 5])
def test_kinds_that_take_turns_have_their_shares(kinds: int, n: int) -> None:
    """Within five standard deviations of a draw at random for every length; at equal distances all could be of one."""
    share = 1 / kinds
    bound = 5 * math.sqrt(n * share * (1 - share))
    for total in range(n, 700):
        counts = Counter(item % kinds for item in spread(range(total), n))
        assert all(abs(counts[kind] - n * share) <= bound for kind in range(kinds)), total


@pytest.mark.parametrize(
    ("total", "n", "kinds", "fewest"), [(226, 64, 2, 24), (201, 32, 2, 12), (671, 16, 2, 5), (302, 32, 3, 6)]
)
def test_lengths_at_which_a_rule_of_places_finds_one_kind(
    total: int, n: int, kinds: int, fewest: int
) -> None:
    """The multiples of the golden ratio took 1 of 32, and 0 of 16, of one kind here."""
    counts = Counter(item % kinds for item in spread(range(total), n))
    assert min(counts[kind] for kind in range(kinds)) >= fewest


@pytest.mark.parametrize(
    ("total", "n", "expected"),
    [(10, 5, [0, 3, 5, 6, 8]), (9, 3, [0, 3, 7]), (7, 3, [0, 2, 4]), (5, 4, [0, 1, 2, 4])],
)
def test_the_choice_never_changes(total: int, n: int, expected: list[int]) -> None:
    """Caches and resumed runs rely on it: as drawn by Python's generator, which is the same in every version."""
    assert spread(range(total), n) == expected


def test_documents_on_disk() -> None:
    documents = [Document(id=str(i), text=str(i)) for i in range(9)]
    assert spread(StoredDocuments.of(documents), 3) == [documents[i] for i in (0, 3, 7)]
    assert spread(StoredDocuments.of(documents), None) == documents
