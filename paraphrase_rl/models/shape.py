"""Sizes of a language model from its ``config.json``, and the number of its parameters, without loading it."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MANY_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_LARGEST_HEADER = 100_000_000
_SIZE_IN_NAME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])")
KNOWN_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "Qwen/Qwen3-4B-Instruct-2507": {
        "model_type": "qwen3",
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "max_position_embeddings": 262144,
    },
    "Qwen/Qwen3.5-4B": {
        "model_type": "qwen3_5_text",
        "hidden_size": 2560,
        "intermediate_size": 9216,
        "num_hidden_layers": 32,
        "layer_types": [*["linear_attention"] * 3, "full_attention"] * 8,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "linear_num_key_heads": 16,
        "linear_key_head_dim": 128,
        "linear_num_value_heads": 32,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "vocab_size": 248320,
        "tie_word_embeddings": True,
        "max_position_embeddings": 262144,
    },
}
"""What the ``config.json`` of the published and of the served recipe's model says of its language model, for machines
that do not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAttention:
    """Sizes of the linear attention of Qwen3.5 (gated delta nets), which keeps a state in place of keys and values.

    Attributes:
        layers: number of layers that have it.
        key_heads, key_dim, value_heads, value_dim: its heads.
        kernel: width of its convolution.
    """

    layers: int
    key_heads: int
    key_dim: int
    value_heads: int
    value_dim: int
    kernel: int

    @property
    def channels(self) -> int:
        """Queries, keys and values of a token: what the convolution runs over."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    @property
    def state(self) -> int:
        """Number of values that a layer keeps for a text, however long it is."""
        return self.value_heads * self.key_dim * self.value_dim + self.channels * self.kernel

    @property
    def other_parameters(self) -> int:
        """Number of parameters of a layer outside its linear layers."""
        return self.channels * self.kernel + 2 * self.value_heads + self.value_dim

    def linear_layers(self, hidden: int) -> Mapping[str, tuple[int, int]]:
        """Inputs and outputs of the linear layers of its own, by their names."""
        values = self.value_heads * self.value_dim
        return {
            "in_proj_qkv": (hidden, self.channels),
            "in_proj_z": (hidden, values),
            "in_proj_b": (hidden, self.value_heads),
            "in_proj_a": (hidden, self.value_heads),
            "out_proj": (values, hidden),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a dense decoder with a gated MLP, such as Llama, Qwen (3.5 too), Mistral and Gemma.

    Attributes:
        layers: number of layers, of all kinds.
        hidden: width of the hidden states.
        intermediate: width of the MLP.
        heads, key_value_heads, head_dim: of the attention.
        vocabulary: number of tokens.
        tied: True if the unembedding is the embedding.
        linear_attention: of the layers without keys and values; ``None`` for a build that has none.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    linear_attention: LinearAttention | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelShape | None:
        """Read the shape; ``None`` for another build (experts, no gated MLP, unknown kinds of layers, missing keys)."""
        if any(config.get(key) for key in _MANY_EXPERTS):
            return None
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            shape = cls(
                layers=int(config["num_hidden_layers"]),
                hidden=hidden,
                intermediate=int(config["intermediate_size"]),
                heads=heads,
                key_value_heads=int(config.get("num_key_value_heads") or heads),
                head_dim=int(config.get("head_dim") or hidden // heads),
                vocabulary=int(config["vocab_size"]),
                tied=bool(config.get("tie_word_embeddings", False)),
                linear_attention=_linear_attention(config),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None
        sizes = (
            shape.layers,
            shape.hidden,
            shape.intermediate,
            shape.heads,
            shape.head_dim,
            shape.vocabulary,
        )
        return shape if min(sizes) > 0 else None

    @property
    def attention_layers(self) -> int:
        """Number of layers that keep keys and values."""
        return self.layers - (self.linear_attention.layers if self.linear_attention else 0)

    @property
    def linear_layers(self) -> Mapping[str, tuple[int, int, int]]:
        """Number of each linear layer, its inputs and its outputs, by its name."""
        queries, keys = self.heads * self.head_dim, self.key_value_heads * self.head_dim
        other = self.linear_attention
        gates = queries if other else 0  # Qwen3.5 projects to a gate beside each query
        attention = {
            "q_proj": (self.hidden, queries + gates),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
        }
        mlp = {
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }
        counted = [(self.attention_layers, attention), (self.layers, mlp)]
        if other:
            counted.append((other.layers, dict(other.linear_layers(self.hidden))))
        return {name: (count, *size) for count, sizes in counted for name, size in sizes.items()}

    @property
    def linear_parameters(self) -> int:
        """Number of parameters in the linear layers of all decoder layers."""
        return sum(count * inputs * outputs for count, inputs, outputs in self.linear_layers.values())

    @property
    def parameters(self) -> int:
        """Number of parameters: linear layers, embedding, unembedding, norms, and the rest of linear attention."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        other = self.linear_attention
        rest = other.layers * other.other_parameters if other else 0
        return self.linear_parameters + embeddings + (2 * self.layers + 1) * self.hidden + rest

    def adapter_parameters(self, rank: int, layers: list[str] | None) -> int:
        """Count the parameters of a LoRA adapter of some linear layers; ``None`` = of all."""
        sizes = [size for name, size in self.linear_layers.items() if layers is None or name in layers]
        return sum(count * rank * (inputs + outputs) for count, inputs, outputs in sizes)


def _linear_attention(config: Mapping[str, Any]) -> LinearAttention | None:
    """Read the linear attention of Qwen3.5; ``None`` for a model whose layers all keep keys and values.

    Raises:
        KeyError, TypeError, ValueError: it is that of another build, or a size is missing or none.
    """
    if config["model_type"] != "qwen3_5_text":
        if other := {*(config.get("layer_types") or ())} - {"full_attention", "sliding_attention"}:
            raise ValueError(f"unknown kinds of layers: {other}")
        return None
    kinds = list(config["layer_types"])
    found = LinearAttention(
        layers=kinds.count("linear_attention"),
        key_heads=int(config["linear_num_key_heads"]),
        key_dim=int(config["linear_key_head_dim"]),
        value_heads=int(config["linear_num_value_heads"]),
        value_dim=int(config["linear_value_head_dim"]),
        kernel=int(config["linear_conv_kernel_dim"]),
    )
    sizes = (found.key_heads, found.key_dim, found.value_heads, found.value_dim, found.kernel)
    kept = kinds.count("full_attention") + found.layers
    if min(sizes) <= 0 or not kept == len(kinds) == int(config["num_hidden_layers"]):
        raise ValueError("the sizes of linear attention are of another build")
    return found


def stored_parameters(folder: Path) -> int | None:
    """Count the numbers in the safetensors of a folder by their headers alone; ``None`` if they cannot be read."""
    total = 0
    try:
        for path in folder.glob("*.safetensors"):
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                if length > _LARGEST_HEADER:
                    return None
                header = json.loads(file.read(length))
            total += sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
        return None
    return total or None


def parameters_by_name(reference: str) -> float | None:
    """Read the number of parameters from a name such as ``EleutherAI/gpt-neo-2.7B``; ``None`` if it has none."""
    found = _SIZE_IN_NAME.findall(reference.rpartition("/")[2].replace("-", " ").replace("_", " "))
    if not found:
        return None
    number, unit = found[0]
    return float(number) * (1e9 if unit in "Bb" else 1e6)
