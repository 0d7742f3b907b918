"""The total: a weighted mean, 0 when a gate says so, nothing where a term failed; a broken reward is contained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.errors import CalibrationError, PluginError, RecipeError
from paraphrase_rl.files import dumps
from paraphrase_rl.plugin.isolation import IsolatedReward, Origin
from paraphrase_rl.plugin.rated import RewardOutcome
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.training.reward import ComposedReward, WeightedReward, build_reward
from paraphrase_rl.types import Failure, RewardBatch, Terms
from tests.rewards.samples import PARAPHRASE, SOURCE, TableEnsemble, make_batch


class Field:
    """Reads its value for each rewrite from the rewrite itself, a JSON object; ``null`` fails, ``"crash"`` crashes."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.calls: list[int] = []

    def __call__(self, batch: RewardBatch) -> Terms:
        self.calls.append(len(batch))
        found = [json.loads(rewrite)[self.key] for rewrite in batch.rewrites]
        if "crash" in found:
            raise ZeroDivisionError("divided\nby zero")
        values = np.array([np.nan if value is None else value for value in found], dtype=np.float64)
        failures = tuple(
            Failure(index=i, owner=self.key, kind="unscorable", message="no value")
            for i in np.flatnonzero(np.isnan(values)).tolist()
        )
        return Terms(values, failures, {"twice": values * 2})


def isolated(name: str, reward: Any) -> IsolatedReward:
    return IsolatedReward(reward, Origin(f"reward {name}", name))


def composed(**weights: float) -> ComposedReward:
    """Terms a, b … by weight; ``gate`` is one."""
    return ComposedReward(
        [
            WeightedReward(
                name=k,
                reward=isolated(k, Field(k)),
                weight=w,
                role="validity" if k.startswith("gate") else "other",
            )
            for k, w in weights.items()
        ]
    )


def rated(reward: ComposedReward, rows: Sequence[dict[str, Any]]) -> RewardOutcome:
    return reward(make_batch([json.dumps(row) for row in rows]))


def calls(reward: ComposedReward, name: str) -> list[int]:
    component: Any = next(term.reward for term in reward.terms if term.name == name)
    return list(component.component.calls)


def test_the_total_is_the_weighted_mean() -> None:
    outcome = rated(
        composed(a=1.0, b=1.0, gate=0.5), [{"a": 0.2, "b": 0.9, "gate": 1}, {"a": 1, "b": 1, "gate": 1}]
    )
    np.testing.assert_allclose(outcome.total, [(0.2 + 0.9 + 0.5) / 2.5, 1.0])
    assert outcome.total.dtype == np.float64
    assert outcome.valid.tolist() == [True, True]
    assert outcome.failures == ()


def test_an_invalid_output_is_worth_0_and_costs_no_other_term() -> None:
    reward = composed(a=1.0, gate=0.5)
    outcome = rated(reward, [{"a": 1, "gate": 0}, {"a": 0.4, "gate": 1}, {"a": "crash", "gate": 0}])
    np.testing.assert_allclose(outcome.total, [0.0, (0.4 + 0.5) / 1.5, 0.0])
    assert outcome.valid.tolist() == [False, True, False]
    np.testing.assert_array_equal(outcome.terms["a"], [np.nan, 0.4, np.nan])
    assert outcome.failures == ()
    assert calls(reward, "a") == [1]


def test_where_nothing_is_valid_no_other_term_is_called() -> None:
    reward = composed(a=1.0, gate=0.5)
    outcome = rated(reward, [{"a": 1, "gate": 0}] * 3)
    assert outcome.total.tolist() == [0.0] * 3
    assert calls(reward, "a") == []
    metrics = outcome.metrics()
    assert (metrics["reward_mean"], metrics["reward_std"], metrics["gate_rate"]) == (0.0, 0.0, 0.0)
    assert math.isnan(metrics["a_reward"])
    assert '"a_reward": null' in dumps(metrics)


def test_a_failed_term_leaves_no_total_and_is_counted() -> None:
    outcome = rated(composed(a=1.0, b=1.0), [{"a": 0.5, "b": None}, {"a": 0.5, "b": 0.7}])
    np.testing.assert_allclose(outcome.total, [np.nan, 0.6])
    assert [(f.index, f.owner) for f in outcome.failures] == [(0, "b")]
    assert outcome.metrics()["reward_failures"] == 1
    assert outcome.metrics()["reward_mean"] == pytest.approx(0.6)


def test_failures_keep_their_place_behind_a_gate() -> None:
    rows = [{"a": 1, "gate": 0}, {"a": None, "gate": 1}, {"a": 1, "gate": 1}, {"a": "crash", "gate": 1}]
    outcome = rated(composed(a=1.0, gate=1.0), rows)
    np.testing.assert_array_equal(outcome.total, [0.0, np.nan, 1.0, np.nan])
    assert [(f.index, f.kind) for f in outcome.failures] == [(1, "unscorable"), (3, "crashed")]


