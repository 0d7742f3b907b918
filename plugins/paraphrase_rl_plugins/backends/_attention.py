"""Attention in a packed group: each completion attends to the prompt and to itself, as transformers' own function.

A mask over the packed sequence would say the same, at a cost that grows with the square of all completions together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "paraphrase_rl_packed"
_PACK: ContextVar[_Pack] = ContextVar("the packed group that is read")


@dataclass(frozen=True)
class _Pack:
    """Positions of each completion, and the masks of its lengths so far, which are those of every layer."""

    lengths: tuple[int, ...]
    masks: dict[tuple[Any, ...], torch.Tensor] = field(default_factory=dict)

    def mask(self, length: int, seen: int, times: int, like: torch.Tensor) -> torch.Tensor:
        """Causal mask of the last ``length`` of ``seen`` positions, once for each query head of a key head.

        It is added to the scores: of truth values torch would make such a mask in every layer again.
        """
        key = length, seen, times, like.dtype, like.device
        if key not in self.masks:
            hidden = like.new_full((length, seen), float("-inf")).triu(seen - length + 1)
            self.masks[key] = hidden.repeat(times, 1)
        return self.masks[key]


@contextmanager
def attending_by(name: str, config: Any, variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Make a model attend by a registered function, which reads a variable, inside a ``with`` block.

    Args:
        name: of the function, as registered with transformers' ``AttentionInterface``.
        config: configuration that the model's attention layers share.
        variable: what the function reads.
        value: the variable's value in the block.
    """
    before, token = config._attn_implementation, variable.set(value)
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before
        variable.reset(token)


def attending_to_prompt_and_self(config: Any, lengths: Sequence[int]) -> AbstractContextManager[None]:
    """Make a model attend as a packed group does, inside a ``with`` block.

    Args:
        config: configuration that the model's attention layers share.
        lengths: positions of each completion; they are the last ones of the sequence.
    """
    return attending_by(NAME, config, _PACK, _Pack(tuple(lengths)))


def packed_attention(
    module: Any,  # noqa: ARG001 - the signature is transformers'
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within a packed group.

    Args:
        query: shape (1, H, L, D): the prompt's positions, then those of each completion.
        key, value: shape (1, K, L, D), where K divides H.

    Returns:
        Shape (1, L, H, D), and no weights.
    """
    pack = _PACK.get()
    head = query.shape[2] - sum(pack.lengths)
    # split, and not a slice for each: the gradient of a slice is as large as the whole
    (q_prompt, k_prompt, v_prompt), *completions = zip(
        *(part[0].split((head, *pack.lengths), 1) for part in (query, key, value)), strict=True
    )
    parts = [_attend(pack, q_prompt, k_prompt, v_prompt, dropout, scaling)] if head else []
    for q, k, v in completions:
        seen = torch.cat([k_prompt, k], 1), torch.cat([v_prompt, v], 1)
        parts.append(_attend(pack, q, *seen, dropout, scaling))
    return torch.cat(parts)[None], None


def _attend(
    pack: _Pack, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float, scaling: float | None
) -> torch.Tensor:
    """Causal attention of the last T of S positions: q of shape (H, T, D), k and v of shape (K, S, D); (T, H, D)."""
    (heads, length, size), (shared, seen) = q.shape, k.shape[:2]
    times = heads // shared
    # The query heads of one key head stand one after the other as positions: keys need not be copied for each.
    out = scaled_dot_product_attention(
        q.reshape(1, shared, times * length, size),
        k[None],
        v[None],
        attn_mask=pack.mask(length, seen, times, q),
        dropout_p=dropout,
        scale=scaling,
    )
    return out.reshape(heads, length, v.shape[-1]).transpose(0, 1)


AttentionInterface.register(NAME, packed_attention)
