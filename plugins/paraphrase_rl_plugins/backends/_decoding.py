"""Decoding steps after the prompts of groups were read: with a cache that grows, shared by groups, or recorded.

What attention of a single token costs is the reading of keys and values. On a CPU a prompt that is longer than its
completions, copied for each of them, is most of what there is to read. There the rows of a group ask the prompt
together, and each asks its own tokens; the two answers are added in proportion to the sums of their weights, which
equals one softmax over both (Juravsky et al. 2024, Hydragen, https://arxiv.org/abs/2402.05099).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

import torch
from transformers import AttentionInterface, DynamicCache, StaticCache
from transformers.cache_utils import DynamicLayer

from paraphrase_rl_plugins.backends._attention import attending_by

NAME = "paraphrase_rl_groups"
_LAYERS: ContextVar[list[GroupLayer]] = ContextVar("caches of the groups that are decoded")


class Decoder(Protocol):
    """Reads one more token in each row.

    Args:
        model: model in evaluation mode, with the adapter it samples with, which must not change.
        cache: keys and values of P prompts; it may be taken over.
        attention: shape (P, S), the mask of the prompts, padded on the left.
        group_size: G; there are P * G rows, groups one after the other.
        room: the most tokens that follow.

    Attributes:
        drops_rows: whether :meth:`keep` may be called.
    """

    drops_rows: bool

    def __init__(
        self, model: Any, cache: Any, attention: torch.Tensor, group_size: int, room: int
    ) -> None: ...

    def keep(self, rows: torch.Tensor) -> None:
        """Keep some of the rows that there are now, given by their indices in ascending order."""
        ...

    def logits_after(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Compute fp32 logits of shape (B, V) after one more token in each row.

        The caller may change them, and the next call may overwrite them.
        """
        ...


