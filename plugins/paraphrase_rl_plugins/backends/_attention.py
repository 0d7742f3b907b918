"""Attention in a packed group: each completion attends to the prompt and to itself, as transformers' own function.

A mask over the packed sequence would say the same, at a cost that grows with the square of all completions together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

    def mask(self, length: int, seen: int, times: int, device: Any) -> torch.Tensor:
        """Causal mask of the last ``length`` of ``seen`` positions, once for each query head of a key head."""
        key = length, seen, times, device
        if key not in self.masks:
            causal = torch.ones(length, seen, dtype=torch.bool, device=device).tril(seen - length)
            self.masks[key] = causal.repeat(times, 1)
        return self.masks[key]


@contextmanager
def attending_to_prompt_and_self(config: Any, lengths: Sequence[int]) -> Iterator[None]:
    """Make a model attend as a packed group does, inside a ``with`` block.

    Args:
        config: configuration that the model's attention layers share.
        lengths: positions of each completion; they are the last ones of the sequence.
    """
    before, token = config._attn_implementation, _PACK.set(_Pack(tuple(lengths)))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _PACK.reset(token)


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
    prompt = [part[0].narrow(1, 0, head) for part in (key, value)]
    parts = []
    start = 0
    for length in (head, *pack.lengths) if head else pack.lengths:
        q, k, v = (part[0].narrow(1, start, length) for part in (query, key, value))
        if start:
            k, v = (torch.cat([first, own], 1) for first, own in zip(prompt, (k, v), strict=True))
        parts.append(_attend(pack, q, k, v, dropout, scaling))
        start += length
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
        attn_mask=pack.mask(length, seen, times, q.device),
        dropout_p=dropout,
        scale=scaling,
    )
    return out.reshape(heads, length, v.shape[-1]).transpose(0, 1)


AttentionInterface.register(NAME, packed_attention)
