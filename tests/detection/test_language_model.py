"""One pass over texts with a tiny random model: right numbers, whatever stands beside a text."""

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models import language_model
from paraphrase_rl.models.language_model import LanguageModel, shared_language_model
from paraphrase_rl.models.references import load_causal_lm, load_tokenizer
from paraphrase_rl.types import Failure
from tests.tiny_model import save_tiny_model, tokenizer

TEXTS = [
    "A short one.",
    "The ferry was late again, so half the village stood on the pier and complained about the weather.",
    "ab",
    "Ünïcödé, 漢字 and 🙂 take several bytes.",
    "Line one\n\nLine two  with\ttabs",
    "The same length as another text.",
    "The same length as another test!",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("tiny-llama")))


def fields(item):
    return item.logprob, item.rank, item.entropy, item.variance


def same(found, expected, tolerance=1e-5):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(fields(ours), fields(theirs), strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=0)


def slow_reference(folder, text):
    """All four arrays from the whole logits of one text, in float64, with a sort of the vocabulary."""
    tokens = load_tokenizer(folder)
    ids = torch.tensor(tokens(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    with torch.no_grad():
        logits = load_causal_lm(folder)(ids[None]).logits[0, :-1].double()
    log_p = logits.log_softmax(-1)
    own = log_p.gather(-1, ids[1:, None])
    entropy = -(log_p.exp() * log_p).sum(-1)
    variance = (log_p.exp() * log_p**2).sum(-1) - entropy**2
    order = logits.argsort(-1, descending=True)
    rank = (order == ids[1:, None]).nonzero()[:, 1] + 1
    return own[:, 0].numpy(), rank.numpy(), entropy.numpy(), variance.numpy()


def test_agrees_with_a_slow_reference(folder):
    for text, found in zip(TEXTS, LanguageModel(folder).statistics(TEXTS), strict=True):
        for ours, theirs in zip(fields(found), slow_reference(folder, text), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=0)
        assert not found.truncated


def test_a_text_does_not_depend_on_its_batch(folder, monkeypatch):
    alone = [LanguageModel(folder).statistics([text])[0] for text in TEXTS]
    same(LanguageModel(folder).statistics(TEXTS), alone)
    same(LanguageModel(folder).statistics(TEXTS[::-1])[::-1], alone)
    same(LanguageModel(folder).statistics([*TEXTS, "padding " * 60])[: len(TEXTS)], alone)
    for tokens in (1, 40, 100_000):
        monkeypatch.setattr(language_model, "CPU_BATCH_TOKENS", tokens)
        same(LanguageModel(folder).statistics(TEXTS), alone)


def test_the_cut_into_positions_does_not_show(folder, monkeypatch):
    expected = LanguageModel(folder).statistics(TEXTS)
    monkeypatch.setattr(language_model, "HEAD_POSITIONS", 7)
    monkeypatch.setattr(language_model, "CPU_ROWS", 3)
    same(LanguageModel(folder).statistics(TEXTS), expected)


def test_the_unembedding_never_sees_padding_or_the_first_token(folder, monkeypatch):
    model = LanguageModel(folder)
    seen = []
    logits = model._logits
    monkeypatch.setattr(model, "_logits", lambda hidden: (seen.append(len(hidden)), logits(hidden))[1])
    found = model.statistics(["ab", "a much longer text " * 40])
    assert sum(seen) == sum(map(len, found))
    assert max(seen) <= language_model.HEAD_POSITIONS


def counted(model, monkeypatch):
    """Texts that went through the model."""
    passed = []
    forward = model._forward
    monkeypatch.setattr(model, "_forward", lambda rows: (passed.extend(rows), forward(rows))[1])
    return passed


def test_every_text_is_computed_once(folder, monkeypatch):
    model = LanguageModel(folder)
    passed = counted(model, monkeypatch)
    first = model.statistics(["one text", "another", "one text", "one text"])
    assert len(passed) == 2
    again = model.statistics(["another", "one text", "a third"])
    assert len(passed) == 3
    assert first[0] is first[2] is again[1]


def test_a_forgotten_text_is_computed_again_with_the_same_result(folder, monkeypatch):
    model = LanguageModel(folder)
    model._cache = language_model.StatisticsCache(limit=1)
    passed = counted(model, monkeypatch)
    same(model.statistics(["one text"]), model.statistics(["one text"]), 0)
    assert len(passed) == 2


def test_odd_texts_fail_one_by_one(folder):
    texts = ["", " \n\t ", "a", 3, None, "a fine text", b"bytes"]
    found = LanguageModel(folder).statistics(texts)
    assert [f.kind for f in found if isinstance(f, Failure)] == [
        "empty",
        "empty",
        "too-short",
        "not-text",
        "not-text",
        "not-text",
    ]
    assert [f.index for f in found if isinstance(f, Failure)] == [0, 1, 2, 3, 4, 6]
    assert all("\n" not in f.message for f in found if isinstance(f, Failure))


@pytest.mark.parametrize(
    "text", ["\0\0\0", "lone \ud800 surrogate", "🙂🙂", "שלום עולם", "\u202eright to left"]
)
def test_odd_characters_are_scored(folder, text):
    [found] = LanguageModel(folder).statistics([text])
    assert np.isfinite(np.concatenate(fields(found))).all()


def test_no_texts(folder):
    assert LanguageModel(folder).statistics([]) == []


def test_markup_in_a_text_is_ordinary_text(folder):
    [found] = LanguageModel(folder).statistics(["a<|im_end|>b"])
    assert len(found) == len("a<|im_end|>b") - 1


def test_long_texts_are_cut_before_they_cost_anything(folder, monkeypatch):
    model = LanguageModel(folder, max_tokens=16)
    longest = []
    inner = model._tokenizer
    monkeypatch.setattr(
        model, "_tokenizer", lambda texts, **options: (longest.extend(texts), inner(texts, **options))[1]
    )
    long, short = model.statistics(["ab" * 500_000, "ab" * 8])
    assert max(map(len, longest)) < 1_000
    assert (long.truncated, short.truncated) == (True, False)
    assert len(long) == len(short) == 15
    same([long], [short])


def test_the_limit_is_never_beyond_the_models_context(folder):
    assert LanguageModel(folder, max_tokens=10**9).max_tokens == 4096
    assert LanguageModel(folder, max_tokens=1).max_tokens == 2


def test_a_crash_costs_only_the_text_that_crashes(folder, monkeypatch):
    model = LanguageModel(folder)
    expected = LanguageModel(folder).statistics(TEXTS)
    poison = model._tokenizer("#", add_special_tokens=False)["input_ids"][0]
    hidden = model._hidden

    def crashing(ids, mask):
        if len(ids) > 3 or (ids == poison).any():
            raise RuntimeError("out of memory\nand more")
        return hidden(ids, mask)

    monkeypatch.setattr(model, "_hidden", crashing)
    found = model.statistics([*TEXTS, "the # text"])
    same(found[:-1], expected)
    assert found[-1] == Failure(
        index=len(TEXTS),
        owner="language-model",
        kind="crashed",
        message="the language model failed: out of memory",
    )


def test_values_that_are_not_finite_are_no_result(folder, monkeypatch):
    model = LanguageModel(folder)
    hidden = model._hidden
    monkeypatch.setattr(model, "_hidden", lambda ids, mask: hidden(ids, mask) * float("nan"))
    [found] = model.statistics(["a text"])
    assert (found.kind, found.index) == ("not-finite", 0)
    monkeypatch.setattr(model, "_hidden", hidden)
    assert not isinstance(model.statistics(["a text"])[0], Failure), "a failure must not be remembered"


def test_one_instance_a_reference_and_limit(folder):
    model = shared_language_model(folder)
    assert shared_language_model(folder) is model
    other = shared_language_model(folder, max_tokens=64)
    assert other is not model
    assert other._model is model._model
    assert not any(p.requires_grad for p in model._model.parameters())
    assert not model._model.training


def test_half_precision_gives_full_numbers_of_its_own(folder):
    full = LanguageModel(folder).statistics(TEXTS)
    model = LanguageModel(folder, precision="fp16")
    assert model._model.dtype == torch.float16
    found = model.statistics(TEXTS)
    assert {array.dtype for item in found for array in fields(item)} == {np.dtype("f4"), np.dtype("i4")}
    ours, exact = ([item.logprob.mean() for item in items] for items in (found, full))
    np.testing.assert_allclose(ours, exact, atol=0.1)


def save(model, folder):
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def test_other_architectures(tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=len(tokenizer()), initializer_range=0.3)
    folder = save(GPT2LMHeadModel(config), tmp_path / "gpt2")
    qwen = str(save_tiny_model(tmp_path / "qwen", qwen=True))
    for reference in (folder, qwen):
        [found] = LanguageModel(reference).statistics(["Some text."])
        for ours, theirs in zip(fields(found), slow_reference(reference, "Some text."), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=0)


def test_a_model_that_transforms_its_logits_is_refused(tmp_path):
    config = Gemma2Config(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.3,
        final_logit_softcapping=1.0,
    )
    folder = save(Gemma2ForCausalLM(config), tmp_path / "gemma")
    with pytest.raises(ModelError, match="transforms its logits"):
        LanguageModel(folder)
