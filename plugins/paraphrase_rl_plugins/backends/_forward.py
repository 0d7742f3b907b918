"""Log-probabilities of grouped completions: each prompt is read once, the unembedding sees completions only.

The whole group is one packed sequence without padding (:class:`PackedGroup`). Where layers see a window of the text
alone the prompt comes from a cache (:func:`completion_logprobs`), unless activations are checkpointed: that forbids
one, and takes a mask for each kind of layer. Layers of linear attention can do neither (:func:`whole_logprobs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from paraphrase_rl_plugins.backends._attention import attending_to_prompt_and_self
from paraphrase_rl_plugins.backends._sampler import last_of
from paraphrase_rl_plugins.backends._unembedding import token_logprobs


def completion_logprobs(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """Compute the log-probability of every completion token under the full softmax at a temperature, differentiably.

    Args:
        model: any causal language model of transformers, wrapped by peft or DistributedDataParallel or not.
        prompt_ids: shape (B, P), padded on the left; all rows hold the same prompt.
        completion_ids: shape (B, T), padded on the right.

    Returns:
        Log-probabilities of shape (B, T), 0 at padding.
    """
    width = int(completion_mask.sum(1).max())
    ids, mask = completion_ids[:, :width], completion_mask[:, :width]
    heads, heads_mask, rows = prompt_ids[:1], prompt_mask[:1], len(prompt_ids)
    positions = (heads_mask.cumsum(1) - 1).clamp(min=0)
    config = getattr(model, "module", model).config.get_text_config()
    # The cache is differentiable: keys and values of the prompt are concatenated, never written in place.
    prefill = model(
        input_ids=heads,
        attention_mask=heads_mask,
        position_ids=positions,
        past_key_values=DynamicCache(config=config),
        use_cache=True,
        logits_to_keep=last_of(heads),
    )
    logits = prefill.logits[:, -1:].expand(rows, -1, -1)
    if width > 1:
        cache = prefill.past_key_values
        cache.batch_repeat_interleave(rows)
        start = positions[:, -1:] + 1
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


def packed_logprobs(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """Compute the same as :func:`completion_logprobs` for one group, in one pass without padding.

    For models of which :func:`packs` is true.
    """
    pack = PackedGroup.of(prompt_ids, prompt_mask, completion_ids, completion_mask)
    unwrapped = getattr(model, "module", model)
    with attending_to_prompt_and_self(unwrapped.config.get_text_config(), pack.lengths):
        out = model(
            input_ids=pack.ids,
            # Of four dimensions a mask passes through as it is; this one is not looked at.
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=pack.ids.device),
            position_ids=pack.positions,
            use_cache=False,
            output_hidden_states=True,
            logits_to_keep=last_of(pack.ids),
        )
    head = unwrapped.get_output_embeddings()
    predicts = pack.labels[0] >= 0
    logprobs = token_logprobs(out.hidden_states[-1][0][predicts], head, pack.labels[0][predicts], temperature)
    return pack.unpacked(logprobs[None], completion_ids.shape[1])


@torch.no_grad()
def packs(model: Any) -> bool:
    """Return whether :func:`packed_logprobs` is right for a model, found out by a comparison.

    It is not where logits are more than the product of the last hidden states and the unembedding (soft caps, scales),
    or attention more than that of queries, keys and values.
    """
    prompt = torch.arange(1, 6, device=model.device).repeat(2, 1)
    ids = torch.tensor([[1, 2, 3], [4, 5, 0]], device=model.device)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]], device=model.device)
    group = prompt, torch.ones_like(prompt), ids, mask
    training = model.training
    model.eval()
    try:
        whole = whole_logprobs(model, *group, temperature=1.0)
        packed = packed_logprobs(model, *group, temperature=1.0)
    finally:
        model.train(training)
    return torch.allclose(whole, packed, atol=1e-3)


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
        logits_to_keep=last_of(ids, width + 1),
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
        lengths: tokens of each completion, in the order of the blocks.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
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
        return cls(
            ids=torch.cat([head, *(torch.cat([last, one[:-1]]) for one in completions)])[None],
            positions=torch.cat(
                [places[: len(head)], *(places[len(head) : len(head) + len(one)] for one in completions)]
            )[None],
            labels=torch.cat([torch.full_like(head, -100), *completions])[None],
            lengths=tuple(map(len, completions)),
        )

    def attention(self, window: int | None = None) -> torch.Tensor:
        """Build the mask of shape (1, 1, L, L), True where a row attends to a column.

        Args:
            window: number of positions that a row sees, its own included; ``None`` = all before it.
        """
        device, total = self.ids.device, self.ids.shape[1]
        sizes = torch.tensor([total - sum(self.lengths), *self.lengths], device=device)
        block = torch.arange(len(sizes), device=device).repeat_interleave(sizes)
        index = torch.arange(total, device=device)
        seen = (block[None] == 0) | (block[None] == block[:, None])
        seen = seen & (index[None] <= index[:, None])
        if window is not None:
            seen = seen & (self.positions.T - self.positions < window)
        return seen[None, None]

    def attention_of(self, windows: Mapping[str, int | None]) -> torch.Tensor | dict[str, torch.Tensor]:
        """Build what transformers' models take as their mask: one, or one for each of several kinds of layers.

        Args:
            windows: see :func:`paraphrase_rl_plugins.backends._sampler.attention_windows`.
        """
        masks = {kind: self.attention(window) for kind, window in windows.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def unpacked(self, values: torch.Tensor, width: int) -> torch.Tensor:
        """Lay out values of shape (1, L) as one row a completion, of shape (B, width), 0 at padding."""
        rows = values[0, -sum(self.lengths) :].split(self.lengths)
        return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
