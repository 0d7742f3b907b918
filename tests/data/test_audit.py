"""The audit."""

from __future__ import annotations

from pathlib import Path

from paraphrase_rl.data.audit import audit
from paraphrase_rl.data.documents import load_documents
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.schema import Component
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


def pair(i: int, shared: int, words: int = 20) -> list[Document]:
    """A human and an AI text that have their first words in common."""
    opening = other(i).split()[:shared]
    texts = {
        label: [*opening, *(f"{label}{i}x{k}" for k in range(words - shared))] for label in ("human", "ai")
    }
    return [doc(f"{label}{i}", " ".join(words), label=label, pair=f"q{i}") for label, words in texts.items()]


def test_ai_texts_that_continue_their_human_text_are_told_with_the_share_of_characters() -> None:
    continued = [d for i in range(20) for d in pair(i, shared=8 if i % 2 else 0)]
    found = audit([*clean(), *continued])
    ai = next(d.text for d in continued if d.id == "ai1")
    shared = " ".join(ai.split()[:8]) + " "
    assert found.shared_prefixes["ai1"] == len(shared) / len(ai)
    assert found.shared_prefixes["ai0"] == 0
    assert len(found.shared_prefixes) == 23
    (told,) = found.warnings
    assert told.startswith(
        "10 of 23 AI texts begin with the text of their human counterpart: ai1, ai3, ai5, … (4"
    )
    assert "cut it off both texts of each pair" in told


def test_white_space_does_not_hide_a_shared_beginning_and_the_closest_human_text_counts() -> None:
    human, ai = pair(1, shared=10)
    further = doc("h2", "quite another text", label="human", pair="q1")
    spaced = doc("ai1", ai.text.replace(" ", "\n\n"), label="ai", pair="q1")
    found = audit([*clean(), human, further, spaced])
    assert found.shared_prefixes["ai1"] == audit([human, ai]).shared_prefixes["ai1"] > 0.4


def test_chance_and_unpaired_texts_are_no_shared_beginnings() -> None:
    chance = [d for i in range(20) for d in pair(i, shared=3 if i == 4 else 0)]
    assert audit([*clean(), *chance]).warnings == ()
    subject = [d for i in range(20) for d in pair(i, shared=7)]  # a name and a verb
    assert audit([*clean(), *subject]).warnings == ()
    assert set(audit(subject).shared_prefixes.values()) == {0}
    same = doc("h", STORY, label="human"), doc("a", f"{STORY} and more", label="ai")
    assert audit([*clean(), *same]).shared_prefixes.keys() == audit(clean()).shared_prefixes.keys()


def test_published_continuations_are_told(shared_data: Path) -> None:
    """Pairs of Fast-DetectGPT share 30 tokens: half of a text of 48 words."""
    settings = load_recipe(None, {"data.excerpt_words": 48}).recipe.data
    source = Component(name="fast-detect-gpt", options={"path": str(shared_data / "fast-detect-gpt")})
    found = load_documents(source, settings, default_registry()).audit
    means = [share for id, share in found.shared_prefixes.items() if id.startswith("xsum")]
    assert 0.4 < sum(means) / len(means) < 0.7
    assert any("AI texts begin with the text of their human counterpart" in line for line in found.warnings)
    whole = load_recipe(None, {}).recipe.data
    liang = Component(name="liang", options={"path": str(shared_data / "liang")})
    assert not any(
        "begin with" in line for line in load_documents(liang, whole, default_registry()).audit.warnings
    )
