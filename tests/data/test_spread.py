"""Some items of a list: of every kind in its share, whatever order the list has."""

from __future__ import annotations

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


@given(st.integers(2, 6), st.integers(1, 4), st.integers(1, 200))
def test_kinds_that_take_turns_have_their_shares(kinds: int, turns: int, n: int) -> None:
    """As many parts as items are wanted: at equal distances all would be of the first kind."""
    items = list(range(kinds)) * (turns * n)
    counts = Counter(spread(items, n))
    assert all(abs(counts[kind] - n / kinds) <= 3.5 for kind in range(kinds))


@pytest.mark.parametrize(
    ("total", "n", "expected"),
    [(10, 5, [0, 3, 4, 7, 8]), (9, 3, [0, 4, 6]), (7, 3, [0, 3, 4]), (5, 4, [0, 1, 2, 4])],
)
def test_by_hand(total: int, n: int, expected: list[int]) -> None:
    """The places in the parts are 0, .618, .236, .854 and .472 of their lengths, rounded down."""
    assert spread(range(total), n) == expected


def test_documents_on_disk() -> None:
    documents = [Document(id=str(i), text=str(i)) for i in range(9)]
    assert spread(StoredDocuments.of(documents), 3) == [documents[i] for i in (0, 4, 6)]
    assert spread(StoredDocuments.of(documents), None) == documents
