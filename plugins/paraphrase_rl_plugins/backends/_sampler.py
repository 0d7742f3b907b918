"""Group sampling: each prompt is read once, its rollouts share the cache, the adapter is merged while sampling.

Imported by the backend only when it trains; the modules of this folder whose names begin with an underscore may
therefore import torch at module level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

NUCLEUS_CANDIDATES = 512
"""Tokens looked at before a full sort; rows whose nucleus is wider fall back to it, so the result is exact."""

DROP_FINISHED_AT = 0.25
"""Share of finished rows at which they leave the batch; less often would waste compute, more often copies."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One completion: token ids (the end token included), their log-probabilities, whether it ended by itself."""

    ids: list[int]
    logprobs: list[float]
    finished: bool


@contextmanager
def merged_adapter(model: Any) -> Iterator[None]:
    """Fold a LoRA adapter into the weights for a while, and put the very same weights back afterwards.

    Merging and subtracting again, as peft does, would change the base weights by rounding at every step.
    """
    from peft.tuners.lora import LoraLayer

    layers = [
        module for module in model.modules() if isinstance(module, LoraLayer) and module.active_adapters
    ]
    originals = []
    try:
        with torch.no_grad():
            for layer in layers:
                base = layer.get_base_layer().weight
                originals.append((base, base.data))
                for adapter in layer.active_adapters:
                    delta = layer.get_delta_weight(adapter)
                    base.data = (base.data.float() + delta.float()).to(base.dtype)
        if layers:
            with model.disable_adapter():
                yield
        else:
            yield
    finally:
        for base, data in originals:
            base.data = data


def uniform_noise(keys: Sequence[Sequence[int]], group_size: int, max_tokens: int) -> torch.Tensor:
    """Shape (P * G, max_tokens) in [0, 1): one number a token, from the prompt's key and the row alone.

    So a rollout does not depend on the other prompts of the batch, on the number of processes, or on what was
    sampled before a resume.
    """
    rows = [
        np.random.default_rng((*key, row)).random(max_tokens, dtype=np.float32)
        for key in keys
        for row in range(group_size)
    ]
    return torch.from_numpy(np.stack(rows))


def draw(logits: torch.Tensor, noise: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token a row from the nucleus by inverting its distribution function.

    Args:
        logits: shape (B, V), fp32, already divided by the temperature.
        noise: shape (B,), uniform in [0, 1).
        top_p: the nucleus is the smallest set of most likely tokens whose probability reaches top_p (the token
            that crosses it included, as in transformers).

    Returns:
        tokens of shape (B,), and their log-probabilities under the full softmax, not the nucleus.
    """
    total = torch.logsumexp(logits, -1, keepdim=True)
    if top_p >= 1.0:
        cumulative = (logits - total).exp().cumsum(-1)
        tokens = _invert(cumulative, noise)
    else:
        values, ids = logits.topk(min(NUCLEUS_CANDIDATES, logits.shape[-1]), dim=-1)
        tokens = ids.gather(1, _invert(_nucleus(values - total, top_p), noise)[:, None])[:, 0]
        wide = (values - total).exp().sum(-1) < top_p
        if wide.any():
            values, ids = logits[wide].sort(dim=-1, descending=True)
            chosen = _invert(_nucleus(values - total[wide], top_p), noise[wide])
            tokens[wide] = ids.gather(1, chosen[:, None])[:, 0]
    return tokens, logits.gather(1, tokens[:, None])[:, 0] - total[:, 0]


def _nucleus(logprobs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Cumulative probabilities of tokens sorted from likely to unlikely, constant beyond the nucleus."""
    probabilities = logprobs.exp()
    before = probabilities.cumsum(-1) - probabilities
    return probabilities.masked_fill(before >= top_p, 0.0).cumsum(-1)


def _invert(cumulative: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    mass = cumulative[:, -1]
    target = (noise.to(cumulative) * mass)[:, None]
    # Rounding may leave the target at or above the whole mass: then the last token that adds any is meant.
    last = (cumulative < mass[:, None]).sum(-1)
    return torch.minimum((cumulative <= target).sum(-1), last)


@torch.no_grad()
def sample_groups(
    model: Any,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[Sequence[int]],
    *,
    group_size: int,
    max_tokens: int,
    temperature: float,
    top_p: float,
    end_ids: Sequence[int],
    pad_id: int,
) -> list[Sampled]:
    """Sample ``group_size`` completions of each prompt.

    Args:
        prompts: token ids of P prompts.
        keys: for each prompt the integers its noise is drawn from.

    Returns:
        P * G completions, groups one after the other; log-probabilities are those of the full softmax at this
        temperature.
    """
    device = model.device
    ids, attention = left_pad(prompts, pad_id, device)
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config.get_text_config())
    out = model(
        input_ids=ids,
        attention_mask=attention,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    cache = out.past_key_values
    cache.batch_repeat_interleave(group_size)
    logits = out.logits[:, -1].float().repeat_interleave(group_size, 0)
    attention = attention.repeat_interleave(group_size, 0)
    position = positions[:, -1].repeat_interleave(group_size, 0) + 1
    noise = uniform_noise(keys, group_size, max_tokens).to(device)
    ends = torch.tensor(sorted(end_ids), device=device)

    rows = torch.arange(len(prompts) * group_size, device=device)
    alive = torch.ones_like(rows, dtype=torch.bool)
    results: list[tuple[list[int], list[float]]] = [([], []) for _ in range(len(rows))]
    finished = [False] * len(rows)
    for step in range(max_tokens):
        tokens, logprobs = draw(logits / temperature, noise[rows, step], top_p)
        ended = torch.isin(tokens, ends)
        for row, token, logprob, live, end in zip(
            rows.tolist(), tokens.tolist(), logprobs.tolist(), alive.tolist(), ended.tolist(), strict=True
        ):
            if live:
                results[row][0].append(token)
                results[row][1].append(logprob)
                finished[row] = end
        alive = alive & ~ended
        if not alive.any() or step + 1 == max_tokens:
            break
        if 1 - alive.float().mean().item() >= DROP_FINISHED_AT:
            keep = alive.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            rows, tokens, position = rows[keep], tokens[keep], position[keep]
            attention, alive = attention[keep], alive[keep]
        attention = torch.cat([attention, attention.new_ones(len(rows), 1)], 1)
        out = model(
            input_ids=tokens[:, None],
            attention_mask=attention,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        position = position + 1
        logits = out.logits[:, -1].float()
    return [Sampled(ids_, logprobs_, end) for (ids_, logprobs_), end in zip(results, finished, strict=True)]


def left_pad(
    sequences: Sequence[Sequence[int]], pad_id: int, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of shape (N, longest), padded on the left."""
    width = max(map(len, sequences))
    ids = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence)
        mask[row, width - len(sequence) :] = 1
    return ids.to(device), mask.to(device)


def right_pad(
    sequences: Sequence[Sequence[float]], fill: float, dtype: torch.dtype, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and mask of shape (N, longest), padded on the right."""
    width = max(map(len, sequences))
    values = torch.full((len(sequences), width), fill, dtype=dtype)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = torch.tensor(list(sequence), dtype=dtype)
        mask[row, : len(sequence)] = 1
    return values.to(device), mask.to(device)