def test_a_gate_that_fails_gives_no_total_unless_another_says_0() -> None:
    reward = composed(gate_one=1.0, gate_two=1.0, a=1.0)
    rows = [{"gate_one": None, "gate_two": 1, "a": 1}, {"gate_one": None, "gate_two": 0, "a": 1}]
    outcome = rated(reward, rows)
    np.testing.assert_array_equal(outcome.total, [np.nan, 0.0])
    assert outcome.valid.tolist() == [False, False]
    assert calls(reward, "a") == []


def test_a_crash_costs_only_the_item_it_crashed_on() -> None:
    outcome = rated(composed(a=1.0), [{"a": 0.1}, {"a": "crash"}, {"a": 0.3}])
    np.testing.assert_allclose(outcome.total, [0.1, np.nan, 0.3])
    assert outcome.failures == (
        Failure(index=1, owner="a", kind="crashed", message="ZeroDivisionError: divided by zero"),
    )
    np.testing.assert_allclose(outcome.details["a_twice"], [0.2, np.nan, 0.6])


def test_a_reward_that_crashes_on_every_item_stops_the_run_by_name() -> None:
    with pytest.raises(PluginError, match="reward a crashes on each of 3 items: ZeroDivisionError") as caught:
        rated(composed(a=1.0, b=1.0), [{"a": "crash", "b": 1}] * 3)
    assert caught.value.hint
    lonely = rated(composed(a=1.0), [{"a": "crash"}])
    assert [f.kind for f in lonely.failures] == ["crashed"]


def test_what_a_reward_says_about_the_whole_call_is_passed_on() -> None:
    def refuses(batch: RewardBatch) -> Terms:
        raise CalibrationError("no P(AI)", "calibrate")

    with pytest.raises(CalibrationError, match="no P"):
        ComposedReward([WeightedReward(name="a", reward=refuses, weight=1.0)])(make_batch(["x", "y"]))


