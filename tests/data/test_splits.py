"""Splits by unit."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.data.splits import split_documents, units
from paraphrase_rl.types import Document, Label, Split


def split(
    documents: list[Document], seed: int = 1, test: float = 0.2, calibration: float = 0.3
) -> dict[str, Split]:
    made = split_documents(documents, test_fraction=test, calibration_fraction=calibration, seed=seed)
    assert [replace(d, split=None) for d in made] == [replace(d, split=None) for d in documents]
    assert all(d.split for d in made)
    return {d.id: d.split for d in made if d.split}


def pairs(n: int) -> list[Document]:
    labels: tuple[Label, Label] = ("human", "ai")
    return [
        Document(id=f"{label}-{i}", text=f"{label} text {i}", label=label, pair=f"p{i}")
        for i in range(n)
        for label in labels
    ]


documents_strategy = st.lists(
    st.builds(
        lambda text, label, pair: (text, label, pair),
        st.integers(0, 12).map(lambda i: f"text {i}"),
        st.sampled_from(["human", "ai", None]),
        st.one_of(st.none(), st.integers(0, 6).map(str)),
    ),
    min_size=1,
    max_size=40,
).map(lambda rows: [Document(id=str(i), text=t, label=x, pair=p) for i, (t, x, p) in enumerate(rows)])


@given(documents_strategy, st.integers(0, 5))
def test_texts_of_a_pair_and_duplicates_stay_together(documents: list[Document], seed: int) -> None:
    where = split(documents, seed)
    by_key: defaultdict[object, set[Split]] = defaultdict(set)
    for d in documents:
        by_key["text", d.text].add(where[d.id])
        if d.pair is not None:
            by_key["pair", d.pair].add(where[d.id])
    assert all(len(found) == 1 for found in by_key.values())


@given(documents_strategy, st.randoms())
def test_the_order_of_rows_does_not_matter(documents: list[Document], order: random.Random) -> None:
    shuffled = documents.copy()
    order.shuffle(shuffled)
    assert split(shuffled) == split(documents)


def test_white_space_makes_no_difference_between_duplicates() -> None:
    documents = [
        Document(id="a", text="one  two"),
        Document(id="b", text=" one\ntwo"),
        Document(id="c", text="onetwo"),
    ]
    assert sorted(map(sorted, units(documents))) == [[0, 1], [2]]


def test_fractions_are_met_exactly_and_per_label() -> None:
    human = [Document(id=f"h{i}", text=f"human {i}", label="human") for i in range(60)]
    ai = [Document(id=f"a{i}", text=f"machine {i}", label="ai") for i in range(40)]
    where = split(human + ai)
    assert Counter(where.values()) == {"train": 50, "calibration": 30, "test": 20}
    assert Counter(where[d.id] for d in human) == {"train": 30, "calibration": 18, "test": 12}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 101])
@pytest.mark.parametrize("test", [0.1, 0.25, 0.5])
def test_fractions_that_add_up_to_one_leave_nothing_to_train_on(n: int, test: float) -> None:
    found = Counter(split(pairs(n), test=test, calibration=1.0 - test).values())
    assert found["train"] == 0
    assert abs(found["test"] - 2 * n * test) <= 2


def test_pairs_are_counted_not_texts() -> None:
    assert Counter(split(pairs(10)).values()) == {"train": 10, "calibration": 6, "test": 4}


def test_the_seed_decides() -> None:
    documents = pairs(30)
    assert split(documents, seed=1) == split(documents, seed=1) != split(documents, seed=2)


def test_splits_of_the_data_are_kept() -> None:
    documents = [replace(d, split="test" if i % 2 else "calibration") for i, d in enumerate(pairs(5))]
    assert split(documents) == {d.id: d.split for d in documents}


def test_a_document_without_a_split_follows_its_pair() -> None:
    first, second, *others = pairs(20)
    where = split([replace(first, split="test"), second, *others])
    assert where[first.id] == where[second.id] == "test"


def test_a_missing_calibration_split_is_drawn_from_train() -> None:
    given_ = [replace(d, split="test" if i < 8 else "train") for i, d in enumerate(pairs(24))]
    where = split(given_)
    assert all(where[d.id] == "test" for d in given_ if d.split == "test")
    assert Counter(where.values()) == {"test": 8, "train": 28, "calibration": 12}  # 0.3 of 20 pairs
    assert all(where[f"human-{i}"] == where[f"ai-{i}"] for i in range(24))


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_units_still_get_a_split(n: int) -> None:
    assert set(split(pairs(n)).values()) <= {"train", "calibration", "test"}


WRITERS = st.lists(
    st.tuples(st.sampled_from(["native", "native", "non-native", None]), st.integers(0, 3)),
    min_size=1,
    max_size=80,
)


@given(WRITERS, st.integers(0, 5))
def test_groups_and_domains_have_their_share_of_every_split(
    writers: list[tuple[str | None, int]], seed: int
) -> None:
    """A17: with labels alone, 11 of 48 test texts were by second-language writers."""
    documents = [
        Document(id=str(i), text=f"text {i}", label="human", group=group, domain=f"d{domain}")
        for i, (group, domain) in enumerate(writers)
    ]
    where = split(documents, seed)
    totals = Counter(where.values())
    assert totals["test"] == round(0.2 * len(documents))
    for named in (lambda d: d.group, lambda d: (d.group, d.domain)):
        sizes = Counter(named(d) for d in documents)
        got = Counter((named(d), where[d.id]) for d in documents)
        for key, size in sizes.items():
            for name in ("test", "calibration"):
                # rounded once by group and once by domain
                assert abs(got[key, name] - totals[name] * size / len(documents)) < 2  # type: ignore[index]


def test_a_domain_of_its_own_for_every_text_changes_no_fraction() -> None:
    documents = [Document(id=f"{i}", text=f"text {i}", domain=f"https://site/{i}") for i in range(50)]
    assert Counter(split(documents).values()) == {"train": 25, "calibration": 15, "test": 10}
    assert split(documents, seed=1) != split(documents, seed=2)


@pytest.mark.parametrize("known", [{}, {"group": "native"}, {"group": "native", "domain": "news"}])
def test_without_groups_the_split_is_that_of_earlier_versions(known: dict[str, str]) -> None:
    """The first units of a label by SHA-256 of seed and text are for test, the next for calibration."""
    documents = [Document(id=f"{i}", text=f"text {i}", label="ai", **known) for i in range(40)]  # type: ignore[arg-type]

    def order(d: Document) -> str:
        content = hashlib.sha256(d.text.encode()).hexdigest()
        return hashlib.sha256(f"7:{content}".encode()).hexdigest()

    ids = [d.id for d in sorted(documents, key=order)]
    assert split(documents, seed=7) == {
        **dict.fromkeys(ids, "train"),
        **dict.fromkeys(ids[8:20], "calibration"),
        **dict.fromkeys(ids[:8], "test"),
    }