class GrowingDecoder:
    """A decoding step of any model: each row has a copy of its prompt's cache. See :class:`Decoder`."""

    drops_rows = True

    def __init__(self, model: Any, cache: Any, attention: torch.Tensor, group_size: int, room: int) -> None:
        self._model, self._cache = model, cache
        self._attention = _repeat(cache, attention, group_size)
        cache.layers = [
            RoomyLayer(layer, room) if type(layer) is DynamicLayer and layer.is_initialized else layer
            for layer in cache.layers
        ]

    def keep(self, rows: torch.Tensor) -> None:
        """See :class:`Decoder`."""
        self._cache.reorder_cache(rows)
        self._attention = self._attention[rows]

    def logits_after(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """See :class:`Decoder`."""
        self._attention = torch.cat([self._attention, self._attention.new_ones(len(tokens), 1)], 1)
        return _next_logits(self._model, self._cache, tokens, positions, self._attention)


class RoomyLayer(DynamicLayer):
    """Keys and values with room for what follows: written in place, where transformers copies all of them each time.

    Args:
        layer: keys and values so far.
        room: the most tokens that follow.
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


class GroupDecoder:
    """A decoding step whose rows share the keys and values of their group's prompt. See :class:`Decoder`.

    On a CPU, for models of which :func:`decodes_in_groups` is true.
    """

    drops_rows = True

    def __init__(self, model: Any, cache: Any, attention: torch.Tensor, group_size: int, room: int) -> None:
        self._model, self._cache = model, cache
        keys = cache.layers[0].keys
        self._groups = Groups(attention, group_size, keys.shape[1], keys.dtype)
        cache.layers = [GroupLayer(layer, self._groups, room) for layer in cache.layers]
        # Of four dimensions a mask passes through as it is; this one is not looked at.
        self._mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)

    def keep(self, rows: torch.Tensor) -> None:
        """See :class:`Decoder`."""
        self._groups.keep(rows)
        self._cache.reorder_cache(rows)

    def logits_after(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """See :class:`Decoder`."""
        with attending_by(NAME, self._model.config.get_text_config(), _LAYERS, self._cache.layers):
            return _next_logits(self._model, self._cache, tokens, positions, self._mask)


class Groups:
    """The prompt of each of B rows, and the order in which their queries are put to the prompts.

    Args:
        attention: shape (P, S), the mask of the prompts.
        group_size: G; at first there are P * G rows, groups one after the other.
        heads: K, heads of keys and values.
        dtype: of queries and keys.

    Attributes:
        hidden: shape (P, 1, 1, S), added to scores: minus infinity at padding, and else 0.
        rows: shape (B,): the prompt of each row.
        asking: shape (P * K * M,), where M is the number of rows of the largest group: the queries that each head of
            each prompt is asked, as row * K + head. Where a group has fewer rows, some row is asked for again.
        answers: shape (B * K,): where in ``asking`` each head of each row is.
    """

    def __init__(self, attention: torch.Tensor, group_size: int, heads: int, dtype: torch.dtype) -> None:
        padding = attention[:, None, None] == 0
        self.hidden = torch.zeros(padding.shape, dtype=dtype).masked_fill_(padding, float("-inf"))
        self._heads = torch.arange(heads)
        self._set(torch.arange(len(attention)).repeat_interleave(group_size))

    def keep(self, rows: torch.Tensor) -> None:
        """Keep some of the rows that there are now, given by their indices in ascending order."""
        self._set(self.rows[rows])

    def _set(self, rows: torch.Tensor) -> None:
        counts = torch.bincount(rows, minlength=len(self.hidden))
        starts, most, heads = counts.cumsum(0) - counts, int(counts.max()), len(self._heads)
        asking = (starts[:, None, None] + torch.arange(most)).clamp(max=len(rows) - 1)
        place = torch.arange(len(rows)) - starts[rows]
        self.rows = rows
        self.asking = (asking * heads + self._heads[:, None]).flatten()
        self.answers = ((rows[:, None] * heads + self._heads) * most + place[:, None]).flatten()


class GroupLayer(RoomyLayer):
    """Keys and values of the completions, and once for each group those of the prompt.

    Args:
        prompts: keys and values of P prompts.
        groups: shared by all layers.
        room: the most tokens that follow.
    """

    def __init__(self, prompts: DynamicLayer, groups: Groups, room: int) -> None:
        nothing = DynamicLayer()
        nothing.keys, nothing.values = (part[groups.rows, :, :0] for part in (prompts.keys, prompts.values))
        super().__init__(nothing, room)
        self._prompts, self._groups = (prompts.keys, prompts.values), groups

    def attend(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Attend to prompt and completion: query of shape (B, H, 1, D), result of shape (B, 1, H, D)."""
        groups, (rows, heads, _, size) = self._groups, query.shape
        prompts, shared = self._prompts[0].shape[:2]
        alone = query.reshape(rows, shared, heads // shared, size)
        # The query heads of one key head stand one after the other as positions: keys need not be copied for each.
        together = (
            alone.flatten(2).flatten(0, 1).index_select(0, groups.asking).view(prompts, shared, -1, size)
        )
        prompt, prompt_weight = _flash(together, *self._prompts, scaling, groups.hidden)
        own, own_weight = _flash(alone, self.keys, self.values, scaling)
        prompt, prompt_weight = (
            of_prompt.reshape(len(groups.asking), -1).index_select(0, groups.answers).view(of_row.shape)
            for of_prompt, of_row in ((prompt, own), (prompt_weight, own_weight))
        )
        share = torch.sigmoid(prompt_weight - own_weight)[..., None]
        return torch.lerp(own.float(), prompt.float(), share).to(query.dtype).reshape(rows, 1, heads, size)


class _NotAsCachedError(Exception):
    """A model does more to keys or values than to cache them."""


def _group_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **named: Any
) -> tuple[torch.Tensor, None]:
    layer = _LAYERS.get()[module.layer_idx]
    if key is not layer.keys or value is not layer.values:
        raise _NotAsCachedError
    return layer.attend(query, named.get("scaling")), None


AttentionInterface.register(NAME, _group_attention)


@torch.no_grad()
def decodes_in_groups(model: Any) -> bool:
    """Return whether :class:`GroupDecoder` is right for a model in evaluation mode, found out by a comparison.

    It is not where attention is more than that of the query, and of keys and values as they are cached. That layers
    see a window of the text alone does not show in a text of six tokens: the caller knows.
    """
    if model.device.type != "cpu" or not hasattr(
        torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu"
    ):
        return False
    ids = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    seen = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config.get_text_config())
    model(input_ids=ids, attention_mask=seen, position_ids=positions, past_key_values=cache, use_cache=True)
    if not _alike(cache.layers) or len(cache.layers) != model.config.get_text_config().num_hidden_layers:
        return False
    decoder = GroupDecoder(model, cache, seen, 2, 2)
    texts, masks = ids.repeat_interleave(2, 0), seen.repeat_interleave(2, 0)
    for tokens in (torch.tensor([1, 3, 5, 7]), torch.tensor([2, 4, 6, 0])):
        try:
            got = decoder.logits_after(tokens, masks.sum(1))
        except _NotAsCachedError:
            return False
        texts, masks = torch.cat([texts, tokens[:, None]], 1), torch.nn.functional.pad(masks, (0, 1), value=1)
    positions = (masks.cumsum(1) - 1).clamp(min=0)
    expected = model(input_ids=texts, attention_mask=masks, position_ids=positions).logits[:, -1].float()
    spread = (expected - expected.mean(-1, keepdim=True)).norm()
    # bf16 rounds SmolLM2's logits of these texts by .08 of their spread, whichever way they are computed
    rounding = 1e-3 if model.dtype == torch.float32 else 0.25
    return bool((got - expected).norm() <= rounding * spread)


