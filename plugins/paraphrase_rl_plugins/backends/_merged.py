"""Adapted linear layers computed as one product with merged weights, in sampling and in training.

In fp32 the adapter is added to the weights once an update, W' = W + s B A, and a layer costs one product forward
instead of three. The gradient of A and B at W' is that of the unmerged layer: with G the gradient of the output and X
the input, dB = s Gᵀ (X Aᵀ) and dA = s (G B)ᵀ X, and G W' goes on to the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import Linear, LoraLayer

MERGED = "_paraphrase_rl_merged"


def merged_weight(layer: LoraLayer) -> torch.Tensor:
    """Return the weight of a layer with its active adapters added; computed again only after one of them changed.

    The adapters are compared by value: what an optimizer does to them need not raise torch's count of versions.
    """
    base = layer.get_base_layer().weight
    factors = [p.detach() for adapter in layer.active_adapters for p in _factors(layer, adapter)]
    place = base.data_ptr(), base._version, len(factors)
    known = getattr(layer, MERGED, None)
    if known is not None and known[0] == place and all(map(torch.equal, known[1], factors)):
        return known[2]
    with torch.no_grad():
        weight = base.data
        for adapter in layer.active_adapters:
            weight = weight + layer.get_delta_weight(adapter)
    setattr(layer, MERGED, (place, [p.clone() for p in factors], weight))
    return weight


def _factors(layer: LoraLayer, adapter: str) -> list[torch.Tensor]:
    held = [layer.lora_A, layer.lora_B] if adapter in layer.lora_A else []
    embedded = [layer.lora_embedding_A, layer.lora_embedding_B] if adapter in layer.lora_embedding_A else []
    return [part[adapter].weight for part in held] + [part[adapter] for part in embedded]


def mergeable(model: Any) -> list[LoraLayer]:
    """List the layers whose adapter may be merged: in half precision rounding would remove a step's whole change."""
    return [
        module
        for module in model.modules()
        if isinstance(module, LoraLayer)
        and module.active_adapters
        and module.get_base_layer().weight.dtype == torch.float32
    ]


@contextmanager
def merged_in_training(model: Any) -> Iterator[None]:
    """Compute adapted linear layers with merged weights inside a ``with`` block, differentiably.

    Layers of other kinds (Conv1D, embeddings), in half precision, or with dropout or several adapters stay peft's.
    """
    layers = [layer for layer in mergeable(model) if _is_plain(layer)]
    try:
        for layer in layers:
            layer.forward = _Forward(
                layer, merged_weight(layer)
            )  # on the object: peft's own stays that of the class
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _is_plain(layer: LoraLayer) -> bool:
    if type(layer) is not Linear or len(layer.active_adapters) != 1 or layer.fan_in_fan_out:
        return False
    (adapter,) = layer.active_adapters
    return (
        type(layer.get_base_layer()) is torch.nn.Linear
        and adapter in layer.lora_A
        and adapter not in layer.lora_variant
        and layer.lora_A[adapter].weight.dtype == torch.float32
        and not layer.lora_bias[adapter]
        and isinstance(layer.lora_dropout[adapter], torch.nn.Identity)
    )


class _Forward:
    def __init__(self, layer: Linear, weight: torch.Tensor) -> None:
        self.layer, self.weight = layer, weight

    def __call__(self, x: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        layer = self.layer
        if layer.disable_adapters or layer.merged:
            return type(layer).forward(layer, x, *arguments, **named)
        (adapter,) = layer.active_adapters
        return _MergedLinear.apply(
            x,
            self.weight,
            layer.get_base_layer().bias,
            layer.lora_A[adapter].weight,
            layer.lora_B[adapter].weight,
            layer.scaling[adapter],
        )


class _MergedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scaling = scaling
        return torch.nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b = ctx.saved_tensors
        (out,) = gradients
        rows, out = x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1])
        inner = (out @ b).mul_(ctx.scaling)
        to_x = (out @ weight).view_as(x) if ctx.needs_input_grad[0] else None
        to_b = (out.T @ (rows @ a.T)).mul_(ctx.scaling)
        return to_x, None, None, inner.T @ rows, to_b, None
