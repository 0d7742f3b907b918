"""Prompts of the policy and their order, the same on every backend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paraphrase_rl.recipe.arithmetic import total_steps
from paraphrase_rl.recipe.schema import Prompt, Training


def messages(prompt: Prompt, text: str) -> list[dict[str, str]]:
    """Build the conversation that asks for one rewrite."""
    return [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": f"{prompt.instruction}\n\n{text}"},
    ]


def prompt_ids(tokenizer: Any, conversation: Sequence[Mapping[str, str]]) -> list[int]:
    """Encode a conversation as token ids, at whose end the model's answer begins.

    A text that contains the markup of the chat itself (``<|im_end|>``) must not end its message: such pieces are
    encoded as ordinary text.

    Args:
        tokenizer: tokenizer of transformers, with a chat template.
    """
    markup = re.compile(
        "|".join(re.escape(token) for token in sorted(_special_tokens(tokenizer), key=len)[::-1])
    )
    found: list[str] = []

    def mark(match: re.Match[str]) -> str:
        found.append(match.group())
        return _PLACEHOLDER

    marked = [
        {**message, "content": markup.sub(mark, message["content"].replace(_PLACEHOLDER, ""))}
        for message in conversation
    ]
    if not found:
        ids: list[int] = tokenizer.apply_chat_template(
            list(conversation), add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        return list(ids)
    pieces = tokenizer.apply_chat_template(marked, add_generation_prompt=True, tokenize=False).split(
        _PLACEHOLDER
    )
    ids = list(tokenizer(pieces[0], add_special_tokens=False)["input_ids"])
    for literal, piece in zip(found, pieces[1:], strict=True):
        ids += tokenizer(literal, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids += tokenizer(piece, add_special_tokens=False)["input_ids"]
    return ids


_PLACEHOLDER = "\ue000"
"""A private-use character: stands for a piece of markup while the template is rendered."""


def _special_tokens(tokenizer: Any) -> set[str]:
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | set(tokenizer.all_special_tokens)


def prompt_order(n_prompts: int, training: Training) -> list[list[int]]:
    """Choose the indices of the prompts of each step.

    Every epoch is a permutation that depends on the seed and the epoch alone, so a resumed run has the same
    order as an uninterrupted one.
    """
    batch, order = training.batch_size, []
    for epoch in range(training.epochs):
        permutation = np.random.default_rng((training.seed, epoch)).permutation(n_prompts).tolist()
        order += [permutation[at : at + batch] for at in range(0, n_prompts - batch + 1, batch)]
    return order[: total_steps(n_prompts, training)]
