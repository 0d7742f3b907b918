"""The conditional total: meaning is a condition of evasion, not a price that evasion can pay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.training.reward import Combination, ComposedReward, WeightedReward, build_reward
from paraphrase_rl.types import Failure, RewardBatch, Terms
from tests.rewards.samples import PARAPHRASE, SOURCE, UNRELATED, TableEnsemble, make_batch

ROLES = {
    "gate": "validity",
    "alike": "meaning",
    "facts": "meaning",
    "escape": "evasion",
    "fair": "fairness",
    "smooth": "fluency",
    "else": "other",
}
unit = st.floats(0, 1)
values = st.fixed_dictionaries(
    {name: st.sampled_from([0.0, 1.0]) if name == "gate" else unit for name in ROLES}
)
weights = st.fixed_dictionaries({name: st.floats(0.1, 3) for name in ROLES})


class Given:
    """The values that a test gives, one for each rewrite; ``None`` fails."""

    def __init__(self, values: list[float | None]) -> None:
        self.values = values

    def __call__(self, batch: RewardBatch) -> Terms:
        at = [int(rewrite) for rewrite in batch.rewrites]
        found = np.array([np.nan if self.values[i] is None else self.values[i] for i in at], dtype=np.float64)
        return Terms(
            found,
            tuple(
                Failure(index=i, owner="given", kind="unscorable", message="no value")
                for i in np.flatnonzero(np.isnan(found)).tolist()
            ),
        )


def totals(
    rows: list[dict[str, Any]],
    weight: dict[str, float],
    combine: Combination = "conditional",
    ranges: dict[str, tuple[float, float]] | None = None,
) -> np.ndarray:
    terms = []
    for name in rows[0]:
        floor, saturation = (ranges or {}).get(name, (0.0, 1.0))
        terms.append(
            WeightedReward(
                name=name,
                reward=Given([row[name] for row in rows]),
                weight=weight.get(name, 1.0),
                role=ROLES[name],
                floor=floor,
                saturation=saturation,
            )
        )
    return ComposedReward(terms, combine=combine)(make_batch([str(i) for i in range(len(rows))])).total


def test_the_formula_of_the_probe() -> None:
    """total = validity x (.45 m + .45 m e + .10 f), m = (cosine - .50) / .38, e = (1 - P(AI)) / .6, both clipped."""
    rng = np.random.default_rng(0)
    rows = [
        {"gate": float(rng.random() < 0.8), "alike": c, "escape": e, "smooth": f}
        for c, e, f in rng.random((200, 3)).tolist()
    ]
    found = totals(
        rows,
        {"gate": 0.5, "alike": 0.45, "escape": 0.45, "smooth": 0.1},
        ranges={"alike": (0.5, 0.88), "escape": (0.0, 0.6)},
    )
    m = np.clip((np.array([r["alike"] for r in rows]) - 0.5) / 0.38, 0, 1)
    e = np.clip(np.array([r["escape"] for r in rows]) / 0.6, 0, 1)
    f = np.array([r["smooth"] for r in rows])
    valid = np.array([r["gate"] for r in rows])
    np.testing.assert_allclose(found, valid * (0.45 * m + 0.45 * m * e + 0.1 * f), atol=1e-12)


def test_parts_of_the_meaning_cannot_make_up_for_one_another() -> None:
    row = {"alike": 1.0, "facts": 0.25, "escape": 1.0}
    assert totals([row], {"alike": 1, "facts": 1, "escape": 2})[0] == pytest.approx(0.5)  # sqrt(1 x .25)
    assert totals([{**row, "facts": 0.0}], {})[0] == 0.0
    assert totals([{**row, "facts": 0.0}], {"facts": 1}, ranges={"facts": (-1.0, 1.0)})[0] == pytest.approx(
        0.5**0.5
    )


@given(values, weights)
def test_a_total_lies_in_0_to_1_and_an_invalid_output_is_worth_0(row: dict[str, float], weight: Any) -> None:
    total = totals([row], weight)[0]
    assert 0.0 <= total <= 1.0
    assert row["gate"] or total == 0.0
    assert totals([dict.fromkeys(ROLES, 1.0)], weight)[0] == pytest.approx(1.0)


@given(values, weights, st.sampled_from(list(ROLES)), unit)
def test_more_of_any_part_is_never_worth_less(row: Any, weight: Any, name: str, more: float) -> None:
    if name == "gate":
        more = 1.0
    low, high = sorted((row[name], more))
    less, much = totals([{**row, name: low}, {**row, name: high}], weight)
    assert much >= less - 1e-12


@given(values, weights, unit, unit)
def test_without_meaning_evasion_is_worth_nothing(row: Any, weight: Any, one: float, other: float) -> None:
    lost = {**row, "alike": 0.0}
    rows = [{**lost, "escape": one, "fair": other}, {**lost, "escape": other, "fair": one}]
    first, second = totals(rows, weight)
    assert first == second


@given(values, weights, unit, unit)
def test_evasion_never_buys_off_meaning(row: Any, weight: Any, less: float, more: float) -> None:
    """What full evasion adds is in proportion to the meaning: half the meaning, half the gain."""
    low, high = sorted((less, more))
    rows = [
        {**row, "gate": 1.0, "facts": 1.0, "alike": kept, "escape": escape}
        for kept in (low, high)
        for escape in (0.0, 1.0)
    ]
    found = totals(rows, {**weight, "facts": 1e-9})
    np.testing.assert_allclose((found[1] - found[0]) * high, (found[3] - found[2]) * low, atol=1e-6)


@given(values, weights, st.sampled_from([name for name in ROLES if name != "gate"]))
def test_a_part_that_fails_leaves_no_total(row: Any, weight: Any, name: str) -> None:
    total = totals([{**row, name: None}, row], weight)
    assert np.isnan(total[0]) if row["gate"] else total[0] == 0.0
    assert np.isfinite(total[1])


@given(values, weights, unit, unit)
def test_floor_and_saturation_bound_what_counts_in_both_combinations(
    row: Any, weight: Any, one: float, two: float
) -> None:
    floor, saturation = sorted((one, two))
    if saturation - floor < 1e-3:
        return
    for combine in ("mean", "conditional"):
        rows = [{**row, "alike": v} for v in (floor, floor / 2, saturation, (1 + saturation) / 2)]
        found = totals(rows, weight, combine, {"alike": (floor, saturation)})
        assert found[0] == pytest.approx(found[1])
        assert found[2] == pytest.approx(found[3])


def test_what_a_conditional_total_needs() -> None:
    with pytest.raises(RecipeError, match="conditional needs a reward of role meaning") as caught:
        totals([{"gate": 1.0, "escape": 1.0}], {})
    assert "rewards_combine: mean" in caught.value.hint
    with pytest.raises(RecipeError, match="role evasion"):
        totals([{"alike": 1.0, "escape": 1.0}], {"escape": 0.0})
    with pytest.raises(ValueError, match=r"floor 0\.9 must be below saturation 0\.5"):
        Recipe.model_validate({"rewards": [{"name": "facts-kept", "floor": 0.9, "saturation": 0.5}]})


def test_a_recipe_is_combined_as_it_says() -> None:
    """With the bundled rewards that need no model: a copy is invalid, an invention evades for nothing."""
    recipe = Recipe.model_validate(
        {
            "rewards_combine": "conditional",
            "rewards": [
                {"name": "detector-evasion", "saturation": 0.5},
                {"name": "facts-kept", "weight": 1.0},
                {"name": "format"},
            ],
        }
    )
    ensemble = TableEnsemble({PARAPHRASE: 0.75, UNRELATED: 0.0, SOURCE: 0.0})
    reward = build_reward(recipe, default_registry(), Context(ensemble=ensemble), corpus_has_groups=False)
    outcome = reward(make_batch([PARAPHRASE, UNRELATED, SOURCE]))
    kept = outcome.terms["facts-kept"][0]
    assert kept > 0.6
    np.testing.assert_allclose(outcome.total, [(kept + kept * 0.5) / 2, 0.0, 0.0])
