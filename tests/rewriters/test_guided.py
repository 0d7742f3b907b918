"""`guided-decoding` against the published algorithm, written out without cache, batches or shortcuts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.rewriters._texts import OneByOne
from paraphrase_rl_plugins.rewriters.guided_decoding import NAME, GuidedDecoder

from paraphrase_rl.detection.ensemble import CalibratedEnsemble, Member
from paraphrase_rl.errors import UsageError
from paraphrase_rl.models.chat import Chat
from paraphrase_rl.models.references import load_causal_lm, load_tokenizer
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.prompt import Prompt
from paraphrase_rl.recipe.schema import Sampling
from paraphrase_rl.testing import FakeDetector, RewriterContract
from paraphrase_rl.types import Failure, Rewrite, Scores
from tests.tiny_model import save_tiny_model

PROMPT = Prompt(system="s", instruction="i")


class Recording(FakeDetector):
    """Scores by digest, and remembers what it was shown."""

    def __init__(self):
        self.calls = []

    def score(self, texts):
        self.calls.append(list(texts))
        return super().score(texts)


class Nothing:
    """A detector that can score no text."""

    def score(self, texts):
        return Scores(
            np.full(len(texts), np.nan),
            tuple(Failure(index=i, owner="n", kind="too-short", message="short") for i in range(len(texts))),
        )


class Length:
    """Longer texts are more like an AI's."""

    def score(self, texts):
        return Scores(np.array([float(len(text)) for text in texts]))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), tied=False)


@pytest.fixture(scope="module")
def model(tiny):
    return load_causal_lm(tiny)


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return load_tokenizer(tiny)


def decoder(model, tokenizer, detector, **changes):
    settings = {"top_k": 6, "top_p": 0.9, "temperature": 0.8, "max_tokens": 10, **changes}
    top_k = settings.pop("top_k")
    return GuidedDecoder(model, Chat(tokenizer, "tiny"), detector, PROMPT, top_k, Sampling(**settings))


def written_out(model, tokenizer, detector, text, *, top_k, top_p, temperature, max_tokens):
    """The paper's algorithm, the whole sequence read anew for every token."""
    prompt, written = Chat(tokenizer, "tiny").prompt(PROMPT.messages(text)), []
    for _ in range(max_tokens):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + written])).logits[0, -1].double().numpy()
        mass = np.exp((logits - logits.max()) / temperature)
        mass /= mass.sum()
        order = sorted(range(len(mass)), key=lambda token: -mass[token])
        kept, before = [], 0.0
        for token in order:
            if before > top_p or len(kept) == top_k:
                break
            kept.append(token)
            before += mass[token]
        shown = [tokenizer.decode([*written, token], skip_special_tokens=True) for token in kept]
        scores = [detector.score([one]).values[0] for one in shown]
        known = [i for i, score in enumerate(scores) if np.isfinite(score)]
        chosen = min(known, key=lambda i: (scores[i], i)) if known and len(kept) > 1 else 0
        written.append(kept[chosen])
        if written[-1] == tokenizer.eos_token_id:
            break
    return tokenizer.decode(written, skip_special_tokens=True), written[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 6, "top_p": 0.9, "temperature": 0.8, "max_tokens": 10},
        {"top_k": 50, "top_p": 0.5, "temperature": 1.5, "max_tokens": 7},
        {"top_k": 2, "top_p": 1.0, "temperature": 0.3, "max_tokens": 12},
    ],
)
def test_it_is_the_published_algorithm(model, tokenizer, settings):
    for text in ("one", "Another text, longer than the first."):
        expected = written_out(model, tokenizer, FakeDetector(), text, **settings)
        (found,) = decoder(model, tokenizer, FakeDetector(), **settings).rewrite(text, 1, 0)
        assert (found.text, found.finished) == expected


