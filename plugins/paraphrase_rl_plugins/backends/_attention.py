"""Attention in a packed group: each completion attends to the prompt and to itself, as transformers' own function.

A mask over the packed sequence would say the same, at a cost that grows with the square of all completions together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "paraphrase_rl_packed"
_LENGTHS: ContextVar[tuple[int, ...]] = ContextVar("lengths of the completions")


@contextmanager
def attending_to_prompt_and_self(config: Any, lengths: Sequence[int]) -> Iterator[None]:
    """Make a model attend as a packed group does, inside a ``with`` block.

    Args:
        config: configuration that the model's attention layers share.
        lengths: positions of each completion; they are the last ones of the sequence.
    """
    before, token = config._attn_implementation, _LENGTHS.set(tuple(lengths))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _LENGTHS.reset(token)


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
    lengths = _LENGTHS.get()
    head = query.shape[2] - sum(lengths)
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    parts = []
    if head:
        parts.append(_attend(q[None, :head], k[None, :head], v[None, :head], dropout, scaling)[0])
    rows, longest = len(lengths), max(lengths)
    starts = torch.tensor(lengths, device=q.device).cumsum(0) - torch.tensor(lengths, device=q.device) + head
    place = torch.arange(longest, device=q.device)
    there = place < torch.tensor(lengths, device=q.device)[:, None]
    index = (starts[:, None] + place * there).ravel()

    def padded(part: torch.Tensor) -> torch.Tensor:
        return part.index_select(0, index).view(rows, longest, *part.shape[1:])

    k, v = (
        torch.cat([part[None, :head].expand(rows, -1, -1, -1), padded(part)], 1) if head else padded(part)
        for part in (k, v)
    )
    parts.append(_attend(padded(q), k, v, dropout, scaling)[there])
    return torch.cat(parts)[None], None


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float, scaling: float | None
) -> torch.Tensor:
    """Causal attention of the last T of S positions: q of shape (B, T, H, D), k and v of shape (B, S, K, D)."""
    (batch, length, heads, size), (seen, shared) = q.shape, k.shape[1:3]
    times = heads // shared
    # The query heads of one key head stand one after the other as positions: keys need not be copied for each.
    q = q.view(batch, length, shared, times, size).permute(0, 2, 3, 1, 4).reshape(batch, shared, -1, size)
    causal = torch.ones(length, seen, dtype=torch.bool, device=q.device).tril(seen - length)
    out = scaled_dot_product_attention(
        q,
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=causal.repeat(times, 1)[None, None],
        dropout_p=dropout,
        scale=scaling,
    )
    out = out.view(batch, shared, times, length, v.shape[-1]).permute(0, 3, 1, 2, 4)
    return out.reshape(batch, length, heads, v.shape[-1])


AttentionInterface.register(NAME, packed_attention)
