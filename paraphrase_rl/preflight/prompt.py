"""Prompt: what the model is asked, as its chat template writes it, and whether it thinks before it answers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from paraphrase_rl.errors import MissingDependencyError, ModelError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.preflight.served import remedy
from paraphrase_rl.preflight.tokens import counter
from paraphrase_rl.recipe.model_info import find_model

if TYPE_CHECKING:
    from paraphrase_rl.models.chat import Chat

PROMPT = Rule(
    "PRL016",
    "ok",
    "prompt",
    "What one prompt ends in, as the model's chat template writes it: the model's answer begins there. A closed "
    "thought (<think></think>) at its end means that the model is told not to think.",
)
UNSEEN = Rule(
    "PRL017",
    "note",
    "prompt",
    "What a prompt ends in, and whether the model thinks before it answers, is known only once the model's "
    "tokenizer and the library that reads it are on this machine.",
)
CHAT = Rule(
    "PRL018",
    "error",
    "prompt",
    "The model cannot be asked as the recipe says: its tokenizer has no usable chat template, or it thinks "
    "before it answers, cannot be told not to, and prompt.thinking is false.",
    "choose another model",
)
THINKING = Rule(
    "PRL019",
    "warning",
    "thinking",
    "The model thinks before it answers, or may. Without prompt.thinking a thought in an answer fails the format "
    "gate, which then gives 0 to every rollout. With it, the thought is removed before the rewrite is rated, and "
    "needs room: it counts against sampling.max_tokens, and one that is cut there leaves no rewrite.",
    "choose a model that can be told not to think",
)
ROOM = 1024
"""Token limit below which thoughts of today's models are cut before the rewrite begins."""
SHOWN = 80
"""Number of characters of the end of a prompt that are shown."""
_FILES = ("chat_template.jinja", "tokenizer_config.json", "tokenizer.json")


def check(case: Case) -> Iterator[Finding]:
    """Render one prompt, if the policy's tokenizer is on this machine."""
    recipe = case.recipe
    model, thinking = recipe.model, recipe.prompt.thinking
    found = find_model(model, weights=not case.remote)
    if found.folder is None:
        prices = case.prices
        known = prices.models.get(model) if prices is not None else None
        if prices is not None and known is not None and known.always_thinks and not thinking:
            said = (
                f"{model} thinks before it answers and cannot be told not to, while prompt.thinking is false"
            )
            yield CHAT.found(said, key="prompt.thinking", remedy=remedy(case, prices.served))
        elif found.level != "error":  # else told as a missing model
            yield UNSEEN.found(f"{model}: its tokenizer is not on this machine", key="prompt")
        return
    try:
        chat = chat_of(model, found.folder, thinking=thinking)
    except MissingDependencyError as error:
        yield UNSEEN.found(error.message, key="prompt", remedy=error.hint)
        return
    except ModelError as error:
        yield CHAT.found(error.message, key="prompt", remedy=error.hint)
        return
    texts = case.prompts("train")
    end = chat.render(recipe.prompt.messages(texts[0].text if texts else "..."))[-SHOWN:]
    told = ", ".join(f"{name}: {value}".lower() for name, value in chat.variables.items())
    yield PROMPT.found(f"one prompt ends in {end!r}" + (f", told {told}" if told else ""), key="prompt")
    yield from _thinking(chat, case)


def _thinking(chat: Chat, case: Case) -> Iterator[Finding]:
    limit, key = case.recipe.sampling.max_tokens, "prompt.thinking"
    if chat.thinks == "untold":
        said = f"the chat template of {chat.model} knows thoughts and has no switch: only its answers show if it thinks"
        if not chat.thinking:
            yield THINKING.found(said, key=key)
    if not chat.thinking:
        return
    if chat.thinks == "never":
        yield THINKING.found(
            f"{chat.model} does not think: true has no effect",
            key=key,
            severity="note",
            remedy="set prompt.thinking: false",
        )
    elif limit < ROOM:
        yield THINKING.found(
            f"sampling.max_tokens {limit} has no room for a thought and a rewrite",
            key=key,
            remedy=f"raise sampling.max_tokens to {ROOM} or more, or set prompt.thinking: false",
        )
    else:
        yield THINKING.found(
            f"the thought counts against sampling.max_tokens {limit}", key=key, severity="note", remedy=""
        )


def chat_of(model: str, folder: Path, *, thinking: bool) -> Chat:
    """Return the chat of a model whose tokenizer is in a folder, with no more of the tokenizer than rendering needs.

    Raises:
        ModelError: there is no tokenizer, or see :class:`paraphrase_rl.models.chat.Chat`.
        MissingDependencyError: transformers is not installed.
    """
    from paraphrase_rl.models.chat import Chat
    from paraphrase_rl.models.chat_template import saved_template

    template = saved_template(folder) if counter(folder) is not None else None
    if template is not None:
        return Chat(template, model, thinking=thinking)
    times = tuple(file.stat().st_mtime_ns for name in _FILES if (file := folder / name).is_file())
    return Chat(_tokenizer(folder, times), model, thinking=thinking)


@lru_cache(maxsize=2)
def _tokenizer(folder: Path, times: tuple[int, ...]) -> object:  # noqa: ARG001 - part of the key
    from paraphrase_rl.models.references import load_tokenizer_alone

    return load_tokenizer_alone(folder)
