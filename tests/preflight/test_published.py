"""The contradictions of the published recipe: the finding that says each, where the published value is planted.

The first fourteen are the points of the recipe's own section "where the recipe is wrong", in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import RULES, preflight
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.preflight.inspection import prices_of
from paraphrase_rl.preflight.published import CONTRADICTIONS
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from tests.preflight.planted import (
    MODEL,
    TRIAL,
    Around,
    at_service,
    check,
    corpus,
    sound,
    tried,
)

PUBLISHED_MODEL = "Qwen/Qwen3-4B-Instruct-2507"


def writers() -> Corpus:
    """Texts of which 31 in 1,000 are by second-language writers."""
    documents = [
        replace(document, group="non-native" if i % 1000 < 31 else "native")
        for i, document in enumerate(corpus(train=300, test=100, calibration=100, words=30).documents)
    ]
    return Corpus(tuple(documents), "made-up", "")


def long_run() -> Sequence[Finding]:
    """As many steps as the published run, on a model whose sizes say nothing of its seconds."""
    data = corpus(train=4625, test=100, calibration=100, words=3)
    return check(["training.epochs=3"], data, model_info=ModelInfo(2560, "qwen3"))


def retired(monkeypatch: pytest.MonkeyPatch, _: Path) -> Sequence[Finding]:
    prices = prices_of(default_registry(), "tinker", None)
    return at_service(monkeypatch, {"Qwen/Qwen3.5-4B": None}, [f"model={PUBLISHED_MODEL}"], prices=prices)


def its_own_model(*_: object) -> Sequence[Finding]:
    info = find_model(PUBLISHED_MODEL).info
    assert isinstance(info, ModelInfo)
    return preflight(
        Case(loaded=load_recipe("recipe"), registry=default_registry(), corpus=sound(), model_info=info)
    )


SAID: tuple[tuple[str, Around, str, str], ...] = (
    # what the published recipe says begins so; the published value; the finding that says what holds; its words
    (
        "final KL below 0.01",
        lambda *_: check(["acceptance.kl_reference=0.01"]),
        "PRL112",
        "a policy that evades 60 % of detections sits at 0.02 to 1 nats a token",
    ),
    (
        "a learning rate by a formula",
        lambda *_: check(["training.learning_rate=2.8e-3"]),
        "PRL022",
        "collapsed within 11 steps at ten times its rate",
    ),
    (
        "attack success rate = 1 - TPR",
        lambda *_: tried(replace(TRIAL, flagged="AI calibration texts flagged: log-likelihood 34%")),
        "PRL127",
        "flagged: log-likelihood 34%",
    ),
    (
        "advantages are clipped at 10",
        lambda *_: check(["grpo.advantage_clip=10.0"]),
        "PRL026",
        "10 has no effect: at group size 8 no advantage exceeds 2.47",
    ),
    (
        "top_p 0.95",
        lambda *_: check(["sampling.top_p=0.95"]),
        "PRL025",
        "0.95 samples from a truncated distribution",
    ),
    (
        "no credit below a similarity of 0.90",
        lambda *_: check(["rewards.semantic-similarity.floor=0.9"]),
        "PRL045",
        "pays nothing below 0.9, acceptance.meaning is 0.88",
    ),
    ("rewards as running z-scores", lambda *_: check(), "PRL035", "an invalid output gets a total of 0"),
    (
        "similarity 0.90 means",
        lambda *_: check(["rewards.fluency.weight=0"]),
        "PRL047",
        "perplexity grows 5.6-fold",
    ),
    (
        "40 % of the texts",
        lambda *_: check(data=writers()),
        "PRL057",
        "shares of groups: native 96.9%, non-native 3.1%",
    ),
    ("2 to 3 hours", lambda *_: long_run(), "PRL101", "29 to 241, at the 30 to 250 s per step"),
    (
        "checkpoints are .pt files",
        lambda monkeypatch, _: at_service(monkeypatch, {MODEL: None}),
        "PRL069",
        "at the service, none on disk",
    ),
    (PUBLISHED_MODEL.partition("/")[2], retired, "PRL014", "retired on 2026-06-12"),
    (
        "the lower P(AI), the better",
        lambda *_: check(["rewards.detector-evasion.options.shape=probability"]),
        "PRL048",
        "detector-evasion rises down to a P(AI) of 0",
    ),
    (
        "the mean over an ensemble",
        lambda *_: tried(replace(TRIAL, little_to_evade="flagged: log-likelihood 5%; choose others")),
        "PRL128",
        "high and flat from the first step",
    ),
    (
        "group size 4 in the YAML",
        lambda *_: check(["training.group_size=4", "grpo.advantage_clip=1.4"]),
        "PRL032",
        "4 rollouts a prompt, not 8",
    ),
    ("hidden size 3584", its_own_model, "PRL020", "hidden size 2560"),
)


def test_there_are_sixteen_and_each_has_its_place() -> None:
    assert len(CONTRADICTIONS) == len({one.says for one in CONTRADICTIONS}) == len(SAID) == 16
    for one, (says, _, code, _) in zip(CONTRADICTIONS, SAID, strict=True):
        assert one.says.startswith(says)
        assert code in one.codes
        assert set(one.codes) <= set(RULES)


@pytest.mark.parametrize("says", [says for says, *_ in SAID])
def test_a_contradiction_is_said(says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [(planted, code, words)] = [(planted, code, words) for name, planted, code, words in SAID if name == says]
    found = [finding for finding in planted(monkeypatch, tmp_path) if finding.code == code]
    assert found, code
    assert any(words in f"{finding.evidence} {finding.meaning}" for finding in found), found[0]


def test_what_else_is_said_of_it() -> None:
    """The other codes of a contradiction say it too: every one is named by its meaning."""
    assert "(cos + 1) / 2" in RULES["PRL110"].meaning
    assert "1 - TPR is above 60 % for many detectors before any attack" in RULES["PRL110"].meaning
    assert "without any attack" in RULES["PRL127"].meaning
    assert "which makes 29 to 241 hours" in RULES["PRL101"].meaning
    assert "3.1 %" in RULES["PRL057"].meaning
    assert "4 in its YAML, 8 in its prose" in RULES["PRL032"].meaning.replace("  ", " ")
