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
    DynamicLayer,
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
    merged_weight,
)
from paraphrase_rl_plugins.backends._products import computed_by, packed

ATTEMPTS = 6
"""Number of draws from the full softmax before the vocabulary is sorted; at top_p 0.95 one token in 10^8 needs that."""

DRAWN_AT_ONCE = 2**18
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
            weight.data = merged_weight(layer)
        with computed_by({layer: layer.get_base_layer().forward for layer in layers}):
            yield
    finally:
        for weight, data in originals:
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
) -> list[Sampled]:
    """Sample ``group_size`` completions of each prompt.

    Args:
        prompts: token ids of P prompts.
        keys: noise keys: for each prompt the integers that its noise is drawn from.

    Returns:
        P * G completions, groups one after the other; log-probabilities are those of the full softmax at this
        temperature.

    Raises:
        NumericalError: the model gives log-probabilities that are NaN.
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
        logits_to_keep=last_of(ids),
    )
    cache = out.past_key_values
    # Rows are repeated and dropped as beams are: layers of linear attention (Qwen3.5) know no other way.
    cache.reorder_cache(torch.arange(len(prompts), device=device).repeat_interleave(group_size))
    logits = out.logits[:, -1].float().repeat_interleave(group_size, 0)
    attention = attention.repeat_interleave(group_size, 0)
    position = positions[:, -1].repeat_interleave(group_size, 0) + 1
    noise = uniform_noise(keys, group_size, sampling.max_tokens).to(device)
    ends = torch.tensor(sorted(end_ids), device=device)
    graph = None
    if device.type == "cuda" and sampling.max_tokens >= GRAPH_FROM and attends_to_everything(model):
        graph = DecodingGraph(model, cache, attention, sampling.max_tokens)
        cache = out = None
    else:
        cache.layers = [_roomy(layer, sampling.max_tokens) for layer in cache.layers]

    rows = torch.arange(len(prompts) * group_size, device=device)
    alive = torch.ones_like(rows, dtype=torch.bool)
    results: list[tuple[list[int], list[float]]] = [([], []) for _ in range(len(rows))]
    finished = [False] * len(rows)
    for step in range(sampling.max_tokens):
        tokens, logprobs = draw(logits / sampling.temperature, noise[rows, step], sampling.top_p)
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
        if graph is not None:  # of a fixed shape: finished rows stay, and what they go on to say is not read
            logits = graph.logits_after(tokens, position)
            position = position + 1
            continue
        if 1 - alive.float().mean().item() >= DROP_FINISHED_AT:
            keep = alive.nonzero()[:, 0]
            cache.reorder_cache(keep)
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
    if not all(math.isfinite(logprob) for _, logprobs_ in results for logprob in logprobs_):
        raise NumericalError(
            "the model gives log-probabilities that are not finite numbers: its weights are damaged",
            "load an earlier checkpoint, or get the model again",
        )
    return [Sampled(ids_, logprobs_, end) for (ids_, logprobs_), end in zip(results, finished, strict=True)]


class RoomyLayer(DynamicLayer):
    """Keys and values with room for what follows: written in place, where transformers copies all of them each time.

    Args:
        layer: keys and values so far.
        room: number of tokens that follow.
    """

    def __init__(self, layer: DynamicLayer, room: int) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._length = layer.keys.shape[2]
        self._held = [self._with_room(part, self._length + room) for part in (layer.keys, layer.values)]
        self._show()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values of shape (B, H, T, D); return all of them."""
        start, self._length = self._length, self._length + key_states.shape[2]
        for held, new in zip(self._held, (key_states, value_states), strict=True):
            held[:, :, start : self._length] = new
        self._show()
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep these rows."""
        room = self._held[0].shape[2]
        self._held = [self._with_room(part[beam_idx], room) for part in (self.keys, self.values)]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (held[:, :, : self._length] for held in self._held)

    @staticmethod
    def _with_room(part: torch.Tensor, length: int) -> torch.Tensor:
        held = part.new_empty(*part.shape[:2], length, part.shape[3])
        held[:, :, : part.shape[2]] = part
        return held


def _roomy(layer: Any, room: int) -> Any:
    return RoomyLayer(layer, room) if type(layer) is DynamicLayer and layer.is_initialized else layer


class DecodingGraph:
    """A decoding step recorded as one CUDA graph.

    A step is thousands of small kernels, which Python takes many times longer to launch than the GPU to run.
    On a CPU the same step runs unrecorded.

    Args:
        model: model in evaluation mode, with the adapter it samples with, which must not change.
        cache: keys and values of the prompts, one row for each completion; copied.
        attention: shape (B, P), the mask of the prompts.
        room: number of tokens that follow.
    """

    def __init__(self, model: Any, cache: Any, attention: torch.Tensor, room: int) -> None:
        rows, self._length = attention.shape
        longest = -(-(self._length + room) // 64) * 64
        self._model = model
        self._cache = StaticCache(config=model.config.get_text_config(), max_cache_len=longest)
        for layer, prompt in zip(self._cache.layers, cache.layers, strict=True):
            layer.lazy_initialization(prompt.keys, prompt.values)
            layer.keys[:, :, : self._length] = prompt.keys
            layer.values[:, :, : self._length] = prompt.values
        self._mask = torch.zeros(rows, 1, 1, longest, dtype=torch.bool, device=attention.device)
        self._mask[:, 0, 0, : self._length] = attention.bool()
        self._tokens = attention.new_zeros(rows, 1)
        self._positions = attention.new_zeros(rows, 1)
        self._rewind()
        self._graph = self._recorded() if attention.is_cuda else None

    def logits_after(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Compute fp32 logits of shape (B, V) after one more token in each row; the next call overwrites them."""
        self._tokens.copy_(tokens[:, None])
        self._positions.copy_(positions[:, None])
        self._mask[:, :, :, self._length] = True
        self._length += 1
        if self._graph is None:
            return self._step()
        self._graph.replay()
        return self._logits

    def _recorded(self) -> Any:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._step()  # what a first call sets up cannot be recorded
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._logits = self._step()
        self._rewind()
        return graph

    def _rewind(self) -> None:
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(self._length)

    def _step(self) -> torch.Tensor:
        out = self._model(
            input_ids=self._tokens,
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        return out.logits[:, -1].float()


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