def _alike(layers: list[Any]) -> bool:
    if not all(type(layer) is DynamicLayer and layer.is_initialized for layer in layers):
        return False
    return len({(part.shape, part.dtype) for layer in layers for part in (layer.keys, layer.values)}) == 1


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention, and the logarithm of the sum of its weights, which torch's public function does not return."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, False, attn_mask=mask, scale=scaling
    )


class GraphDecoder:
    """A decoding step recorded as one CUDA graph. See :class:`Decoder`.

    A step is thousands of small kernels, which Python takes many times longer to launch than the GPU to run. Its shape
    is fixed: finished rows stay, and what they go on to say is not read. On a CPU the same step runs unrecorded.
    """

    drops_rows = False

    def __init__(self, model: Any, cache: Any, attention: torch.Tensor, group_size: int, room: int) -> None:
        attention = _repeat(cache, attention, group_size)
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
        self._tokens, self._positions = attention.new_zeros(rows), attention.new_zeros(rows)
        self._rewind()
        self._graph = self._recorded() if attention.is_cuda else None

    def keep(self, rows: torch.Tensor) -> None:
        """Refuse: the shape is fixed."""
        raise NotImplementedError

    def logits_after(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """See :class:`Decoder`."""
        self._tokens.copy_(tokens)
        self._positions.copy_(positions)
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
        return _next_logits(self._model, self._cache, self._tokens, self._positions, self._mask)


def _repeat(cache: Any, attention: torch.Tensor, group_size: int) -> torch.Tensor:
    """Repeat prompts as beams are: layers of linear attention (Qwen3.5) know no other way. Return their mask."""
    cache.reorder_cache(torch.arange(len(attention), device=attention.device).repeat_interleave(group_size))
    return attention.repeat_interleave(group_size, 0)


def _next_logits(
    model: Any, cache: Any, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    out = model(
        input_ids=tokens[:, None],
        attention_mask=mask,
        position_ids=positions[:, None],
        past_key_values=cache,
        use_cache=True,
    )
    return out.logits[:, -1].float()
