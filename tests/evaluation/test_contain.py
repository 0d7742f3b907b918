"""What a rewriter may do wrong, and what it costs."""

from __future__ import annotations

import pytest

from paraphrase_rl.errors import ModelError, PluginError
from paraphrase_rl.evaluation.contain import rewrite_contained
from paraphrase_rl.types import Failure, Rewrite


class Doubles:
    """Each text twice; BAD crashes, SHORT fails."""

    def rewrite(self, texts, n, seed):
        if "BAD" in texts:
            raise RuntimeError("boom\nmore")
        return [
            Failure(index=9, owner="doubles", kind="too-short", message="short")
            if text == "SHORT"
            else [Rewrite(text=f"{text} {text} {seed}.{i}") for i in range(n)]
            for text in texts
        ]


class Answers:
    def __init__(self, answer):
        self.answer = answer

    def rewrite(self, texts, n, seed):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_crash_costs_its_own_text():
    alone, crash, short, last = rewrite_contained(
        "doubles", Doubles().rewrite, ["a", "BAD", "SHORT", "b"], 2, 7
    )
    assert alone == [Rewrite(text="a a 7.0"), Rewrite(text="a a 7.1")]
    assert (crash.index, crash.owner, crash.kind, crash.message) == (
        1,
        "doubles",
        "crashed",
        "RuntimeError: boom more",
    )
    assert (short.index, short.kind) == (2, "too-short")
    assert last == [Rewrite(text="b b 7.0"), Rewrite(text="b b 7.1")]


def test_no_texts_need_no_rewriter():
    assert rewrite_contained("x", Answers(RuntimeError("boom")).rewrite, [], 1, 0) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[Rewrite(text="a")]], "rewriter x returned 1 items for 2 texts"),
        (None, "rewriter x returned NoneType for 2 texts"),
        ([[Rewrite(text="a")], ["b"]], r"rewriter x returned \['b'\] where 1 rewrites or a Failure belong"),
        ([[Rewrite(text="a")], []], r"rewriter x returned \[\] where 1 rewrites or a Failure belong"),
    ],
)
def test_a_broken_answer_is_the_plugins_fault(answer, message):
    with pytest.raises(PluginError, match=message):
        rewrite_contained("x", Answers(answer).rewrite, ["a", "b"], 1, 0)


def test_what_the_rewriter_says_about_the_whole_call_stands():
    with pytest.raises(ModelError, match="no model"):
        rewrite_contained("x", Answers(ModelError("no model")).rewrite, ["a", "b"], 1, 0)
