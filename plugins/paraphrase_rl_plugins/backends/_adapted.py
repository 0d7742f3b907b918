"""Adapted linear layers computed with few products on a CPU, the same in sampling and in training.

In fp32 the adapter is added to the weights once an update, W' = W + s B A, and a layer costs one product forward
instead of three. The gradient of A and B at W' is that of the unmerged layer: with G the gradient of the output and X
the input, dB = s Gᵀ (X Aᵀ) and dA = s (G B)ᵀ X, and G W' goes on to the layer below. In half precision rounding would
remove a step's whole change from W': there the adapter stays apart, A and s B rounded as W is, without peft's casts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from peft.tuners.lora import Linear, LoraLayer

from paraphrase_rl_plugins.backends._products import Product, computed_by, times

_MERGED: WeakKeyDictionary[Linear, _Merged] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class _Merged:
    """Products with an adapted layer's weight W', each laid out at its first use.

    Attributes:
        place: what tells one layer's state from another, but for the values of the adapter.
        weight, bias: of the base layer.
        a, b: the values of the adapter, which may change in the layer.
    """

    place: tuple[float, ...]
    weight: torch.Tensor
    bias: torch.Tensor | None
    scaling: float
    a: torch.Tensor
    b: torch.Tensor

    @classmethod
    def of(cls, layer: Linear, adapter: str) -> _Merged:
        """Return the products of a layer with its adapter; new ones only after either changed.

        The adapter is compared by value: what an optimizer does to it need not raise torch's count of versions.
        """
        base, scaling = layer.get_base_layer(), layer.scaling[adapter]
        weight, a, b = (
            part.detach()
            for part in (base.weight, layer.lora_A[adapter].weight, layer.lora_B[adapter].weight)
        )
        place = weight.data_ptr(), weight._version, id(base.bias), scaling
        known = _MERGED.get(layer)
        if known is None or known.place != place or not (torch.equal(known.a, a) and torch.equal(known.b, b)):
            known = _MERGED[layer] = cls(place, weight, base.bias, scaling, a.clone(), b.clone())
        return known

    @cached_property
    def forth(self) -> Product:
        """``x W'^T + bias``."""
        return Product(self._sum(), self.bias)

    @cached_property
    def back(self) -> Product:
        """``G W'``."""
        return Product(self._sum().T)

    def _sum(self) -> torch.Tensor:
        # Computed for each direction: kept, it would be a third copy. Autocast would round it.
        with torch.autocast("cpu", enabled=False):
            return torch.addmm(self.weight, self.b, self.a, alpha=self.scaling)


def adapted_layers(model: Any) -> list[LoraLayer]:
    """List the layers that have an active adapter."""
    return [m for m in model.modules() if isinstance(m, LoraLayer) and m.active_adapters]


def mergeable(model: Any) -> list[LoraLayer]:
    """List the layers whose adapter may be merged: in half precision rounding would remove a step's whole change."""
    return [m for m in adapted_layers(model) if m.get_base_layer().weight.dtype == torch.float32]


def computable(layer: LoraLayer) -> bool:
    """Return whether :func:`computed` knows a layer: a linear one on a CPU with one adapter, without dropout."""
    if type(layer) is not Linear or len(layer.active_adapters) != 1 or layer.fan_in_fan_out:
        return False
    (adapter,) = layer.active_adapters
    base = layer.get_base_layer()
    return (
        type(base) is torch.nn.Linear
        and base.weight.device.type == "cpu"
        and base.weight.dtype in (torch.float32, torch.bfloat16)
        and adapter in layer.lora_A
        and adapter not in layer.lora_variant
        and layer.lora_A[adapter].weight.dtype == torch.float32
        and not layer.lora_bias[adapter]
        and isinstance(layer.lora_dropout[adapter], torch.nn.Identity)
    )


