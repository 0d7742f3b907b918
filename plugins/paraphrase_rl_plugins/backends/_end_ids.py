"""Tokens that end a model's completions: its tokenizer's, and those that its generation settings name."""

from __future__ import annotations

from typing import Any

from paraphrase_rl.plugin import is_hub_id, resolve


def end_ids(tokenizer: Any, settings: Any) -> list[int]:
    """Return the end tokens in ascending order.

    Args:
        settings: the model's ``GenerationConfig``, or ``None``.
    """
    named = settings.eos_token_id if settings is not None else None
    ends = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}
    return sorted(int(end) for end in ends)


def saved_settings(model: str) -> Any:
    """Read the ``GenerationConfig`` of a model, whose weights need not be here; ``None`` if it has none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(model if is_hub_id(model) else resolve(model).path)
    except OSError:
        return None
