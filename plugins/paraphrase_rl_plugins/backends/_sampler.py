"""Group sampling: each prompt is read once, its rollouts share the cache, the adapter is cheap while sampling.

Imported by the backend only when it trains; the modules of this folder whose names begin with an underscore may
therefore import torch at module level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, StaticCache
from transformers.cache_utils import (
    LinearAttentionCacheLayerMixin,
    StaticLayer,
    StaticSlidingWindowLayer,
)

from paraphrase_rl.plugin import NumericalError, Sampling
from paraphrase_rl_plugins.backends._adapted import (
    adapted_layers,
    computable,
    computed,
    mergeable,
)
from paraphrase_rl_plugins.backends._decoding import (
    Decoder,
    GraphDecoder,
    GroupDecoder,
    GrowingDecoder,
)
from paraphrase_rl_plugins.backends._products import computed_by, packed

ATTEMPTS = 6
"""Number of draws from the full softmax before the vocabulary is sorted; at top_p 0.95 one token in 10^8 needs that."""

DRAWN_AT_ONCE = 2**19
"""Number of weights drawn from at once on a CPU, so that they stay in its cache."""

DROP_FINISHED_AT = 0.0625
"""Share of finished rows at which they are removed from the batch: a higher share wastes compute, a lower one copies.
"""

GRAPH_FROM = 8
"""Least number of tokens for which a decoding step is recorded on a GPU; recording takes as long as two steps."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One completion: token ids (including the end token), their log-probabilities, and whether it was not cut."""

    ids: list[int]
    logprobs: list[float]
    finished: bool


@contextmanager
def ready_to_sample(model: Any) -> Iterator[None]:
    """Put a model into evaluation mode and make its adapter cheap, inside a ``with`` block.

    In training mode with checkpointed activations transformers silently drops the cache, and every token would be
    drawn without its prompt. On a CPU linear layers are computed as in training, if they are adapted, and else by
    :func:`packed`. Elsewhere an fp32 adapter is merged into the weights. Merging and subtracting again, as peft does,
    would change the base weights by rounding at every step: here exactly the same weights are restored. In half
    precision the adapter is not merged, because rounding would remove the whole change of a step.
    """
    training = model.training
    model.eval()
    try:
        with computed(model), _merged(model), packed(model, besides=adapted_layers(model)):
            yield
    finally:
        model.train(training)


@contextmanager
def _merged(model: Any) -> Iterator[None]:
    """Merge the adapters of fp32 layers that :func:`computed` does not know."""
    layers = [m for m in mergeable(model) if not computable(m) and not m.disable_adapters]
    originals = []
    try:
        for layer in layers:
            weight = layer.get_base_layer().weight
            originals.append((weight, weight.data))
            with torch.no_grad():
                for adapter in layer.active_adapters:
                    weight.data = weight.data + layer.get_delta_weight(adapter)
        with computed_by({layer: layer.get_base_layer().forward for layer in layers}):
            yield
    finally:
        for weight, data in reversed(originals):  # layers may share a weight
            weight.data = data


def uniform_noise(keys: Sequence[Sequence[int]], group_size: int, max_tokens: int) -> torch.Tensor:
    """Draw noise of shape (P * G, max_tokens, ATTEMPTS + 1) in [0, 1) from each prompt's noise key and the row alone.

    Therefore a rollout does not depend on the other prompts of the batch, on the number of processes, or on what was
    sampled before a resume.
    """
    shape = (max_tokens, ATTEMPTS + 1)
    rows = [
        np.random.default_rng((*key, row)).random(shape, dtype=np.float32)
        for key in keys
        for row in range(group_size)
    ]
    return torch.from_numpy(np.stack(rows))


