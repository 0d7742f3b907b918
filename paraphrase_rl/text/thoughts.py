"""Thoughts of a language model: how each family marks what it writes before its answer.

A thought stands between an opening and a closing mark. Either may be missing from an answer: many templates write the
opening mark at the end of the prompt, and a thought that reaches the token limit is never closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TAG = r"(?:\w{1,20}:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|inner_monologue)(?::\w{1,20})?"


@dataclass(frozen=True, slots=True)
class Form:
    """Pair of regular expressions: the marks that open and close a thought."""

    opening: str
    closing: str


FORMS = (
    Form(rf"<{_TAG}>", rf"</{_TAG}>"),  # Qwen, DeepSeek, SmolLM3, GLM, Nemotron; Seed, MiniMax with a prefix
    Form(r"\[THINK\]", r"\[/THINK\]"),  # Mistral
    Form(r"<\|channel\|>analysis(?:<\|message\|>)?", r"<\|channel\|>final<\|message\|>"),  # gpt-oss
    Form(r"<\|channel>(?:thought\n?)?", r"<channel\|>"),  # Gemma
    Form(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Cohere
    Form(r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker
    Form(r"<\|open\|>think<\|sep\|>", r"<\|open\|>response<\|sep\|>"),  # Kimi K3
    Form(r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    Form(r"<\|think\|>", r"<\|end\|><\|begin\|>assistant(?:<\|content\|>)?"),  # Solar
    Form("◁think▷", "◁/think▷"),  # Kimi-VL
    Form(r"Here are my reasoning steps:\n?", r"\[BEGIN FINAL RESPONSE\]"),  # Apriel
)
"""How families mark thoughts, as their chat templates write them."""

_OPENING = "|".join(form.opening for form in FORMS)
_CLOSING = "|".join(form.closing for form in FORMS)
THOUGHT_MARK = re.compile(f"(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})")
"""Pattern of every mark of every family."""
ASKED = re.compile(r"channels: [^\n]{0,40}analysis|recipients: [^\n]{0,40}\"self\"")
"""Pattern of a system message by which a template asks for a thought in a channel of its own (gpt-oss, Muse)."""


def forms_in(*texts: str) -> tuple[Form, ...]:
    """Return the forms of which a mark is found in a chat template or in what it renders."""
    return tuple(
        form
        for form in FORMS
        if any(re.search(f"{form.opening}|{form.closing}", text) is not None for text in texts)
    )


def is_open(text: str) -> bool | None:
    """Return whether the last mark in a text opens a thought; ``None`` if there is no mark."""
    marks = list(THOUGHT_MARK.finditer(text))
    return marks[-1]["opening"] is not None if marks else None


@dataclass(frozen=True, slots=True)
class Answer:
    """Parts of what a model wrote; ``thought`` is empty if it did not think."""

    text: str
    thought: str = ""


def split_thought(text: str, forms: Sequence[Form] = FORMS, *, opened: bool = False) -> Answer:
    """Split what a model wrote into its thought and its answer, without the marks.

    A thought that is not closed is all there is: the answer is then empty.

    Args:
        text: the completion, special tokens included.
        forms: forms of the model's family.
        opened: whether the prompt ends inside a thought.
    """
    closings = "|".join(form.closing for form in forms)
    openings = "|".join(form.opening for form in forms)
    if not forms:
        return Answer(text)
    begins = re.match(rf"\s*(?:{openings})", text)
    closed = re.compile(closings).search(text)
    if closed is not None:
        return Answer(
            text[closed.end() :].lstrip(), text[begins.end() if begins else 0 : closed.start()].strip()
        )
    if begins or opened:
        return Answer("", text[begins.end() if begins else 0 :].strip())
    return Answer(text)
