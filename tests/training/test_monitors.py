"""Monitors speak beyond their bound, at it they are silent; a saved run gives the alarms of the live one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import dumps
from paraphrase_rl.recipe.monitors import COMPUTED, PUBLISHED, in_force
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.training.monitors import Monitors, Rule, one_sided_gain, rules_for, unmeasured
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
    "copying": ("format_no_copy", 0.9, 5, "+"),
    "reasoning-leaks": ("format_no_reasoning", 0.95, 5, "+"),
    "one-sided-gain": ("one_sided_gain", 0.15, 5, "-"),
    "plateau": ("reward_gain", 0.02, 500, "+"),
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


@pytest.mark.parametrize(
    "rule", [r for r in RULES_HERE if r.metric not in COMPUTED], ids=lambda rule: rule.name
)
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


def test_a_one_sided_gain_is_the_smaller_of_the_largest_rise_and_the_largest_fall() -> None:
    first = [{"a": 0.4, "b": 0.9, "c": 0.5}, {"a": 0.6, "b": 0.7, "c": math.nan}]
    terms = ["a", "b", "c"]
    assert one_sided_gain(first, {"a": 0.8, "b": 0.7, "c": 0.5}, terms) == pytest.approx(
        0.1
    )  # 0.3 up, 0.1 down
    assert one_sided_gain(first, {"a": 0.9, "b": 0.9, "c": 0.9}, terms) == pytest.approx(
        -0.1
    )  # all have risen
    assert one_sided_gain(first, {"a": 0.1, "b": 0.8, "c": 0.5}, terms) == pytest.approx(0)  # none has risen
    assert one_sided_gain(first, {"a": 0.8, "b": None, "c": 0.5}, terms) == pytest.approx(
        0
    )  # b is not known now
    assert math.isnan(one_sided_gain(first, {"a": 0.8}, terms)), "one term is on no side"


def test_one_term_at_the_expense_of_another_is_an_alarm_and_a_gate_is_no_term() -> None:
    terms = [*TERMS, RewardTerm(name="evasion", role="evasion", metric="detector_reward")]
    start = {"detector_reward": 0.3, "semantic_reward": 0.95, "format_rate": 0.5}
    hacked = {"detector_reward": 0.6, "semantic_reward": 0.75, "format_rate": 1.0}
    rule = next(rule for rule in rules_for(terms) if rule.name == "one-sided-gain")
    assert list(alarms_of([start] * 5 + [hacked] * 5, [rule], terms)) == ["one-sided-gain"]
    assert alarms_of([start] * 5 + [{**hacked, "semantic_reward": 0.85}] * 5, [rule], terms) == {}
    assert alarms_of([start] * 5 + [{**start, "format_rate": 1.0}] * 5, [rule], TERMS) == {}


def plateaus(rewards: Sequence[float]) -> list[int]:
    """Steps at which the published rule says that a run learns nothing."""
    [rule] = [rule for rule in RULES_HERE if rule.name == "plateau"]
    monitors = Monitors([rule])
    return [
        alarm.step
        for step, reward in enumerate(rewards, 1)
        for alarm in monitors.look(step, {"reward_mean": reward})
    ]


def test_the_gain_of_the_reward_is_that_over_the_mean_of_the_first_20_steps() -> None:
    rows = [{"reward_mean": 0.4 if step % 2 else 0.6} for step in range(20)]
    monitors = Monitors([])
    monitors.restore(enumerate(rows[:19], 1))
    assert math.isnan(monitors.value(18, "reward_gain")), "the start is not known before"
    monitors = Monitors([])
    monitors.restore(enumerate([*rows, {"reward_mean": 0.7}, {"reward_mean": None}, {}], 1))
    assert monitors.value(20, "reward_gain") == pytest.approx(0.2)
    assert monitors.value(0, "reward_gain") == pytest.approx(0.1)
    assert math.isnan(monitors.value(21, "reward_gain"))
    assert math.isnan(monitors.value(22, "reward_gain"))


def test_a_reward_that_has_risen_by_less_than_a_tenth_of_the_published_rise_is_a_plateau() -> None:
    """By hand: over 500 steps, 480 of them after the start, a rise of 0.02 is 0.0192, and one of 0.021 is 0.02016."""
    assert plateaus([0.5] * 499) == [], "a short run is none"
    assert plateaus([0.5] * 1000) == [500]
    assert plateaus([0.5] * 20 + [0.52] * 480) == [500]
    assert plateaus([0.5] * 20 + [0.521] * 980) == []
    assert plateaus([0.5] * 20 + [0.71] * 480 + [0.5] * 500) == [953], "47 of 500 steps are 0.21 above"


@pytest.mark.parametrize("steps", [10, 300, 1000])
def test_the_published_rise_is_no_plateau(steps: int) -> None:
    """From 0.5 to 0.7 in 3,468 steps, two thirds of the rise in so many."""
    assert plateaus([0.7 - 0.2 * math.exp(-step / steps) for step in range(3468)]) == []


def test_a_rise_as_slow_as_a_straight_line_is_warned_of_once() -> None:
    assert plateaus([0.5 + 0.2 * step / 3468 for step in range(3468)]) == [500]


def walked(rule: Rule, values: Sequence[float], to: int | None = None) -> list[tuple[int, str]]:
    """What a rule does at which step, on a metric ``x``."""
    monitors = Monitors([rule])
    return [
        (step, monitors.done(alarm, to).action)
        for step, value in enumerate(values, start=1)
        for alarm in monitors.look(step, {"x": value})
    ]


def test_a_rule_that_warns_does_so_once_until_its_metric_is_back() -> None:
    values = [1, 1, 0, 1, 1, 0, 0, 1]
    assert walked(Rule("r", "x", low=0.5), values) == [(3, "warn"), (6, "warn")]
    assert walked(Rule("r", "x", low=0.5, action="note"), values) == [(3, "note"), (6, "note")]


def test_a_rule_that_acts_looks_at_later_steps_and_ends_at_its_limit() -> None:
    rule = Rule("r", "x", high=0.5, patience=2, action="raise-kl", multiplier=2.0, limit=2)
    did = walked(rule, [1] * 9)
    assert did == [(2, "raise-kl"), (4, "raise-kl"), (6, "warn")]
    assert walked(rule, [1, 1, 0, 0, 1, 1, 1, 1]) == [(2, "raise-kl"), (6, "raise-kl"), (8, "warn")]


def test_scales_of_several_rules_multiply() -> None:
    rules = [
        Rule(name, "x", high=0, action=action, multiplier=factor, limit=1)
        for name, action, factor in (("a", "raise-kl", 2.0), ("b", "raise-kl", 3.0), ("c", "lower-rate", 0.5))
    ]
    monitors = Monitors(rules)
    messages = [monitors.done(alarm).message for alarm in monitors.look(1, {"x": 1})]
    assert (monitors.kl_scale, monitors.rate_scale) == (6.0, 0.5)
    assert messages[1] == "x 1 is above 0: KL coefficient times 3, now 6 times the recipe's"


def test_after_a_roll_back_no_rule_looks_back() -> None:
    back = Rule("back", "x", high=0.5, patience=2, action="roll-back", limit=9)
    warns = Rule("warns", "x", high=0.5, patience=3)
    monitors = Monitors([back, warns])
    did = []
    for step in range(1, 7):
        for alarm in monitors.look(step, {"x": 1}):
            did.append((step, monitors.done(alarm, 0).rule))
    assert did == [(2, "back"), (4, "back"), (6, "back")]
    assert monitors.abandoned == [(0, 2), (0, 4), (0, 6)]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_restored_state_goes_on_as_if_nothing_had_been(cut: int) -> None:
    rules = [
        Rule("a", "x", high=0.5, patience=2, action="lower-rate", multiplier=0.5, limit=2),
        Rule("b", "x", high=0.5, patience=3, action="roll-back", limit=1),
        Rule("c", "y", low=0.2),
    ]
    rows = [{"x": 1.0 if step % 5 else 0.0, "y": (step % 3) / 4} for step in range(1, 13)]

    def go(monitors: Monitors, steps: range) -> list[dict[str, object]]:
        return [
            {"event": "monitor", **monitors.done(alarm, 0).event()}
            for step in steps
            for alarm in monitors.look(step, rows[step - 1])
        ]

    whole = Monitors(rules)
    first = go(whole, range(1, cut + 1))
    restored = Monitors(rules)
    restored.restore(enumerate(rows[:cut], start=1), [json.loads(json.dumps(event)) for event in first])
    assert go(restored, range(cut + 1, 13)) == go(whole, range(cut + 1, 13))
    assert (restored.rate_scale, restored.abandoned) == (whole.rate_scale, whole.abandoned)


@pytest.mark.parametrize("scale", [0, -1, math.inf, math.nan])
def test_an_event_with_an_impossible_scale_is_refused(scale: float) -> None:
    event = {"event": "monitor", "step": 1, "rule": "a", "action": "lower-rate", "scale": scale}
    with pytest.raises(RunError, match=r"events\.jsonl: a monitor cannot have scale"):
        Monitors([Rule("a", "x", high=0)]).restore([(1, {"x": 0})], [event])


def test_a_rule_of_ones_own_that_can_find_nothing_is_named() -> None:
    given = Recipe(
        monitors={
            "typo": {"metric": "kl_refrence", "high": 1},
            "fair": {"metric": "role:fairness", "low": 0.5},
            "gain": {"metric": "one_sided_gain", "high": 0.3},
            "format": {"metric": "role:validity:no_lists", "low": 0.5},
        }
    ).monitors
    metrics = {"kl_reference": 0.1, "format_rate": 1.0, "reward_mean": 0.5}
    assert unmeasured(given, rules_for(TERMS, given), metrics) == [
        "monitor typo is off: no step measures kl_refrence; did you mean kl_reference?",
        "monitor fair is off: no reward term has the role fairness",
        "monitor format is off: no step measures format_no_lists; did you mean format_rate?",
    ]


# ---- after a warm-up


@pytest.mark.parametrize(
    ("reference", "given", "judged"),
    [
        ("base", {}, "kl_reference"),
        ("warmup", {}, "kl_warmup"),
        ("warmup", {"far-from-base": {"high": 0.3}}, "kl_warmup"),
        ("warmup", {"far-from-base": {"metric": "kl_post_train"}}, "kl_post_train"),
    ],
)
def test_far_from_base_judges_the_policy_that_the_penalty_holds_on_to(
    reference: str, given: dict[str, Any], judged: str
) -> None:
    recipe = Recipe.model_validate(
        {"warmup": {"method": "best-of-n"}, "kl": {"reference": reference}, "monitors": given}
    )
    rules = rules_for(TERMS, in_force(recipe.monitors, recipe.kl.reference))
    [rule] = [rule for rule in rules if rule.name == "far-from-base"]
    assert rule.metric == judged
    assert rule.high == (0.3 if "high" in given.get("far-from-base", {}) else 0.5)
    rows = [{"kl_reference": 2.0, "kl_warmup": 0.1, "kl_post_train": 0.0}] * 5
    assert ("far-from-base" in alarms(rows, rules)) is (reference == "base")


def test_a_rule_of_ones_own_looks_at_the_metric_that_it_names() -> None:
    own = {"mine": {"metric": "kl_reference", "high": 0.5}}
    recipe = Recipe.model_validate(
        {"warmup": {"method": "best-of-n"}, "kl": {"reference": "warmup"}, "monitors": own}
    )
    rules = rules_for(TERMS, in_force(recipe.monitors, "warmup"))
    assert next(rule for rule in rules if rule.name == "mine").metric == "kl_reference"
    off = Recipe.model_validate({**recipe.model_dump(), "monitors": {"far-from-base": None}})
    assert in_force(off.monitors, "warmup")["far-from-base"] is None