def draw(logits: torch.Tensor, noise: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token for each row from the nucleus.

    A token drawn from the full softmax is kept when it lies in the nucleus, which is the same distribution and
    needs no sorted vocabulary; only rows of which no draw lies in the nucleus are sorted.

    Args:
        logits: shape (B, V), fp32, already divided by the temperature.
        noise: shape (B, ATTEMPTS + 1), uniform in [0, 1).
        top_p: the nucleus is the smallest set of most likely tokens whose probability reaches top_p (the token
            that crosses it included, as in transformers).

    Returns:
        Tokens of shape (B,), and their log-probabilities under the full softmax, not the nucleus.
    """
    at_once = len(logits) if logits.is_cuda else max(1, DRAWN_AT_ONCE // logits.shape[1])
    drawn = [
        _draw(block, uniform, top_p)
        for block, uniform in zip(logits.split(at_once), noise.split(at_once), strict=True)
    ]
    tokens, logprobs = zip(*drawn, strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def _draw(logits: torch.Tensor, noise: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    total = weights.sum(-1)
    cumulative = weights.cumsum(-1)
    tokens = _invert(cumulative, noise[:, 0])
    outside = _outside(weights, total, tokens, torch.arange(len(tokens), device=tokens.device), top_p)
    for attempt in range(1, ATTEMPTS):
        if not len(outside):
            break
        tokens[outside] = _invert(cumulative[outside], noise[outside, attempt])
        outside = _outside(weights, total, tokens, outside, top_p)
    if len(outside):
        likely, ids = (weights[outside] / total[outside, None]).sort(dim=-1, descending=True)
        nucleus = likely.masked_fill(likely.cumsum(-1) - likely >= top_p, 0.0).cumsum(-1)
        tokens[outside] = ids.gather(1, _invert(nucleus, noise[outside, ATTEMPTS])[:, None])[:, 0]
    return tokens, weights.gather(1, tokens[:, None])[:, 0].log() - total.log()


def _outside(
    weights: torch.Tensor, total: torch.Tensor, tokens: torch.Tensor, rows: torch.Tensor, top_p: float
) -> torch.Tensor:
    """Those of some rows in which the tokens more likely than the drawn one leave no room below top_p."""
    if top_p >= 1.0:
        return rows[:0]
    own = weights.gather(1, tokens[:, None])[:, 0]
    # A token whose own probability is above 1 - top_p leaves less than top_p to all others.
    rows = rows[own[rows] <= (1 - top_p) * total[rows]]
    more = weights[rows]
    above = more.masked_fill_(more <= own[rows, None], 0.0).sum(-1)
    return rows[above >= top_p * total[rows]]


def _invert(cumulative: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    mass = cumulative[:, -1:].contiguous()
    target = noise.to(cumulative)[:, None] * mass
    chosen = torch.searchsorted(cumulative, target, right=True)
    # Rounding may put the target at the whole mass: then the last token that adds any is meant.
    last = torch.searchsorted(cumulative, mass)
    # Where the mass is NaN, that is no token at all: its log-probability, NaN too, is what the caller refuses.
    return torch.minimum(chosen, last)[:, 0].clamp(max=cumulative.shape[1] - 1)


@torch.no_grad()
def sample_groups(
    model: Any,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[Sequence[int]],
    *,
    group_size: int,
    sampling: Sampling,
    end_ids: Sequence[int],
    pad_id: int,
    in_groups: bool = False,
) -> list[Sampled]:
    """Sample ``group_size`` completions of each prompt.

    Args:
        prompts: token ids of P prompts.
        keys: noise keys: for each prompt the integers that its noise is drawn from.
        in_groups: whether the rows of a group share their prompt's keys and values; for models of which
            :func:`paraphrase_rl_plugins.backends._decoding.decodes_in_groups` is true.

    Returns:
        P * G completions, groups one after the other; log-probabilities are those of the full softmax at this
        temperature.

    Raises:
        NumericalError: the model gives log-probabilities that are NaN.
    """
    device = model.device
    ids, attention = left_pad(prompts, pad_id, device)
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    out = model(
        input_ids=ids,
        attention_mask=attention,
        position_ids=positions,
        past_key_values=DynamicCache(config=model.config.get_text_config()),
        use_cache=True,
        logits_to_keep=last_of(ids),
    )
    logits = out.logits[:, -1].float().repeat_interleave(group_size, 0)
    position = positions[:, -1].repeat_interleave(group_size, 0) + 1
    noise = uniform_noise(keys, group_size, sampling.max_tokens).to(device)
    ends = torch.tensor(sorted(end_ids), device=device)
    decoder_class: type[Decoder] = GrowingDecoder
    if device.type == "cuda" and sampling.max_tokens >= GRAPH_FROM and attends_to_everything(model):
        decoder_class = GraphDecoder
    elif in_groups:
        decoder_class = GroupDecoder
    decoder = decoder_class(model, out.past_key_values, attention, group_size, sampling.max_tokens)
    out = None  # what its cache holds may have been copied

    rows = torch.arange(len(prompts) * group_size, device=device)
    alive = torch.ones_like(rows, dtype=torch.bool)
    results: list[tuple[list[int], list[float]]] = [([], []) for _ in range(len(rows))]
    finished = [False] * len(rows)
    for step in range(sampling.max_tokens):
        if sampling.temperature != 1.0:
            logits.div_(sampling.temperature)
        tokens, logprobs = draw(logits, noise[rows, step], sampling.top_p)
        ended = torch.isin(tokens, ends)
        for row, token, logprob, live, end in zip(
            rows.tolist(), tokens.tolist(), logprobs.tolist(), alive.tolist(), ended.tolist(), strict=True
        ):
            if live:
                results[row][0].append(token)
                results[row][1].append(logprob)
                finished[row] = end
        alive = alive & ~ended
        if not alive.any() or step + 1 == sampling.max_tokens:
            break
        if decoder.drops_rows and 1 - alive.float().mean().item() >= DROP_FINISHED_AT:
            keep = alive.nonzero()[:, 0]
            decoder.keep(keep)
            rows, tokens, position, alive = rows[keep], tokens[keep], position[keep], alive[keep]
        logits = decoder.logits_after(tokens, position)
        position = position + 1
    if not all(math.isfinite(logprob) for _, logprobs_ in results for logprob in logprobs_):
        raise NumericalError(
            "the model gives log-probabilities that are not finite numbers: its weights are damaged",
            "load an earlier checkpoint, or get the model again",
        )
    return [Sampled(ids_, logprobs_, end) for (ids_, logprobs_), end in zip(results, finished, strict=True)]


def keeps_keys_and_values(model: Any) -> bool:
    """Return whether every layer caches keys and values alone, not a state that is overwritten (linear attention)."""
    layers = DynamicCache(config=model.config.get_text_config()).layers
    return not any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)


def attends_to_everything(model: Any) -> bool:
    """Return whether every layer stores all keys and values, and uses a mask as it is."""
    return set(attention_windows(model).values()) == {None}


def attention_windows(model: Any) -> dict[str, int | None]:
    """Return how many positions the layers see, the last one included, by their kind; ``None`` = all.

    The kinds are named as transformers names the masks that a model takes. Empty if a mask is not all that says what a
    layer attends to.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    windows = {"full_attention": None, "sliding_attention": window}
    caches = {"full_attention": StaticLayer, "sliding_attention": StaticSlidingWindowLayer}
    layers = StaticCache(config=config, max_cache_len=8).layers
    same = "full_attention" if window is None else "sliding_attention"
    kinds = getattr(config, "layer_types", None) or [same] * len(layers)
    known = config._attn_implementation == "sdpa" and all(
        type(layer) is caches.get(kind) and hasattr(layer, "cumulative_length")
        for kind, layer in zip(kinds, layers, strict=False)  # layers that share another's keys have none
    )
    return {kind: windows[kind] for kind in kinds} if known and windows.keys() >= set(kinds) else {}


def last_of(ids: torch.Tensor, count: int = 1) -> torch.Tensor:
    """Return ``logits_to_keep`` for the last positions of token ids of shape (B, L).

    Indices and not their number: without a gradient torch multiplies each row of a slice with a copy of the
    unembedding, which takes longer than the rest of a short pass.
    """
    return torch.arange(ids.shape[1] - count, ids.shape[1], device=ids.device)


def left_pad(
    sequences: Sequence[Sequence[int]], pad_id: int, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad token ids on the left; return them and the attention mask, each of shape (N, longest)."""
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
    """Pad values on the right; return them and the mask, each of shape (N, longest)."""
    width = max(map(len, sequences))
    values = torch.full((len(sequences), width), fill, dtype=dtype)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = torch.tensor(list(sequence), dtype=dtype)
        mask[row, : len(sequence)] = 1
    return values.to(device), mask.to(device)
