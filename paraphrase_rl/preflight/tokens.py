"""Lengths of prompts in tokens: counted with the model's tokenizer if it is on this machine, else from words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from paraphrase_rl.recipe.cost import TEMPLATE_TOKENS, TOKENS_PER_WORD
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document

COUNTED = 5
"""Number of the longest texts that are counted with the tokenizer."""


@dataclass(frozen=True, slots=True)
class PromptLengths:
    """Lengths in tokens.

    Attributes:
        longest: the longest prompt, with its chat template.
        longest_id: id of its text.
        prompt: the mean prompt, from words.
        completion: the mean text, from words: a rewrite is expected to be as long.
        counted: True if the longest was counted with the model's tokenizer.
    """

    longest: float
    longest_id: str
    prompt: float
    completion: float
    counted: bool


def prompt_lengths(
    recipe: Recipe, documents: Sequence[Document], folder: Path | None
) -> PromptLengths | None:
    """Measure the prompts of documents; ``None`` if there are none.

    Args:
        folder: folder with the tokenizer of the policy; ``None`` if it is not on this machine.
    """
    if not documents:
        return None
    instructions = f"{recipe.prompt.system} {recipe.prompt.instruction}"
    words = [len(document.text.split()) for document in documents]
    fixed = len(instructions.split()) * TOKENS_PER_WORD + TEMPLATE_TOKENS
    mean = sum(words) / len(words) * TOKENS_PER_WORD
    candidates = sorted(documents, key=lambda document: len(document.text), reverse=True)[:COUNTED]
    count = counter(folder)
    if count is None:
        longest, text = max((len(d.text.split()) * TOKENS_PER_WORD, d.id) for d in candidates)
        return PromptLengths(fixed + longest, text, fixed + mean, mean, counted=False)
    longest, text = max((float(count(d.text)), d.id) for d in candidates)
    return PromptLengths(
        count(instructions) + TEMPLATE_TOKENS + longest, text, fixed + mean, mean, counted=True
    )


def counter(folder: Path | None) -> Callable[[str], int] | None:
    """Return a function that counts tokens; ``None`` if the folder has no ``tokenizer.json`` that can be read."""
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    file = folder / "tokenizer.json"
    return _counter(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _counter(file: Path, time: int) -> Callable[[str], int] | None:  # noqa: ARG001 - part of the key
    try:
        from tokenizers import Tokenizer

        loaded = Tokenizer.from_file(str(file))
    except Exception:  # not installed, or what it raises on a file that is none, which has no type of its own
        return None
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)
