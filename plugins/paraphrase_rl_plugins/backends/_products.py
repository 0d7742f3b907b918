"""Products with a frozen weight on a CPU, by oneDNN and not by the BLAS that torch takes for fp32.

The weight is laid out once as oneDNN reads it. BLAS lays it out at every product: for the few rows of a decoding step
that takes as long as the product itself. The operations are those that torch's compiler puts in the place of linear
layers in bf16; in fp32 they are our choice. Where there are none, torch multiplies as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.nn.functional import linear


class Product:
    """``x W^T + b`` for one weight.

    Args:
        weight: shape (O, I); a later change of its values is not seen.
        bias: shape (O,).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self._packed = _by_onednn(weight)
        self._bias, self._dtype = bias, weight.dtype
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach()) if self._packed else weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply x of shape (..., I), rounded to the weight's type; the result has shape (..., O) and no gradient."""
        x = x.to(self._dtype)
        if not self._packed:
            return linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")


def times(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Compute ``x W`` for x of shape (N, O) and a weight of shape (O, I), without a gradient."""
    if not _by_onednn(weight):
        return x @ weight
    return torch.ops.mkldnn._linear_pointwise(x, weight.T, None, "none", [], "")


@contextmanager
def computed_by(forwards: Mapping[torch.nn.Module, Callable[..., torch.Tensor]]) -> Iterator[None]:
    """Compute modules by other functions inside a ``with`` block, which the class of a module does not notice."""
    try:
        for module, forward in forwards.items():
            module.forward = forward  # on the object: the class keeps its own
        yield
    finally:
        for module in forwards:
            vars(module).pop("forward", None)


@contextmanager
def packed(model: Any, besides: Iterable[torch.nn.Module] = ()) -> Iterator[None]:
    """Multiply in the linear layers of a model by :class:`Product`, without a gradient, inside a ``with`` block.

    Those inside of the modules ``besides`` are left alone.
    That takes the memory of the weights once more.
    """
    others = {part for module in besides for part in module.modules()}
    layers = [
        m for m in model.modules() if type(m) is torch.nn.Linear and _by_onednn(m.weight) and m not in others
    ]
    with computed_by({layer: Product(layer.weight, layer.bias) for layer in layers}):
        yield


def _by_onednn(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype in _onednn_types()


@cache
def _onednn_types() -> tuple[torch.dtype, ...]:
    operations = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    on = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    if not (on and all(hasattr(torch.ops.mkldnn, o) for o in operations)):
        return ()
    return (torch.float32, *([torch.bfloat16] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else []))
