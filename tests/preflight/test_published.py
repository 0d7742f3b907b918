"""The published recipe's contradictions: each shows in a check, by the published value where a key can hold it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import RULES, preflight
from paraphrase_rl.preflight.published import CONTRADICTIONS
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from tests.preflight.test_planted_mistakes import DATA, ELSEWHERE, KEYS, check, sound

BY_KEY = {
    # the value that was published: the finding that it gives
    "acceptance.kl_reference=0.01": "PRL112",
    "training.learning_rate=2.8e-3": "PRL022",
    "grpo.advantage_clip=10.0": "PRL026",
    "sampling.top_p=0.95": "PRL025",
    "rewards.semantic-similarity.floor=0.9": "PRL045",
    "rewards.fluency.weight=0": "PRL047",
    "rewards.detector-evasion.options.shape=probability": "PRL048",
    "training.group_size=4": "PRL032",
}
MEASURED = {"PRL125", "PRL127"}
"""Findings of a trial, see test_trial.py."""


def test_there_are_sixteen() -> None:
    assert len(CONTRADICTIONS) == len({one.says for one in CONTRADICTIONS}) == 16
    assert {code for one in CONTRADICTIONS for code in one.codes} <= set(RULES)


@pytest.mark.parametrize("value", BY_KEY)
def test_a_published_value_gives_its_finding(value: str) -> None:
    said = [finding for finding in check([value]) if finding.code == BY_KEY[value]]
    assert said, value
    assert BY_KEY[value] in {code for one in CONTRADICTIONS for code in one.codes}


def test_each_shows_in_the_published_recipe_or_where_its_mistake_is_planted() -> None:
    shown = (
        set(BY_KEY.values()) | {code for _, code, _ in KEYS.values()} | {code for _, code in DATA.values()}
    )
    shown |= set(ELSEWHERE) | MEASURED
    registry, info = default_registry(), find_model("Qwen/Qwen3-4B-Instruct-2507").info
    for backend in ("trl", "tinker"):
        case = Case(
            loaded=load_recipe("recipe"), registry=registry, corpus=sound(), backend=backend, model_info=info
        )
        shown |= {finding.code for finding in preflight(case)}
    hidden = [one.says for one in CONTRADICTIONS if not shown & set(one.codes)]
    assert hidden == []


def test_the_hidden_size_is_the_models_own() -> None:
    info = find_model("Qwen/Qwen3-4B-Instruct-2507").info
    assert isinstance(info, ModelInfo)
    case = Case(loaded=load_recipe("recipe"), registry=default_registry(), model_info=info)
    [rate] = [finding.evidence for finding in preflight(case) if finding.code == "PRL020"]
    assert "hidden size 2560" in rate


def test_every_trial_finding_that_is_only_measured_is_tested_there() -> None:
    there = (Path(__file__).parent / "test_trial.py").read_text(encoding="utf-8")
    assert set(re.findall(r"PRL\d{3}", there)) >= MEASURED
