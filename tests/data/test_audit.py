"""The audit."""

from __future__ import annotations

from paraphrase_rl.data.audit import audit
from paraphrase_rl.types import Document, Split

STORY = "The river rose above its banks on Monday night and three bridges had to be closed to traffic"


def other(i: int) -> str:
    return " ".join(f"word{i}x{k}" for k in range(20))


def doc(id: str, text: str, split: Split = "train", **known: str) -> Document:
    return Document(id=id, text=text, split=split, **known)  # type: ignore[arg-type]


def clean() -> list[Document]:
    return [
        doc(f"{label}-{split}", other(10 * i + k), split, label=label, pair=f"p{i}")
        for i, split in enumerate(("calibration", "train", "test"))
        for k, label in enumerate(("human", "ai"))
    ]


def warnings(documents: list[Document]) -> str:
    found = audit(documents)
    return "\n".join([*found.warnings, *found.notes])


def test_clean_data_has_no_warnings() -> None:
    assert warnings(clean()) == ""


def test_counts_and_median_lengths() -> None:
    rows = audit(
        [
            doc("a", "one", label="human", domain="news"),
            doc("b", "one two three", label="human", domain="news"),
            doc("c", "one two three four five six", label="human", domain="essay"),
            doc("d", "one two", "test", group="non-native"),
        ]
    ).rows
    assert [(r.split, r.label, r.group, r.documents, r.words) for r in rows] == [
        ("test", "unknown", "non-native", 1, 2),
        ("train", "human", "", 3, 3),
    ]
    assert rows[1].domains == {"news": 2, "essay": 1}


def test_exact_duplicates_across_splits_are_leakage() -> None:
    found = audit(
        [*clean(), doc("x", STORY, "train", label="human"), doc("y", STORY + " ", "test", label="human")]
    )
    assert found.exact_duplicates == (("x", "y"),)
    assert found.warnings[0] == "1 texts are in more than one split: x = y"


def test_near_duplicates_are_found_by_containment() -> None:
    longer = STORY.replace("Monday", "Sunday night and again Monday") + ", " + other(99)
    found = audit(
        [*clean(), doc("x", STORY, "train"), doc("y", longer, "test"), doc("z", STORY.upper(), "test")]
    )
    assert found.near_duplicates == (("x", "z"),)  # 10 words after Monday hold 3 of STORY's 11 8-grams: not y
    contained = audit(
        [*clean(), doc("x", STORY, "train"), doc("y", f"{other(98)} {STORY} {other(99)}", "test")]
    )
    assert contained.near_duplicates == (("x", "y"),)
    assert "1 pairs of near-duplicate texts are in different splits: x ~ y" in contained.warnings


def test_a_pair_split_apart_is_told() -> None:
    apart = [
        doc("h", other(50), "train", label="human", pair="q"),
        doc("a", other(51), "test", label="ai", pair="q"),
    ]
    assert "1 pairs are split: their texts are in more than one split: q" in warnings([*clean(), *apart])


def test_missing_counterparts_are_told_only_where_there_are_pairs() -> None:
    lonely = doc("h", other(50), label="human", pair="q")
    assert "1 human texts have no ai counterpart: h" in warnings([*clean(), lonely])
    unpaired = [Document(id=d.id, text=d.text, label=d.label, split=d.split) for d in clean()]
    assert warnings(unpaired) == ""


def test_a_text_with_both_labels_is_told() -> None:
    both = [doc("h", STORY, label="human"), doc("a", STORY, label="ai")]
    assert "1 texts are labelled both human and ai: h = a" in warnings([*clean(), *both])


def test_shares_of_groups_are_the_real_ones() -> None:
    documents = [doc(str(i), other(i), group="non-native" if i == 0 else None) for i in range(32)]  # type: ignore[arg-type]
    found = audit(documents)
    assert found.shares == {"none given": 31 / 32, "non-native": 1 / 32}
    assert "shares of groups: none given 96.9%, non-native 3.1%" in found.notes
    assert audit(clean()).shares == {}


def test_empty_splits_and_missing_labels_are_told() -> None:
    found = warnings([doc("a", other(1), "train", label="ai"), doc("b", other(2), "test")])
    assert "the calibration split is empty" in found
    assert "the train split has no human texts" in found
    assert "1 texts have no label: b" in found


def test_lengths_that_give_the_label_away_are_told() -> None:
    short = [Document(id=f"s{d.id}", text=d.text.split()[0], label="ai", split=d.split) for d in clean()]
    assert "lengths differ by label: median 20 words human, 1 ai" in warnings([*clean(), *short])
