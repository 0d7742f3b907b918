"""A group is one packed sequence, with activations checkpointed or not: the same numbers, the prompt read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends import _trl_estimate, _unembedding
from paraphrase_rl_plugins.backends._adapted import computed
from paraphrase_rl_plugins.backends._forward import (
    PackedGroup,
    completion_logprobs,
    packed_logprobs,
    packs,
    whole_logprobs,
)
from paraphrase_rl_plugins.backends._sampler import attention_windows, left_pad, right_pad
from paraphrase_rl_plugins.backends._unembedding import token_logprobs
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.tiny_model import SIZES, save_tiny_model, tokenizer
from tests.training.runs import backend, recipe, training_run

MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
PROMPT = [1, 50, 60, 70, 80, 90]
COMPLETIONS = [[7], [33, 34, 35, 36], [99, 98, 97, 96, 95, 94, 93], [33, 34, 40]]


def group(prompt: list[int] = PROMPT) -> tuple[torch.Tensor, ...]:
    """A group in a batch with a longer prompt and a longer completion."""
    size = len(COMPLETIONS)
    heads, heads_mask = left_pad([prompt] * size + [[5] * (len(prompt) + 4)], 0, "cpu")
    ids, mask = right_pad([*COMPLETIONS, [5] * 11], 0, torch.long, "cpu")
    return heads[:size], heads_mask[:size], ids[:size], mask[:size]


SLIDING = ("mistral", "gemma3", "qwen2")
"""Families with a window, shorter than the prompt: in every layer, or in some."""


@pytest.fixture(params=["llama", "qwen", "gpt2", *SLIDING])
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
        config, model, more = {
            "mistral": (MistralConfig, MistralForCausalLM, {}),
            "gemma3": (
                Gemma3TextConfig,
                Gemma3ForCausalLM,
                {**MIXED, "query_pre_attn_scalar": 8, "head_dim": 8},
            ),
            "qwen2": (Qwen2Config, Qwen2ForCausalLM, {**MIXED, "use_sliding_window": True}),
        }[request.param]
        model(config(**{**SIZES, **more}, **ids, sliding_window=5)).save_pretrained(folder)
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
    expected = completion_logprobs(trainer.model, heads, heads_mask, ids, mask, temperature=1.0)
    assert torch.allclose(got, expected, atol=1e-5)
    wanted = gradient(trainer, expected)
    assert wanted.norm() > 1
    assert (gradients - wanted).norm() / wanted.norm() < 1e-5
    assert read == len(PROMPT) - 1 + sum(map(len, COMPLETIONS))


@pytest.mark.parametrize("trainer", SLIDING, indirect=True)
def test_a_window_is_of_positions_and_of_the_layers_that_have_one(trainer: Any) -> None:
    model, batch = trainer.model, group()
    windows = attention_windows(model)
    assert windows == {
        "sliding_attention": 5,
        **({} if trainer.kind == "mistral" else {"full_attention": None}),
    }
    model.gradient_checkpointing_disable()
    expected = whole_logprobs(model, *batch, temperature=1.0)
    model.gradient_checkpointing_enable()
    assert torch.allclose(trainer._packed(windows, model, *batch), expected, atol=1e-5)
    for wrong in (dict.fromkeys(windows), dict.fromkeys(windows, 5), {**windows, "sliding_attention": 6}):
        if wrong != windows:
            found = trainer._packed(wrong, model, *batch)
            assert not torch.allclose(found, expected, atol=1e-2), "the window makes no difference here"


def test_a_prompt_of_one_token_is_packed() -> None:
    pack = PackedGroup.of(*group([9]))
    assert pack.ids.tolist() == [[9, 9, 33, 34, 35, 9, 99, 98, 97, 96, 95, 94, 9, 33, 34]]
    assert pack.labels.tolist() == [[t for one in COMPLETIONS for t in one]]
    assert pack.positions.tolist() == [[i for one in COMPLETIONS for i in range(len(one))]]
    assert pack.attention()[0, 0].sum(1).tolist() == [i + 1 for one in COMPLETIONS for i in range(len(one))]
    rows = pack.unpacked(pack.labels.float(), 11)
    assert [row[: len(one)].tolist() for row, one in zip(rows, COMPLETIONS, strict=True)] == COMPLETIONS
    assert rows.shape == (4, 11)


@pytest.mark.parametrize("prompt", [PROMPT, [9]], ids=["prompt", "prompt of one token"])
def test_merged_and_packed_is_what_peft_computes_row_by_row(trainer: Any, prompt: list[int]) -> None:
    """Where nothing is checkpointed: other attention, merged weights, an unembedding with a gradient of its own."""
    model = trainer.model
    model.gradient_checkpointing_disable()
    batch = group(prompt)
    expected = whole_logprobs(model, *batch, temperature=0.7)
    wanted = gradient(trainer, expected)
    trainer.args.gradient_checkpointing = False
    trainer.temperature = 0.7
    trainer.read.clear()
    got = trainer._logprobs(model, dict(zip(KEYS, batch, strict=True)))
    read = sum(trainer.read)
    if trainer.kind not in SLIDING:
        assert trainer._compute_logprobs.func is packed_logprobs
        assert read == len(prompt) - 1 + sum(map(len, COMPLETIONS)) + PROBED
    assert torch.allclose(got, expected, atol=1e-5)
    gradients = gradient(trainer, got)
    assert (gradients - wanted).norm() / wanted.norm() < 1e-5


KEYS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
PROBED = 2 * (5 + 3) + 4 + 5
"""Tokens that :func:`packs` reads to compare: two rows whole, and the same packed."""


def test_a_merge_follows_the_adapter_and_leaves_the_base_weights(trainer: Any) -> None:
    """An optimizer may change weights without raising torch's count of versions, so values are compared."""
    model = trainer.model
    model.gradient_checkpointing_disable()
    batch = group()
    base = {n: p.clone() for n, p in model.named_parameters() if "lora_" not in n}
    found = []
    for scale in (1.0, 3.0):
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.numpy()[...] *= scale  # past every count of torch
        expected = whole_logprobs(model, *batch, temperature=1.0)
        with computed(model):
            got = whole_logprobs(model, *batch, temperature=1.0)
            with torch.no_grad(), model.disable_adapter():
                untouched = whole_logprobs(model, *batch, temperature=1.0)
        assert torch.allclose(got, expected, atol=1e-4)
        found.append((expected, untouched))
    assert not torch.allclose(found[0][0], found[1][0], atol=1e-2)
    assert torch.equal(found[0][1], found[1][1])
    assert all(torch.equal(p, base[n]) for n, p in model.named_parameters() if n in base)


