"""Precision of a model's products: fp32, or half precision where this processor or card multiplies it faster."""

from __future__ import annotations

import time
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "fp16", "bf16"]
Choice = Literal["auto", "fp32", "bf16"]

FASTER = 1.5
"""Least ratio of times from which bf16 is chosen: less does not pay for its rounding."""
_SHAPE = 512, 576, 1536


def decide(choice: str, device: str, runs_on_torch: bool = True) -> Precision:
    """Decide on a precision for a device; ``auto`` is bf16 where it is faster.

    On a processor that is measured, by products of a few milliseconds: processors with bf16 instructions may well be
    slower with them. A card takes bf16, or fp16 where it has no bf16; ``mps`` takes fp32. Nothing is measured where
    nothing runs on torch, or it is not installed.

    Raises:
        UsageError: no such choice, or bf16 on ``mps``, where it is not tested.
    """
    if choice not in get_args(Choice):
        raise UsageError(f"unknown precision {choice!r:.40}", f"use {', '.join(get_args(Choice))}")
    if choice == "bf16" and device.startswith("mps"):
        raise UsageError("precision bf16 is not tested on mps", "use auto or fp32")
    if choice != "auto":
        return "bf16" if choice == "bf16" else "fp32"
    if not runs_on_torch or find_spec("torch") is None:
        return "fp32"
    if device.startswith("cpu"):
        return "bf16" if speedup_in_bf16() >= FASTER else "fp32"
    return usual(device)


def usual(device: str) -> Precision:
    """Return the precision of scores where nobody has decided: that of calibrations of earlier versions."""
    from paraphrase_rl.models.references import scoring_dtype

    return {"torch.float32": "fp32", "torch.float16": "fp16"}.get(str(scoring_dtype(device)), "bf16")  # type: ignore[return-value]


def dtype_of(precision: Precision) -> torch.dtype:
    """Return torch's type of a precision."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


@cache
def speedup_in_bf16() -> float:
    """Measure how many times as fast as fp32 this processor multiplies bf16: the best of a few products of each."""
    import torch

    rows, inputs, outputs = _SHAPE
    generator = torch.Generator().manual_seed(0)
    best = {}
    pairs: dict[Any, Any] = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = (torch.randn(n, inputs, generator=generator).to(dtype) for n in (rows, outputs))
        pairs[dtype] = x, weight
        torch.nn.functional.linear(x, weight)
        best[dtype] = float("inf")
    for _ in range(5):
        for dtype, (x, weight) in pairs.items():
            started = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            best[dtype] = min(best[dtype], time.perf_counter() - started)
    return best[torch.float32] / best[torch.bfloat16]


def multiply_in_bf16(model: Any) -> Any:
    """Make the linear layers of a frozen fp32 model, but for its unembedding, multiply in bf16; return the model.

    Everything between the products stays fp32, the sum over layers above all: rounded there, scores would be off by a
    part of their spread.
    """
    import torch

    head = model.get_output_embeddings()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head:
            layer.to(torch.bfloat16)
            layer.forward = _Product(layer)
    return model


class _Product:
    def __init__(self, layer: torch.nn.Linear) -> None:
        self._layer = layer

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        layer = self._layer
        return torch.nn.functional.linear(x.to(layer.weight.dtype), layer.weight, layer.bias).to(x.dtype)
