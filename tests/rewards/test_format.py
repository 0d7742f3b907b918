"""`format` pays a rewrite and nothing else: what must not pay is refused, by the check that should."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewards.output_format import (
    FormatOptions,
    OutputFormat,
    build,
    copied_share,
    repetition,
    words,
)

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.plugin import Context
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.testing import RewardContract
from paraphrase_rl.types import RewardBatch
from tests.rewards.samples import INSTRUCTION, PARAPHRASE, SOURCE, UNRELATED, make_batch

FORMAT = OutputFormat(FormatOptions())


def refused_by(
    rewrite: str, source: str = SOURCE, *, finished: bool = True, instruction: str = INSTRUCTION
) -> set[str]:
    """Names of the checks that a rewrite fails."""
    checks = FORMAT.checks(source, rewrite, finished, instruction)
    return {name for name, passed in checks.items() if not passed}


class TestContract(RewardContract):
    source = make_batch([""]).sources[0]
    pairs = ((PARAPHRASE, SOURCE), (UNRELATED, ""), (PARAPHRASE, "Sure! " + PARAPHRASE))

    def make(self) -> OutputFormat:
        return build(FormatOptions(), Context())


GOOD = {
    "paraphrase": PARAPHRASE,
    "another text": UNRELATED,
    "with a quotation": PARAPHRASE.replace("warned that", 'warned: "Note the old pier,"'),
    "of course": "Of course the harbour is old. " + PARAPHRASE,
    "here is a place": "Here is where boats are counted. " + PARAPHRASE,
    "this is a version of events": "This is the version of events the office gave. " + PARAPHRASE,
    "answer": "The answer came in June. " + PARAPHRASE,
    "emoji": PARAPHRASE + " 👩‍👩‍👧",
    "two paragraphs": PARAPHRASE.replace(". The", ".\n\nThe"),
    "numbers": PARAPHRASE + " In 2021: 205.",
    "degrees and micro": PARAPHRASE + " It was 12 °C, ±5 µm, naïve café.",
}


@pytest.mark.parametrize("rewrite", GOOD.values(), ids=GOOD)
def test_a_rewrite_pays(rewrite: str) -> None:
    assert refused_by(rewrite) == set()


@pytest.mark.parametrize("rewrite", ["", " ", "\n\t ", "\u200b\u200b", "...", "👍🏽", "\x00"])
def test_nothing_does_not_pay(rewrite: str) -> None:
    assert refused_by(rewrite) >= {"not_empty", "length"}


def test_a_text_cut_at_the_token_limit_does_not_pay() -> None:
    assert refused_by(PARAPHRASE, finished=False) == {"finished"}


def test_length_is_between_half_and_twice_the_source() -> None:
    source = " ".join(f"a{i}" for i in range(40))
    sizes = {n: refused_by(" ".join(f"b{i}" for i in range(n)), source) for n in (19, 20, 40, 80, 81)}
    assert sizes == {19: {"length"}, 20: set(), 40: set(), 80: set(), 81: {"length"}}


def test_a_script_without_spaces_is_measured_by_characters() -> None:
    source = "港湾事務所は六月に二百十四隻の船を数えた。"
    assert "length" not in refused_by("六月、港には二百十四隻が停泊していた。", source)
    assert "length" in refused_by("六月", source)


PREAMBLES = [
    "Sure! Here is the paraphrased text: ",
    "Sure! ",
    "Certainly, here's a rewritten version:\n\n",
    "Of course. I'll rephrase the text for you. ",
    "Here is the text:\n",
    "Here's a paraphrased version of the text. ",
    "Below is a more natural version of the passage: ",
    "**Paraphrased text:**\n",
    "Paraphrase: ",
    "Rewritten text:\n",
    "REWRITTEN VERSION\n",
    "\u200bParaphrased\u200b text: ",
    "“Paraphrased version:” ",
    "New version: ",
    "Text: ",
    "Output: ",
    "I have rewritten the text as follows. ",
    "I’d be happy to rephrase that. ",
    "Please rewrite the following text. ",
    "To make it easy to read, I am replacing the original text with a rewritten one. Here it is:\n",
]


@pytest.mark.parametrize("preamble", PREAMBLES)
def test_a_preamble_does_not_pay(preamble: str) -> None:
    assert "no_preamble" in refused_by(preamble + PARAPHRASE)


@pytest.mark.parametrize(
    "refusal",
    [
        "I'm sorry, but I cannot rewrite this text. ",
        "I can't assist with that. ",
        "As an AI language model, I have no opinion. ",
    ],
)
def test_a_refusal_does_not_pay(refusal: str) -> None:
    assert "no_preamble" in refused_by(refusal + UNRELATED)


def test_a_source_that_starts_so_may_be_rewritten_so() -> None:
    source = "Sure! " + SOURCE
    assert refused_by("Certainly! " + PARAPHRASE, source) == set()


NOTES = [
    "\n\nNote: I kept the names.",
    " (Note: the numbers are unchanged.)",
    "\n\n**Note:** done.",
    " Let me know if you would like another version.",
    " I hope this helps!",
    " Feel free to ask for changes.",
    "\n\nI have kept the original meaning and changed the wording.",
    " This rewritten version maintains the meaning of the original.",
    "\n\nWord count: 63",
]


@pytest.mark.parametrize("note", NOTES)
def test_a_note_to_the_reader_does_not_pay(note: str) -> None:
    assert "no_note" in refused_by(PARAPHRASE + note)


def test_a_note_of_the_source_may_stay() -> None:
    assert (
        refused_by(PARAPHRASE + " Let me know if it rains.", SOURCE + " Let me know if it rains, she wrote.")
        == set()
    )


@pytest.mark.parametrize(
    "echo",
    [
        INSTRUCTION,
        "Paraphrase the following text.",
        "keep its meaning and make it READ naturally",
        "Make it read naturally, and",
    ],
)
def test_an_echo_of_the_instruction_does_not_pay(echo: str) -> None:
    expected = echo != "Make it read naturally, and"
    assert ("no_instruction" in refused_by(f"{UNRELATED} {echo} {UNRELATED[:50]}")) == expected


def test_an_instruction_that_the_source_contains_is_no_echo() -> None:
    source = SOURCE + " Paraphrase the following text."
    assert "no_instruction" not in refused_by(PARAPHRASE + " Paraphrase the following text.", source)


@pytest.mark.parametrize("instruction", ["", "Go.", "Rewrite it.", "\ud800"])
def test_an_instruction_too_short_to_echo_refuses_nothing(instruction: str) -> None:
    assert refused_by(PARAPHRASE + " Go. Rewrite it.", instruction=instruction) == set()


def edited(text: str, positions: list[int]) -> str:
    parts = text.split()
    for at in positions:
        parts[at % len(parts)] = f"other{at}"
    return " ".join(parts)


COPIES = {
    "verbatim": SOURCE,
    "case and punctuation": SOURCE.upper().replace(",", ";").replace(".", " !"),
    "typographic": SOURCE.replace(" ", "\u00a0"),
    "zero-width": SOURCE.replace("a", "a\u200b"),
    "reordered sentences": " ".join(reversed(SOURCE.split(". "))),
    "first half": " ".join(SOURCE.split()[:30]),
    "repeated and continued": f"{SOURCE} {UNRELATED[:120]}",
    "continued before": f"{UNRELATED[:150]} {SOURCE}",
    "one word changed": edited(SOURCE, [20]),
    "quoted": f'"{SOURCE}"',
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_does_not_pay(copy: str) -> None:
    assert "no_copy" in refused_by(copy)


@given(st.lists(st.integers(0, 49), min_size=0, max_size=2))
def test_editing_one_word_in_twenty_leaves_a_copy_wherever_it_is(positions: list[int]) -> None:
    source = " ".join(f"w{i}" for i in range(50))
    assert copied_share(words(edited(source, positions)), words(source)) > 0.8
    assert "no_copy" in refused_by(edited(source, positions), source)


def test_copied_share_by_hand() -> None:
    source = list("abcdefghij")
    assert copied_share(list("abcxefgyij"), source) == pytest.approx(0.6)  # abc, efg of ten
    assert copied_share(list("xyabz"), source) == 0.0  # a run of two is no run
    assert copied_share(list("abcde"), source) == 1.0  # all of ours
    assert copied_share([*source, *"klmnopqrst"], source) == 1.0  # all of theirs
    assert copied_share(["a"], ["a"]) == 1.0
    assert copied_share([], source) == copied_share(source, []) == 0.0


def test_repetition_by_hand() -> None:
    assert repetition(list("abcdefg")) == 0.0
    assert repetition(list("abcdabcd")) == pytest.approx(1 / 5)  # of abcd bcda cdab dabc abcd the last
    assert repetition(["the"] * 13) == pytest.approx(9 / 10)
    assert repetition(list("abc")) == 0.0


LOOPS = {
    "word": "the boats " * 25,
    "sentence": PARAPHRASE + " The pier is old. The pier is old.",
    "whole text": f"{UNRELATED} {UNRELATED}",
    "lines": "The boats came home late\n" * 3 + PARAPHRASE,
    "tail": PARAPHRASE + " and so" * 20,
    "character": PARAPHRASE + " aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "emoji": PARAPHRASE + " " + "😀🎉" * 20,
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_does_not_pay(loop: str) -> None:
    assert "no_loop" in refused_by(loop)


def test_a_refrain_of_the_source_may_be_repeated() -> None:
    refrain = "We shall not be moved by them. "
    source = refrain * 3 + SOURCE
    assert "no_loop" not in refused_by(refrain * 3 + PARAPHRASE, source)


MARKUP = [
    "<|im_start|>assistant\n",
    "assistant\n",
    "user: hello\n",
    "### Response:\n",
    "# A heading\n",
    "```\n",
    "- one\n- two\n",
    "1. one\n2. two\n",
    "**Bold** ",
    "[INST] ",
    "<think> ",
]


@pytest.mark.parametrize("markup", MARKUP)
def test_chat_markup_and_markdown_do_not_pay(markup: str) -> None:
    assert "no_markup" in refused_by(markup + PARAPHRASE)
    assert "no_markup" in refused_by(PARAPHRASE + "\n" + markup)
    assert "no_markup" not in refused_by(markup + PARAPHRASE, SOURCE + "\n" + markup)


CHARACTERS = {
    "NUL": "\x00",
    "lone surrogate": "\ud83d",
    "replacement": "\ufffd",
    "zero-width inside a word": "bo\u200bat",
    "soft hyphen": "har\u00adbour",
    "Cyrillic look-alike": "b\u043eat",
    "Greek look-alike": "\u0391pril",
}


@pytest.mark.parametrize("trick", CHARACTERS.values(), ids=CHARACTERS)
def test_hidden_and_broken_characters_do_not_pay(trick: str) -> None:
    assert refused_by(f"{PARAPHRASE} {trick}") == {"plain_characters"}
    assert refused_by(f"{PARAPHRASE} {trick}", f"{SOURCE} {trick}") == set()


@pytest.mark.parametrize(
    ("source", "rewrite"),
    [
        (
            "أحصى مكتب الميناء مئتين وأربعة عشر قاربا في يونيو.",
            "في يونيو بلغ عدد القوارب في الميناء مئتين وأربعة عشر.",
        ),
        ("Контора порта насчитала 214 лодок в июне.", "В июне в порту стояло 214 судов, сообщает контора."),
        ("می‌خواهم کتاب را بخوانم و به خانه بروم.", "قصد دارم به خانه بروم و آن کتاب را می‌خوانم."),
    ],
)
def test_other_scripts_pay(source: str, rewrite: str) -> None:
    assert refused_by(rewrite, source) == set()


anything = st.text(st.characters(exclude_categories=()), max_size=60)
pieces = st.lists(
    st.sampled_from(
        [SOURCE, PARAPHRASE, INSTRUCTION, "Sure! ", "<|", "|>", "**", "\n- ", "\ud800", "\x00", "\u200d", "ß"]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.one_of(anything, pieces), st.one_of(anything, pieces), st.booleans(), anything)
@example("", "", True, "")
def test_any_unicode_is_judged_by_0_or_1(source: str, rewrite: str, finished: bool, instruction: str) -> None:
    batch = make_batch([rewrite], source, finished=finished, instruction=instruction)
    terms = FORMAT(batch)
    assert terms.failures == ()
    assert terms.values[0] in (0.0, 1.0)
    assert terms.values[0] == min(detail[0] for detail in terms.details.values())
    assert all(set(detail) <= {0.0, 1.0} for detail in terms.details.values())
    if not finished or not rewrite.strip() or (source == rewrite and words(source)):
        assert terms.values[0] == 0.0


@pytest.mark.parametrize(
    "unit", ["word ", "x", "\n \n", "here is ", "- a\n", "*", "A\u200b", "\u0301", "(note ", "😀"]
)
def test_time_is_linear(unit: str) -> None:
    """Ten times the text takes nowhere near a hundred times the seconds."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.process_time()
        FORMAT(
            RewardBatch(
                sources=make_batch([""], text + "b").sources,
                rewrites=[text + "c"],
                finished=[True],
                instruction="",
            )
        )
        return time.process_time() - started

    seconds(1_000)
    assert seconds(200_000) < 30 * max(seconds(20_000), 0.005)


def test_details_say_why_and_the_gate_is_declared() -> None:
    spec = default_registry().spec("rewards", "format")
    assert (spec.gate, spec.default_weight) == (True, 0.5)
    terms = FORMAT(make_batch([PARAPHRASE, SOURCE, ""]))
    assert terms.values.tolist() == [1.0, 0.0, 0.0]
    assert terms.details["no_copy"].tolist() == [1.0, 0.0, 1.0]
    assert terms.details["not_empty"].tolist() == [1.0, 1.0, 0.0]
    assert all(values.dtype == np.float64 for values in terms.details.values())


def test_thresholds_are_options() -> None:
    lenient = OutputFormat(FormatOptions(min_length=0.0, max_length=9, max_copied=1.0, max_repetition=1.0))
    assert lenient(make_batch([SOURCE, "Boats."])).values.tolist() == [1.0, 1.0]
    with pytest.raises(RecipeError, match="min_length"):
        default_registry().options("rewards", "format", {"min_length": 3})
