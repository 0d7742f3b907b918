"""Log-probabilities of grouped completions: each prompt is read once, the unembedding sees completions only.

With a cache (:func:`completion_logprobs`), or, where checkpointed activations forbid one, with the whole group as one
packed sequence (:class:`PackedGroup`). Layers of linear attention can do neither (:func:`whole_logprobs`).
"""

from __future__ import annotations

from dataclasses import dataclass
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


def whole_logprobs(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """Compute the same as :func:`completion_logprobs`, each prompt read once for each of its completions.

    For layers whose cache is a state that the next token overwrites: its gradient would be lost.
    """
    width = int(completion_mask.sum(1).max())
    ids = torch.cat([prompt_ids, completion_ids[:, :width]], 1)
    mask = torch.cat([prompt_mask, completion_mask[:, :width]], 1)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=width + 1,
    )
    logits = out.logits[:, -width - 1 : -1].float() / temperature
    ids, mask = completion_ids[:, :width], completion_mask[:, :width]
    logprobs = logits.gather(2, ids[:, :, None])[:, :, 0] - torch.logsumexp(logits, -1)
    return torch.nn.functional.pad(logprobs * mask, (0, completion_ids.shape[1] - width))


@dataclass(frozen=True, slots=True)
class PackedGroup:
    """The completions of one prompt as a single sequence: the prompt without its last token, then a block each.

    A block is the last token of the prompt, and the completion without its last token. It attends to the prompt and to
    itself, and its positions go on from the prompt's.

    Attributes:
        ids, positions: shape (1, L).
        labels: shape (1, L): the token that each position predicts, -100 at the prompt.
        attention: shape (1, 1, L, L), True where a row attends to a column.
        lengths: tokens of each completion, in the order of the blocks.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    attention: torch.Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(
        cls,
        prompt_ids: torch.Tensor,
        prompt_mask: torch.Tensor,
        completion_ids: torch.Tensor,
        completion_mask: torch.Tensor,
    ) -> PackedGroup:
        """Pack a group; the arguments have one row a completion, as for :func:`completion_logprobs`."""
        prompt = prompt_ids[0][prompt_mask[0].bool()]
        completions = [row[mask.bool()] for row, mask in zip(completion_ids, completion_mask, strict=True)]
        head, last = prompt[:-1], prompt[-1:]
        places = torch.arange(len(head) + max(map(len, completions)), device=prompt.device)
        block = torch.cat(
            [torch.full((len(part),), i, device=prompt.device) for i, part in enumerate([head, *completions])]
        )
        index = torch.arange(len(block), device=prompt.device)
        seen = (block[None] == 0) | (block[None] == block[:, None])
        return cls(
            ids=torch.cat([head, *(torch.cat([last, one[:-1]]) for one in completions)])[None],
            positions=torch.cat(
                [places[: len(head)], *(places[len(head) : len(head) + len(one)] for one in completions)]
            )[None],
            labels=torch.cat([torch.full_like(head, -100), *completions])[None],
            attention=(seen & (index[None] <= index[:, None]))[None, None],
            lengths=tuple(map(len, completions)),
        )

    def unpacked(self, values: torch.Tensor, width: int) -> torch.Tensor:
        """Lay out values of shape (1, L) as one row a completion, of shape (B, width), 0 at padding."""
        rows = values[0, -sum(self.lengths) :].split(self.lengths)
        return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
