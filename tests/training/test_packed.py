"""Under activation checkpointing a group is one packed sequence: the same log-probabilities, the prompt read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends._forward import PackedGroup, completion_logprobs
from paraphrase_rl_plugins.backends._sampler import left_pad, right_pad
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from tests.tiny_model import SIZES, save_tiny_model, tokenizer
from tests.training.runs import backend, recipe, training_run

PROMPT = [1, 50, 60, 70, 80, 90]
COMPLETIONS = [[7], [33, 34, 35, 36], [99, 98, 97, 96, 95, 94, 93], [33, 34, 40]]


def group(prompt: list[int] = PROMPT) -> tuple[torch.Tensor, ...]:
    """A group in a batch with a longer prompt and a longer completion."""
    size = len(COMPLETIONS)
    heads, heads_mask = left_pad([prompt] * size + [[5] * (len(prompt) + 4)], 0, "cpu")
    ids, mask = right_pad([*COMPLETIONS, [5] * 11], 0, torch.long, "cpu")
    return heads[:size], heads_mask[:size], ids[:size], mask[:size]


@pytest.fixture(params=["llama", "qwen", "gpt2", "sliding"])
def trainer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A trainer that checkpoints activations, as on a GPU."""
    folder, tokens = tmp_path / "model", tokenizer()
    ids = {
        "vocab_size": len(tokens),
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    if request.param in ("llama", "qwen"):
        save_tiny_model(folder, qwen=request.param == "qwen")
    elif request.param == "gpt2":
        off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
        GPT2LMHeadModel(GPT2Config(**sizes, **off, **ids)).save_pretrained(folder)
        tokens.save_pretrained(folder)
    else:
        MistralForCausalLM(MistralConfig(**SIZES, **ids, sliding_window=5)).save_pretrained(folder)
        tokens.save_pretrained(folder)
    made = backend().trainer(
        training_run(tmp_path / "run", recipe(folder, training={"batch_size": 2, "group_size": 4}))
    )
    for name, parameter in made.model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    made.args.gradient_checkpointing = True
    made.model.gradient_checkpointing_enable()
    made.model.enable_input_require_grads()
    made.model.train()
    made.read = []
    made.model.get_input_embeddings().register_forward_hook(
        lambda _m, inputs, _o: made.read.append(inputs[0].numel())
    )
    made.kind = request.param
    return made


def gradient(trainer: Any, logprobs: torch.Tensor) -> torch.Tensor:
    trainer.model.zero_grad()
    (logprobs * torch.linspace(-1, 2, logprobs.numel()).view_as(logprobs)).sum().backward()
    return torch.cat([p.grad.ravel() for p in trainer.model.parameters() if p.grad is not None])


def test_packed_and_cached_agree_and_the_prompt_is_read_once(trainer: Any) -> None:
    heads, heads_mask, ids, mask = group()
    batch = {"prompt_ids": heads, "prompt_mask": heads_mask, "completion_ids": ids, "completion_mask": mask}
    trainer.read.clear()
    got = trainer._logprobs(trainer.model, batch)
    read = sum(trainer.read)
    gradients = gradient(trainer, got)
    trainer.model.gradient_checkpointing_disable()
    expected = completion_logprobs(
        trainer.model, heads, heads_mask, ids, mask, group_size=len(COMPLETIONS), temperature=1.0
    )
    assert torch.allclose(got, expected, atol=1e-5)
    wanted = gradient(trainer, expected)
    assert wanted.norm() > 1
    assert (gradients - wanted).norm() / wanted.norm() < 1e-5
    completions = sum(map(len, COMPLETIONS))
    if (
        trainer.kind == "sliding"
    ):  # the prompt's first tokens are out of sight of a late one: packing cannot say so
        assert read > len(COMPLETIONS) * len(PROMPT)
    else:
        assert read == len(PROMPT) - 1 + completions


def test_a_prompt_of_one_token_is_packed() -> None:
    pack = PackedGroup.of(*group([9]))
    assert pack.ids.tolist() == [[9, 9, 33, 34, 35, 9, 99, 98, 97, 96, 95, 94, 9, 33, 34]]
    assert pack.labels.tolist() == [[t for one in COMPLETIONS for t in one]]
    assert pack.positions.tolist() == [[i for one in COMPLETIONS for i in range(len(one))]]
    assert pack.attention[0, 0].sum(1).tolist() == [i + 1 for one in COMPLETIONS for i in range(len(one))]
    rows = pack.unpacked(pack.labels.float(), 11)
    assert [row[: len(one)].tolist() for row, one in zip(rows, COMPLETIONS, strict=True)] == COMPLETIONS
    assert rows.shape == (4, 11)
