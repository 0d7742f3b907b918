"""Group sampling: exact log-probabilities, the right distribution, no dependence on batch mates."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._decoding import GraphDecoder, GroupDecoder, GrowingDecoder, RoomyLayer
from paraphrase_rl_plugins.backends._sampler import (
    ATTEMPTS,
    draw,
    left_pad,
    ready_to_sample,
    sample_groups,
    uniform_noise,
)
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, DynamicCache, TopPLogitsWarper

from paraphrase_rl.recipe.schema import Sampling

PROMPTS = [[1, 50, 60, 70], [1, 99], [1, 120, 44, 45, 46, 47, 48, 200]]
KEYS = [(0, 7), (0, 8), (0, 9)]


@pytest.fixture
def model(tiny_model: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def sample(model: torch.nn.Module, rows: list[int], **changes: object) -> list:
    plain_attention = bool(changes.pop("plain_attention", False))
    return sample_groups(
        model,
        [PROMPTS[i] for i in rows],
        [KEYS[i] for i in rows],
        group_size=4,
        sampling=Sampling(**{"max_tokens": 24, **changes}),
        plain_attention=plain_attention,
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


def test_a_rollout_does_not_depend_on_the_other_prompts_or_their_order(model) -> None:
    together = sample(model, [0, 1, 2])
    alone = sample(model, [1])
    assert [one.ids for one in alone] == [one.ids for one in together[4:8]]
    swapped = sample(model, [2, 0])
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


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_rows_that_share_their_prompts_keys_say_the_same(model, precision: torch.dtype) -> None:
    model = model.to(precision)
    alone, shared = (sample(model, [0, 1, 2], plain_attention=plain) for plain in (False, True))
    if precision == torch.float32:
        assert [one.ids for one in shared] == [one.ids for one in alone]
    for a, b in zip(alone, shared, strict=True):
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a.ids, b.ids, strict=False)))
        assert b.logprobs[:same] == pytest.approx(
            a.logprobs[:same], abs=1e-4 if precision == torch.float32 else 0.1
        )


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
