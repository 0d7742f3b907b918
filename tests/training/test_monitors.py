"""Monitors speak beyond their bound, at it they are silent; a saved run gives the alarms of the live one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import pytest

from paraphrase_rl.files import dumps
from paraphrase_rl.recipe.monitors import PUBLISHED
from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.training.monitors import Rule, rules_for
from paraphrase_rl.training.monitors import alarms as alarms_of

EXPECTED = {
    # rule: metric, bound, window; a healthy run lies above the bound (+) or below it (-)
    "mode-collapse": ("reward_std", 0.05, 5, "+"),
    "few-valid-outputs": ("format_rate", 0.95, 20, "+"),
    "meaning-lost": ("semantic_reward", 0.8, 20, "+"),
    "sampler-mismatch": ("kl_sample_train", 0.01, 1, "-"),  # and -0.01: an estimate may be negative
    "step-too-large": ("kl_post_train", 0.02, 5, "-"),
    "far-from-base": ("kl_reference", 0.5, 5, "-"),
    "no-signal": ("frac_constant_groups", 0.5, 5, "-"),
}


TERMS = (
    RewardTerm(name="semantic-similarity", role="meaning", metric="semantic_reward"),
    RewardTerm(name="format", role="validity", metric="format_rate"),
)
RULES_HERE = rules_for(TERMS)


def alarms(rows: Sequence[Mapping[str, float]], rules: Sequence[Rule] = RULES_HERE) -> dict[str, str]:
    return alarms_of(rows, rules)


def test_the_recipes_rules() -> None:
    assert [rule.name for rule in RULES_HERE] == list(PUBLISHED)
    assert PUBLISHED.keys() == EXPECTED.keys()
    assert {rule.action for rule in RULES_HERE} == {"warn"}
    assert (PUBLISHED["sampler-mismatch"].low, PUBLISHED["sampler-mismatch"].high) == (-0.01, 0.01)


def test_a_rule_about_a_role_watches_every_term_of_it_and_names_it() -> None:
    terms = [
        RewardTerm(name="acme/entails", role="meaning", metric="entails_reward"),
        RewardTerm(name="gist", role="meaning", metric="gist_reward"),
    ]
    rules = {rule.name: rule for rule in rules_for(terms)}
    assert "few-valid-outputs" not in rules, "there is no gate"
    assert rules["meaning-lost"].metric == "entails_reward"
    assert rules["meaning-lost"].advice == "raise the weight of acme/entails"
    assert rules["meaning-lost-gist"].metric == "gist_reward"


@pytest.mark.parametrize("rule", RULES_HERE, ids=lambda rule: rule.name)
def test_each_rule_is_silent_at_its_bound_and_speaks_beyond(rule: Rule) -> None:
    metric, bound, window, healthy = EXPECTED[rule.name]
    beyond = bound + (-0.001 if healthy == "+" else 0.001)
    within = bound + (0.001 if healthy == "+" else -0.001)
    rows = {value: [{metric: value}] * window for value in (within, beyond)}
    assert alarms([{metric: bound}], [Rule("x", metric, "", rule.low, rule.high)]) == {}
    assert alarms(rows[within]) == {}
    found = alarms(rows[beyond])
    assert list(found) == [rule.name]
    assert found[rule.name].startswith(f"{metric} ")
    assert rule.advice in found[rule.name]
    assert alarms(rows[beyond][1:]) == {}, "not before the window is full"
    assert alarms(rows[beyond] + [{metric: within}] * window) == {}, "only the last rows count"


@pytest.mark.parametrize("missing", [None, math.nan, "absent"])
def test_a_missing_value_is_no_alarm(missing: object) -> None:
    row = {} if missing == "absent" else {"semantic_reward": missing}
    assert alarms([row] * 20) == {}
    assert alarms([{"semantic_reward": 0.1}] * 19 + [row]) == {}


def test_a_saved_run_gives_the_alarms_of_the_live_one() -> None:
    live = [
        {"reward_std": 0.04 if step > 10 else 0.2, "semantic_reward": math.nan if step % 7 == 0 else 0.5}
        for step in range(40)
    ]
    saved = [json.loads(dumps(row)) for row in live]
    replayed = [alarms(saved[: step + 1]) for step in range(40)]
    assert replayed == [alarms(live[: step + 1]) for step in range(40)]
    assert [step for step, found in enumerate(replayed) if "mode-collapse" in found] == list(range(15, 40))