@contextmanager
def computed(model: Any) -> Iterator[None]:
    """Compute the adapted layers that can be with few products inside a ``with`` block, differentiably.

    Weights and adapters must not change in it. Layers of other kinds (Conv1D, embeddings), or with dropout or several
    adapters, stay peft's.
    """
    layers = [layer for layer in adapted_layers(model) if computable(layer)]
    with computed_by({layer: _Forward(layer) for layer in layers}):
        yield


class _Forward:
    def __init__(self, layer: Linear) -> None:
        self.layer = layer
        (self.adapter,) = layer.active_adapters
        self.base = layer.get_base_layer()

    @cached_property
    def _without(self) -> Product:
        return Product(self.base.weight, self.base.bias)

    @cached_property
    def _merged(self) -> _Merged:
        return _Merged.of(self.layer, self.adapter)

    @cached_property
    def _apart(self) -> _Apart:
        a, b = (part[self.adapter].weight.detach() for part in (self.layer.lora_A, self.layer.lora_B))
        dtype = self.base.weight.dtype
        return _Apart(self.base, a.to(dtype), (b * self.layer.scaling[self.adapter]).to(dtype))

    def __call__(self, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        layer, graded = self.layer, torch.is_grad_enabled()
        if layer.merged or (layer.disable_adapters and graded):
            return type(layer).forward(layer, x, *arguments, **named)
        x, half = x.to(self.base.weight.dtype), self.base.weight.dtype != torch.float32
        if layer.disable_adapters:
            return self._without(x)
        if not graded:
            return self._apart(x)[0] if half else self._merged.forth(x)
        a, b = (part[self.adapter].weight for part in (layer.lora_A, layer.lora_B))
        if half:
            scaling = layer.scaling[self.adapter]
            return _AdaptedLinear.apply(x, self._apart, self.base.weight, scaling, a, b)
        return _MergedLinear.apply(x, self._merged, a, b)


class _Apart:
    """``[x, x A^T] [W, B]^T``, with an adapter whose B holds the scaling, in the precision of the weight.

    One sum, rounded once: added to an output that was rounded already, a change of less than half its last place would
    be lost.
    """

    def __init__(self, base: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor) -> None:
        self.a, self.b = a, b
        self._to_inner = Product(a)
        self._to_out = Product(torch.cat([base.weight.detach(), b], 1), base.bias)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inner = self._to_inner(x)
        return self._to_out(torch.cat([x, inner], -1)), inner


class _MergedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: _Merged, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, a, b)
        ctx.layer = layer
        return layer.forth(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, a, b = ctx.saved_tensors
        (out,) = gradients
        rows, out = x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1])
        inner = times(out, b).mul_(ctx.layer.scaling)
        to_x = ctx.layer.back(out).view_as(x) if ctx.needs_input_grad[0] else None
        # not Gᵀ (X Aᵀ): a product copies its first factor if it is transposed, and G is the larger one
        to_b = times(times(rows, a.T).T, out).mul_(ctx.layer.scaling).T
        return to_x, None, times(inner.T, rows), to_b


class _AdaptedLinear(torch.autograd.Function):
    """An adapter apart, with all products in the precision of the weight; the gradient of A and B is stored in fp32."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, apart: _Apart, weight: torch.Tensor, scaling: float, *_: torch.Tensor
    ) -> torch.Tensor:
        out, inner = apart(x)
        ctx.save_for_backward(x, inner, weight, apart.a, apart.b)
        ctx.scaling = scaling
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, weight, a, b = ctx.saved_tensors
        (given,) = gradients
        rows, inner, out = (part.reshape(-1, part.shape[-1]) for part in (x, inner, given))
        to_inner = out @ b
        to_x = None
        if ctx.needs_input_grad[0]:
            # one sum here too, rounded once
            to_x = times(torch.cat([out, to_inner], 1), torch.cat([weight, a])).view_as(x)
        to_a, to_b = (to_inner.T @ rows).float(), (out.T @ inner).float().mul_(ctx.scaling)
        return to_x, None, None, None, to_a, to_b