def test_logits_that_are_scaled_are_not_packed() -> None:
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": 60}
    assert packs(GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=1.0)).eval())
    assert not packs(GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=4.0)).eval())


@pytest.mark.parametrize("biased", [False, True])
def test_log_probabilities_of_tokens_and_their_gradient_in_parts(
    biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paraphrase_rl_plugins.backends._unembedding.LOGITS_AT_ONCE", 300)
    monkeypatch.setattr("paraphrase_rl_plugins.backends._unembedding.REDUCED_AT_ONCE", 100)
    torch.manual_seed(0)
    hidden = (torch.randn(17, 8, dtype=torch.double) * 3).requires_grad_()
    weight, bias = torch.randn(50, 8, dtype=torch.double), torch.randn(50, dtype=torch.double)
    tokens = torch.randint(0, 50, (17,))
    logits = hidden @ weight.T + (bias if biased else 0)
    expected = torch.log_softmax(logits / 1.7, -1).gather(1, tokens[:, None])[:, 0]
    (wanted,) = torch.autograd.grad(expected @ torch.linspace(-1, 2, 17, dtype=torch.double), hidden)
    head = torch.nn.Linear(8, 50, bias=biased, dtype=torch.double).requires_grad_(requires_grad=False)
    head.load_state_dict({"weight": weight, "bias": bias} if biased else {"weight": weight})
    got = token_logprobs(hidden, head, tokens, 1.7)
    (gradient_,) = torch.autograd.grad(got @ torch.linspace(-1, 2, 17), hidden)
    assert torch.allclose(got.double(), expected, atol=1e-4)
    assert torch.allclose(gradient_, wanted, atol=1e-4)


def test_log_probabilities_are_of_the_unembedding_as_it_is_now() -> None:
    torch.manual_seed(0)
    hidden, tokens = torch.randn(4, 8, requires_grad=True), torch.tensor([3, 0, 49, 7])
    head = torch.nn.Linear(8, 50, bias=False).requires_grad_(requires_grad=False)
    for _ in range(2):
        expected = torch.log_softmax(head(hidden), -1).gather(1, tokens[:, None])[:, 0]
        (wanted,) = torch.autograd.grad(expected.sum(), hidden)
        got = token_logprobs(hidden, head, tokens, 1.0)
        (gradient_,) = torch.autograd.grad(got.sum(), hidden)
        assert torch.allclose(got, expected, atol=1e-5)
        assert torch.allclose(gradient_, wanted, atol=1e-5)
        head.weight.mul_(-2.0)


def test_the_estimate_counts_the_logits_that_are_there_at_once() -> None:
    assert _trl_estimate.PART == _unembedding.LOGITS_AT_ONCE