def test_the_candidates_of_a_token_are_scored_in_one_call(model, tokenizer):
    detector = Recording()
    (found,) = decoder(model, tokenizer, detector).rewrite("one", 1, 0)
    assert 0 < len(detector.calls) <= 10
    assert all(2 <= len(call) <= 6 for call in detector.calls)
    lengths = [min(map(len, call)) for call in detector.calls]
    assert lengths == sorted(lengths)
    assert found.text in detector.calls[-1]


def test_one_candidate_needs_no_detector(model, tokenizer):
    detector = Recording()
    decoder(model, tokenizer, detector, top_k=1).rewrite("one", 1, 0)
    assert detector.calls == []


def test_what_cannot_be_scored_does_not_win(model, tokenizer):
    plain = decoder(model, tokenizer, Recording(), top_k=1).rewrite("one", 1, 0)
    assert decoder(model, tokenizer, Nothing()).rewrite("one", 1, 0) == plain


def test_the_end_of_the_text_competes_as_the_text_as_it_stands(model, tokenizer):
    """A detector that dislikes every further letter ends the text at once; nothing of the markup is in it."""
    (found,) = decoder(model, tokenizer, Length(), top_k=300, top_p=1.0).rewrite("one", 1, 0)
    assert found == Rewrite(text="", finished=True)


def test_nothing_is_sampled(model, tokenizer):
    made = decoder(model, tokenizer, FakeDetector())
    first = made.rewrite("one", 3, 0)
    assert len(first) == 3
    assert len(set(first)) == 1
    assert made.rewrite("one", 1, 99) == first[:1]


def test_a_text_without_room_for_its_rewrite_fails_alone(model, tokenizer):
    rewriter = OneByOne(NAME, decoder(model, tokenizer, FakeDetector()).rewrite)
    good, long, empty = rewriter.rewrite(["one", "x" * 5000, ""], 1, 0)
    assert isinstance(good, list)
    assert (long.index, long.kind, empty.index, empty.kind) == (1, "too-long", 2, "empty")
    assert re.search(r"prompt of \d+ tokens and 10 more do not fit the model's context of 4096", long.message)


def test_without_a_name_the_ensembles_first_detector_guides(tiny, model, tokenizer):
    guide = Recording()
    members = [
        Member(name="guide", detector=guide, calibration=None, weight=0.0),
        Member(name="other", detector=None, calibration=None, weight=0.0),
    ]
    options = {"model": str(tiny), "max_tokens": 3, "top_k": 4}
    context = Context(ensemble=CalibratedEnsemble(members))
    assert default_registry().build("rewriters", NAME, options, context).rewrite(["one"], 1, 0)
    assert guide.calls
    for nobody in (Context(), Context(ensemble=CalibratedEnsemble([]))):
        with pytest.raises(UsageError, match="needs a detector, and") as error:
            default_registry().build("rewriters", NAME, options, nobody)
        assert "-o detector=" in error.value.hint


class TestItKeepsTheContract(RewriterContract):
    texts = ("One short text.", "Another one.")

    @pytest.fixture(autouse=True)
    def _on(self, model, tokenizer):
        self.made = OneByOne(NAME, decoder(model, tokenizer, FakeDetector(), top_k=3, max_tokens=3).rewrite)

    def component(self):
        return self.made


@pytest.mark.models
def test_on_the_packaged_model_it_writes_what_its_detector_finds_less_ai_like():
    registry = default_registry()
    text = "The harbour office counted 214 boats in June, nine more than a year ago."
    options = {"detector": {"name": "log-likelihood"}, "max_tokens": 10, "top_k": 5}
    detector = registry.build("detectors", "log-likelihood")
    ((guided,),) = registry.build("rewriters", NAME, options).rewrite([text], 1, 0)
    ((greedy,),) = registry.build("rewriters", NAME, {**options, "top_k": 1}).rewrite([text], 1, 0)
    scores = detector.score([guided.text, greedy.text]).values
    assert scores[0] < scores[1]
    assert guided.text.strip()
