"""Chat with a model: conversations to token ids, completions to answers, and whether the model thinks in between.

How a template is told not to think is found out by rendering it, not by the name of a family: each variable that is
known to switch thinking is tried, and the end of the prompt shows what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from paraphrase_rl.errors import ModelError
from paraphrase_rl.text.thoughts import ASKED, THOUGHT_MARK, Answer, Form, forms_in, is_open, split_thought
from paraphrase_rl.types import Rollout

Conversation = Sequence[Mapping[str, str]]
Thinks = Literal["never", "switched", "always", "untold"]
"""Whether a model thinks before it answers.

- ``never``: its template knows no thoughts.
- ``switched``: it can be told to and not to.
- ``always``: it cannot be told not to.
- ``untold``: its template knows thoughts, but neither asks for one nor has a switch; the model decides.
"""

SWITCHES: Mapping[str, tuple[tuple[object, ...], object]] = {
    "enable_thinking": ((False,), True),  # Qwen, SmolLM3, GLM, Gemma 4, Nemotron, ...
    "thinking": ((False,), True),  # DeepSeek, Granite, Kimi
    "reasoning": ((False,), True),  # Cohere
    "thinking_mode": (("disabled",), "enabled"),  # MiniMax
    "thinking_budget": ((0,), None),  # Seed
    "reasoning_effort": (("none", "no_think", "low"), "high"),  # Mistral, Hunyuan, Solar
}
"""Variables of chat templates that switch thinking: their values for off, and for on (``None`` = left out)."""

_NAMED = re.compile(r"think(?:ing|er)|reason(?:ing|er)|\br1\b|qwq|magistral", re.IGNORECASE)
_PROBE: Conversation = (
    {"role": "system", "content": "\ue001"},
    {"role": "user", "content": "\ue002"},
)
_PLACEHOLDER = "\ue000"
"""A private-use character: stands for a piece of markup while the template is rendered."""


class Chat:
    """Chat template and tokenizer of a model, set to think before it answers or not to.

    Args:
        tokenizer: tokenizer of transformers, with a chat template.
        model: the model's reference, for messages.
        thinking: whether the model is told to think.

    Attributes:
        variables: what the template is given with the conversation.
        thinks: see :data:`Thinks`.

    Raises:
        ModelError: the template cannot write a chat with a system message, or the model cannot stop thinking and
            ``thinking`` is False.
    """

    def __init__(self, tokenizer: Any, model: str, *, thinking: bool = False) -> None:
        self.tokenizer, self.model, self.thinking = tokenizer, model, thinking
        source = self._source()
        switch = self._switch(source)
        off, on = switch or ({}, {})
        told = self.render(_PROBE, off)
        self.forms: tuple[Form, ...] = forms_in(source, told, self.render(_PROBE, on))
        self.thinks: Thinks = self._thinks(told, switched=switch is not None)
        if self.thinks == "always":
            off = on = {}  # as much as it thinks by itself
            if not thinking:
                raise ModelError(
                    f"{model} thinks before it answers and cannot be told not to, while prompt.thinking is false",
                    "choose a model that can (Qwen/Qwen3.5-4B) or one that does not think; or set prompt.thinking: "
                    "true, with a sampling.max_tokens that has room for the thought",
                )
        self.variables: Mapping[str, object] = on if thinking else off

    def _source(self) -> str:
        try:
            return str(self.tokenizer.get_chat_template())
        except (ValueError, NotImplementedError) as error:  # the tokenizer has none, or is no usual one
            raise self._cannot(error) from error

    def _switch(self, source: str) -> tuple[dict[str, object], dict[str, object]] | None:
        """Variables that switch thinking off and on; ``None`` if none does.

        Best are those that make the prompt end in a closed thought; else those that change the prompt.
        """
        found = None
        for off in _candidates(source):
            on = {name: SWITCHES[name][1] for name in off if SWITCHES[name][1] is not None}
            told, thinking = self._rendered_or_none(off), self._rendered_or_none(on)
            if thinking is None:  # it is on by itself, or has a word of its own for it
                on, thinking = {}, self.render(_PROBE, {})
            if told is None or told == thinking:
                continue
            ends = is_open(_end(told))
            if ends is False:
                return off, on
            if ends is None and found is None:
                found = off, on
        return found

    def _rendered_or_none(self, variables: Mapping[str, object]) -> str | None:
        try:
            return self.render(_PROBE, variables)
        except ModelError:  # a value that the template refuses
            return None

    def _thinks(self, told: str, *, switched: bool) -> Thinks:
        ends = is_open(_end(told))
        if ends or _asks(told):
            return "always"
        if switched:
            return "switched"
        if ends is not None or not self.forms:
            return "never"
        named = _NAMED.search(self.model.rstrip("/\\").replace("\\", "/").rpartition("/")[2])
        return "always" if named else "untold"

    def render(self, conversation: Conversation, variables: Mapping[str, object] | None = None) -> str:
        """Return the text of a prompt, at whose end the model's answer begins.

        Raises:
            ModelError: the template cannot write the conversation.
        """
        from jinja2 import TemplateError

        given = self.variables if variables is None else variables
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(conversation), add_generation_prompt=True, tokenize=False, **given
                )
            )
        except (ValueError, TypeError, TemplateError) as error:
            raise self._cannot(error) from error

    def _cannot(self, error: Exception) -> ModelError:
        return ModelError(
            f"the tokenizer of {self.model} cannot write a chat with a system message: {error}",
            "use an instruction-tuned model whose tokenizer has a chat template",
        )

    def prompt(self, conversation: Conversation) -> list[int]:
        """Encode a conversation as token ids, at whose end the model's answer begins.

        A text that contains the markup of the chat itself (``<|im_end|>``) must not end its message: such pieces are
        encoded as ordinary text.
        """
        found: list[str] = []

        def mark(match: re.Match[str]) -> str:
            found.append(match.group())
            return _PLACEHOLDER

        marked = [
            {**message, "content": self._markup.sub(mark, message["content"].replace(_PLACEHOLDER, ""))}
            for message in conversation
        ]
        tokenizer = self.tokenizer
        if not found:
            return list(tokenizer(self.render(conversation), add_special_tokens=False)["input_ids"])
        pieces = self.render(marked).split(_PLACEHOLDER)
        ids = list(tokenizer(pieces[0], add_special_tokens=False)["input_ids"])
        for literal, piece in zip(found, pieces[1:], strict=True):
            ids += tokenizer(literal, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            ids += tokenizer(piece, add_special_tokens=False)["input_ids"]
        return ids

    def answer(self, ids: Sequence[int]) -> Answer:
        """Decode a completion: its answer, special tokens removed, and apart from it the thought before the answer.

        Told not to think, the model should not: what it thinks all the same stays in the answer with its marks, for
        the rewards to see.
        """
        kept = [one for one in ids if one not in self._plain_special]
        text = str(self.tokenizer.decode(kept, skip_special_tokens=False))
        if not self.thinking:
            return Answer(text)
        return split_thought(text, self.forms, opened=self._opened)

    def rollout(
        self,
        group: int,
        prompt: Sequence[int],
        ids: Sequence[int],
        logprobs: Sequence[float],
        *,
        finished: bool,
    ) -> Rollout:
        """Build the record of one sampled completion; see :class:`paraphrase_rl.types.Rollout`."""
        answer = self.answer(ids)
        return Rollout(
            group=group,
            prompt_ids=prompt,
            completion_ids=ids,
            logprobs=np.array(logprobs, dtype=np.float64),
            text=answer.text,
            finished=finished,
            thought=answer.thought,
        )

    @cached_property
    def _opened(self) -> bool:
        return bool(is_open(_end(self.render(_PROBE))))

    @cached_property
    def _special(self) -> dict[int, str]:
        tokenizer = self.tokenizer
        added = {
            int(id_): str(token) for id_, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        return added | dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))

    @cached_property
    def _plain_special(self) -> frozenset[int]:
        """Special tokens that no mark of a thought is made of."""
        return frozenset(id_ for id_, token in self._special.items() if not _of_a_mark(token))

    @cached_property
    def _markup(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(set(self._special.values()), key=len)[::-1])))


def _candidates(source: str) -> Iterator[dict[str, object]]:
    """Settings that may switch thinking off, by the variables that a template names: each alone, then all together."""
    named = [name for name in SWITCHES if re.search(rf"\b{name}\b", source)]
    for name in named:
        for value in SWITCHES[name][0]:
            yield {name: value}
    if len(named) > 1:
        yield {name: SWITCHES[name][0][0] for name in named}


def _end(rendered: str) -> str:
    """What a template writes after the last message."""
    return rendered.rpartition(_PROBE[-1]["content"])[2]


def _asks(rendered: str) -> bool:
    """Whether a template asks for a thought before the messages, as it does where nothing at its end says otherwise."""
    return ASKED.search(rendered) is not None or (
        is_open(_end(rendered)) is None and THOUGHT_MARK.search(rendered) is not None
    )


def _of_a_mark(token: str) -> bool:
    return THOUGHT_MARK.search(token) is not None or token in _PARTS


_PARTS = frozenset({"<|channel|>", "<|channel>", "<|message|>", "<|start|>", "<|open|>", "<|sep|>"})
"""Special tokens that are a part of a mark."""
