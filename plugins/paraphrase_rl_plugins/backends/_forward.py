"""Log-probabilities of grouped completions: each prompt is read once, the unembedding sees completions only."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache


def completion_logprobs(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    group_size: int,
    temperature: float,
) -> torch.Tensor:
    """Compute the log-probability of every completion token under the full softmax at a temperature, differentiably.

    Args:
        model: any causal language model of transformers, wrapped by peft or DistributedDataParallel or not.
        prompt_ids: shape (B, P), padded on the left; rows come in groups of ``group_size`` with the same prompt.
        completion_ids: shape (B, T), padded on the right.

    Returns:
        Log-probabilities of shape (B, T), 0 at padding.
    """
    width = int(completion_mask.sum(1).max())
    ids, mask = completion_ids[:, :width], completion_mask[:, :width]
    heads, heads_mask = prompt_ids[::group_size], prompt_mask[::group_size]
    positions = (heads_mask.cumsum(1) - 1).clamp(min=0)
    config = getattr(model, "module", model).config.get_text_config()
    # The cache is differentiable: keys and values of the prompt are concatenated, never written in place.
    prefill = model(
        input_ids=heads,
        attention_mask=heads_mask,
        position_ids=positions,
        past_key_values=DynamicCache(config=config),
        use_cache=True,
        logits_to_keep=1,
    )
    logits = prefill.logits[:, -1:].repeat_interleave(group_size, 0)
    if width > 1:
        cache = prefill.past_key_values
        cache.batch_repeat_interleave(group_size)
        start = positions[:, -1:].repeat_interleave(group_size, 0) + 1
        rest = model(
            input_ids=ids[:, :-1],
            attention_mask=torch.cat([prompt_mask, mask[:, :-1]], 1),
            position_ids=start + torch.arange(width - 1, device=ids.device),
            past_key_values=cache,
            use_cache=True,
        )
        logits = torch.cat([logits, rest.logits], 1)
    logits = logits.float() / temperature
    logprobs = logits.gather(2, ids[:, :, None])[:, :, 0] - torch.logsumexp(logits, -1)
    logprobs = logprobs * mask
    return torch.nn.functional.pad(logprobs, (0, completion_ids.shape[1] - width))
