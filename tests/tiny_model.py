"""A random model of a real architecture, small enough for tests of mechanics: byte-level tokens, chat template."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.3,
}
TINY_QUICKSTART = """
model: {model}
training: {{batch_size: 2, group_size: 3, learning_rate: 0.01}}
sampling: {{max_tokens: 12}}
rewards: [{{name: detector-evasion}}, {{name: format}}]
detectors: [{{name: tfidf}}]
held_out: []
rewriters: [{{name: policy}}, {{name: homoglyph}}, {{name: whitespace}}]
data: {{source: {{name: starter}}, excerpt_words: 48}}
evaluation: {{prompts: 2}}
"""


def tokenizer(size: int = 0) -> PreTrainedTokenizerFast:
    """One token a byte, and the markup of a chat; filled up to ``size`` with tokens that no text is made of."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = map("".join, itertools.product("aeioubcdfghjklmnprst", repeat=4))
    alphabet += itertools.islice(words, max(0, size - len(alphabet) - 3))
    backend = Tokenizer(models.BPE(vocab={symbol: i + 3 for i, symbol in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def save_tiny_model(folder: Path, *, qwen: bool = False, seed: int = 0, tied: bool = True) -> Path:
    """Write a tiny Llama (or Qwen3, the recipe's architecture) with its tokenizer to a folder.

    Not ``tied``, its logits have room to grow: a policy that is trained can be seen to learn.
    """
    tokens = tokenizer()
    torch.manual_seed(seed)
    ids = {
        "vocab_size": len(tokens),
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    if qwen:
        model = Qwen3ForCausalLM(Qwen3Config(**SIZES, **ids, head_dim=8, tie_word_embeddings=tied))
    else:
        model = LlamaForCausalLM(LlamaConfig(**SIZES, **ids))
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def save_tiny_hybrid_attention(folder: Path) -> Path:
    """Write a tiny Qwen3.5, whose layers have linear attention but for every fourth, to a folder."""
    torch.manual_seed(0)
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 6}
    dims = {"head_dim": 16, "linear_key_head_dim": 8, "linear_value_head_dim": 4, "linear_conv_kernel_dim": 3}
    layers = {"num_hidden_layers": 8, "layer_types": [*["linear_attention"] * 3, "full_attention"] * 2}
    config = Qwen3_5TextConfig(**SIZES | layers, **heads, **dims, vocab_size=64, tie_word_embeddings=True)
    Qwen3_5ForCausalLM(config).save_pretrained(folder)
    return folder


def write_tiny_quickstart(folder: Path) -> Path:
    """Write a recipe to a folder that stands for the packaged quickstart where minutes would be too long.

    Its model is tiny, its detector alone is a tfidf that was fitted before.
    """
    recipe = folder / "quickstart.yaml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(TINY_QUICKSTART.format(model=save_tiny_model(folder / "model")), encoding="utf-8")
    return recipe
