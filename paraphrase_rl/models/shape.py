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
    }
}
"""What the ``config.json`` of the published recipe's model says, for machines that do not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a dense decoder with a gated MLP, such as Llama, Qwen, Mistral and Gemma.

    Attributes:
        layers: number of layers.
        hidden: width of the hidden states.
        intermediate: width of the MLP.
        heads, key_value_heads, head_dim: of the attention.
        vocabulary: number of tokens.
        tied: True if the unembedding is the embedding.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelShape | None:
        """Read the shape; ``None`` for a model of another build (experts, no gated MLP, missing keys)."""
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
    def linear_layers(self) -> Mapping[str, tuple[int, int]]:
        """Inputs and outputs of each linear layer of one decoder layer, by its name."""
        queries, keys = self.heads * self.head_dim, self.key_value_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Number of parameters in the linear layers of all decoder layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear_layers.values())

    @property
    def parameters(self) -> int:
        """Number of parameters: linear layers, embedding, unembedding and norms."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.linear_parameters + embeddings + (2 * self.layers + 1) * self.hidden

    def adapter_parameters(self, rank: int, layers: list[str] | None) -> int:
        """Count the parameters of a LoRA adapter of some linear layers; ``None`` = of all."""
        sizes = [size for name, size in self.linear_layers.items() if layers is None or name in layers]
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in sizes)


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
