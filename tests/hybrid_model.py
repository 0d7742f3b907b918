"""A tiny model with the published chat template of a family, that often closes a thought: chance does it too seldom."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny_model import save_tiny_model

MARKS = ["<think>", "</think>"]


def published_template(name: str) -> str:
    """A chat template as TRL carries it, such as ``qwen3_5_think``."""
    trl = find_spec("trl")
    folders = list(trl.submodule_search_locations or ()) if trl else []
    return (Path(folders[0]) / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def save_hybrid_model(folder: Path, *, template: str = "qwen3_5_think", strength: float = 1.5) -> Path:
    """Write a tiny Qwen3 with the marks of a thought among its tokens.

    Args:
        strength: how much the closing mark is favoured: 1.5 makes it one token in ten.
    """
    save_tiny_model(folder, qwen=True, tied=False)
    tokens = AutoTokenizer.from_pretrained(folder)
    tokens.add_tokens(MARKS)  # Qwen's are no special tokens: they stay in what is decoded
    tokens.chat_template = published_template(template)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokens), mean_resizing=False)
    with torch.no_grad():
        text = tokens("the of and to in is that for it as was with be by on not he", return_tensors="pt")
        common = model.model(text["input_ids"]).last_hidden_state[0].mean(0)
        model.lm_head.weight[tokens.convert_tokens_to_ids("</think>")] = strength * common / common.norm()
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder
