"""Today's families through the trl backend: published chat template, own architecture, tiny random weights.

What differs between them is where an error would hide: layers of linear attention whose cache is a state (Qwen3.5),
sliding windows (Gemma, gpt-oss), layers without positions (SmolLM3), experts and sinks (gpt-oss). Prompts of a batch
differ in length, so one of them is padded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from paraphrase_rl.models.chat import Chat
from paraphrase_rl.models.references import load_causal_lm, load_tokenizer
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.types import RewardBatch, Terms
from tests.models.test_chat import template
from tests.tiny_model import SIZES, tokenizer
from tests.training.runs import backend, recipe, training_run

FAMILIES: dict[str, tuple[str, str, dict[str, Any], str, bool]] = {
    # name: configuration, model, sizes, published template, thinking
    "Qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {"head_dim": 8}, "qwen3", False),
    "Qwen3.5": (
        "Qwen3_5TextConfig",
        "Qwen3_5ForCausalLM",
        {
            "num_hidden_layers": 4,
            "head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        "qwen3_5_think",
        False,
    ),
    "Llama": ("LlamaConfig", "LlamaForCausalLM", {}, "llama3_1", False),
    "Gemma": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        {
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "gemma3",
        False,
    ),
    "Mistral": ("MistralConfig", "MistralForCausalLM", {"sliding_window": 8}, "Mistral-Small-3.2", False),
    "SmolLM3": ("SmolLM3Config", "SmolLM3ForCausalLM", {"no_rope_layers": [1, 0]}, "SmolLM3", False),
    "gpt-oss": (
        "GptOssConfig",
        "GptOssForCausalLM",
        {
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "gptoss",
        True,  # it cannot be told not to
    ),
}


def save(folder: Path, family: str) -> Path:
    config, model, sizes, name, _ = FAMILIES[family]
    tokens = tokenizer()
    tokens.chat_template = template(name)
    torch.manual_seed(0)
    settings = getattr(transformers, config)(
        **{**SIZES, **sizes},
        vocab_size=len(tokens),
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    getattr(transformers, model)(settings).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def by_the_characters(batch: RewardBatch) -> Terms:
    """A reward that differs from text to text, whatever bytes a random model writes; its thought is no part of it."""
    return Terms(np.array([sum(map(ord, text)) % 97 / 97 for text in batch.rewrites], dtype=np.float64))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_is_taken_with_the_log_probabilities_of_the_model(family: str, tmp_path: Path) -> None:
    thinking = FAMILIES[family][-1]
    folder = save(tmp_path / family, family)
    settings = recipe(
        folder,
        prompt={"system": "s", "instruction": "i", "thinking": thinking},
        training={"batch_size": 2, "group_size": 3, "max_steps": 1, "learning_rate": 0.01},
        evaluation={"every": 1000, "prompts": 1},
    )
    session = training_run(tmp_path / "run", settings)
    session.reward = ComposedReward([WeightedReward(name="any", reward=by_the_characters, weight=1.0)])
    rated: list[Any] = []
    rate = session.rate
    session.rate = lambda indices, rollouts: rated.append(rate(indices, rollouts)) or rated[-1]  # type: ignore[method-assign]
    assert backend().train(session).status == "completed"

    model, chat = load_causal_lm(folder), Chat(load_tokenizer(folder), family, thinking=thinking)
    lengths = set()
    for rollout in rated[0].rollouts:
        prompt, completion = list(rollout.prompt_ids), list(rollout.completion_ids)
        lengths.add(len(prompt))
        with torch.no_grad():
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].double()
        expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(completion)[:, None])[:, 0].numpy()
        np.testing.assert_allclose(rollout.logprobs, expected, atol=2e-4, err_msg="the sampler's")
    assert len(lengths) > 1, "one prompt was padded"
    for values, rollout in zip(rated[0].base_logprobs, rated[0].rollouts, strict=True):
        np.testing.assert_allclose(
            values, rollout.logprobs, atol=2e-4, err_msg="the trainer's, before any step"
        )
    end = chat.render([{"role": "system", "content": "s"}, {"role": "user", "content": "i\n\nend"}])
    assert chat.tokenizer.decode(rated[0].rollouts[0].prompt_ids).endswith(end.rpartition("end")[2])

    [row] = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert abs(row["metrics"]["kl_sample_train"]) < 1e-4
    assert abs(row["metrics"]["kl_post_train"]) > 1e-5, "the step changed the policy"
    weights = load_file(next((tmp_path / "run").rglob("adapter_model.safetensors")))
    assert all(value.isfinite().all() for value in weights.values())
    assert any(value.abs().max() > 0 for name, value in weights.items() if "lora_B" in name)