BROKEN: dict[str, Callable[[RewardBatch], Any]] = {
    "too short": lambda batch: Terms(np.zeros(len(batch) - 1)),
    "two dimensions": lambda batch: Terms(np.zeros((len(batch), 1))),
    "out of range": lambda batch: Terms(np.full(len(batch), 1.5)),
    "negative": lambda batch: Terms(np.full(len(batch), -0.1)),
    "float32": lambda batch: Terms(np.zeros(len(batch), np.float32)),
    "NaN without a Failure": lambda batch: Terms(np.full(len(batch), np.nan)),
    "a list": lambda batch: [0.5] * len(batch),
    "details": lambda batch: Terms(np.zeros(len(batch)), details={"x": np.zeros(1)}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_contract_stops_the_run_by_name(broken: Any) -> None:
    reward = ComposedReward(
        [WeightedReward(name="acme/odd", reward=isolated("acme/odd", broken), weight=1.0)]
    )
    with pytest.raises(
        PluginError, match=r"reward acme/odd (returned|crashes on each of 3 items: ContractError)"
    ):
        reward(make_batch(["x", "y", "z"]))


def test_a_term_of_weight_0_is_watched_and_takes_nothing_away() -> None:
    outcome = rated(composed(a=1.0, b=0.0), [{"a": 0.5, "b": None}, {"a": 0.5, "b": 0.9}])
    assert outcome.total.tolist() == [0.5, 0.5]
    assert len(outcome.failures) == 1
    assert outcome.metrics()["b_reward"] == 0.9
    with pytest.raises(RecipeError, match="positive weight"):
        composed(a=0.0)


unit = st.floats(0, 1)
rows = st.lists(
    st.fixed_dictionaries({"a": unit, "b": unit | st.none(), "gate": st.sampled_from([0, 1])}),
    min_size=1,
    max_size=8,
)


@given(rows, unit, unit, st.floats(0.01, 1))
def test_totals_lie_in_0_to_1_and_invalid_is_never_better_than_valid(
    items: list[dict[str, float]], a: float, b: float, gate: float
) -> None:
    outcome = rated(composed(a=a, b=b, gate=gate), items)
    known = outcome.total[np.isfinite(outcome.total)]
    assert ((known >= 0.0) & (known <= 1.0)).all()
    invalid = [item["gate"] == 0 for item in items]
    assert (outcome.total[invalid] == 0.0).all()
    valid = outcome.total[~np.array(invalid) & np.isfinite(outcome.total)]
    assert (valid > 0.0).all()


@given(rows, st.randoms(use_true_random=False))
def test_each_item_is_worth_the_same_alone_and_in_any_order(
    items: list[dict[str, float]], random: Any
) -> None:
    reward = composed(a=1.0, b=0.3, gate=0.5)
    together = rated(reward, items)
    order = list(range(len(items)))
    random.shuffle(order)
    shuffled = rated(reward, [items[i] for i in order])
    np.testing.assert_allclose(shuffled.total, together.total[order], atol=1e-12)
    alone = RewardOutcome.join([rated(reward, [item]) for item in items])
    np.testing.assert_allclose(alone.total, together.total, atol=1e-12)
    assert alone.failures == tuple(sorted(together.failures, key=lambda f: f.index))
    assert alone.metrics() == pytest.approx(together.metrics(), nan_ok=True)


def test_metrics_by_hand() -> None:
    outcome = rated(
        composed(a=1.0, gate=1.0),
        [{"a": 0.2, "gate": 1}, {"a": 0.6, "gate": 1}, {"a": 1, "gate": 0}, {"a": None, "gate": 1}],
    )
    metrics = outcome.metrics()
    totals = np.array([0.6, 0.8, 0.0])  # the fourth has none
    assert metrics == pytest.approx(
        {
            "reward_mean": totals.mean(),
            "reward_std": math.sqrt(((totals - totals.mean()) ** 2).mean()),
            "a_reward": 0.4,  # over valid rewrites only
            "gate_rate": 0.75,  # over all
            "reward_failures": 1.0,
            "a_twice": 0.8,
            "gate_twice": 1.5,
        }
    )


def test_names_in_the_metrics() -> None:
    terms = [
        WeightedReward(name="acme/long-name", reward=Field("a"), weight=1.0),
        WeightedReward(name="b", reward=Field("b"), weight=1.0, stem="bee"),
    ]
    outcome = rated(ComposedReward(terms), [{"a": 1, "b": 1}])
    assert outcome.metric_names == {"acme/long-name": "long_name_reward", "b": "bee_reward"}
    assert set(outcome.details) == {"long_name_twice", "bee_twice"}
    with pytest.raises(PluginError, match="logged as bee_"):
        ComposedReward([*terms, WeightedReward(name="bee", reward=Field("a"), weight=1.0)])


def test_an_empty_batch_has_an_empty_outcome() -> None:
    reward = composed(a=1.0, gate=1.0)
    outcome = rated(reward, [])
    assert outcome.total.shape == (0,)
    assert calls(reward, "gate") == []
    assert math.isnan(outcome.metrics()["reward_mean"])


CHEAP = ("detector-evasion", "format", "fairness")


def cheap_recipe(**options: Any) -> Recipe:
    """The default terms that load no model."""
    return Recipe.model_validate({"rewards": [{"name": name, **options.get(name, {})} for name in CHEAP]})


def test_the_recipes_weights_and_gate() -> None:
    specs = {
        name: default_registry().spec("rewards", name) for name in (entry.name for entry in Recipe().rewards)
    }
    assert {name: spec.default_weight for name, spec in specs.items()} == {
        "detector-evasion": 1.0,
        "semantic-similarity": 1.0,
        "fluency": 0.5,
        "format": 0.5,
        "fairness": 0.2,
    }
    assert [name for name, spec in specs.items() if spec.gate] == ["format"]
    assert [name for name, spec in specs.items() if spec.needs_groups] == ["fairness"]


def test_a_recipes_reward_with_groups() -> None:
    context = Context(ensemble=TableEnsemble({PARAPHRASE: 0.4}))
    reward = build_reward(cheap_recipe(), default_registry(), context, corpus_has_groups=True)
    assert reward.notes == ()
    outcome = reward(make_batch([PARAPHRASE, PARAPHRASE, SOURCE], groups=["native", "non-native", "native"]))
    np.testing.assert_allclose(outcome.total, [(0.6 + 0.5 + 0.2) / 1.7, (0.6 + 0.5 + 0.2 * 0.6) / 1.7, 0.0])
    metrics = outcome.metrics()
    assert {
        "detector_reward",
        "fairness_reward",
        "format_rate",
        "format_no_copy",
        "detector_p_second_one",
    } <= set(metrics)
    assert metrics["format_no_copy"] == pytest.approx(2 / 3)
    assert metrics["detector_reward"] == pytest.approx(0.6)


def test_fairness_is_off_without_groups_and_says_so() -> None:
    context = Context(ensemble=TableEnsemble({PARAPHRASE: 0.4}))
    reward = build_reward(cheap_recipe(), default_registry(), context, corpus_has_groups=False)
    assert [term.name for term in reward.terms] == ["detector-evasion", "format"]
    assert len(reward.notes) == 1
    assert "fairness is off" in reward.notes[0]
    np.testing.assert_allclose(reward(make_batch([PARAPHRASE])).total, [(0.6 + 0.5) / 1.5])


def test_weights_and_options_come_from_the_recipe() -> None:
    context = Context(ensemble=TableEnsemble({SOURCE: 0.4}))
    recipe = cheap_recipe(format={"weight": 0.0, "options": {"max_copied": 1.0}})
    reward = build_reward(recipe, default_registry(), context, corpus_has_groups=False)
    np.testing.assert_allclose(reward(make_batch([SOURCE])).total, [0.6])
