"""Which metrics an evaluation takes, where their options come from, what fails, and what does not apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paraphrase_rl.errors import ModelError, PluginError, RecipeError
from paraphrase_rl.evaluation.quality import build_quality, choose_metrics, with_metric_options
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import Context, MetricRole, MetricSpec, Options, RewardSpec
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Failure, FloatArray, Measurements, RewardBatch, Rewrite, Terms
from tests.rewards.samples import INSTRUCTION, PARAPHRASE, SOURCE, UNRELATED

ASKED_FOR = {"nli_forward", "nli_backward", "judge_meaning", "judge_quality"}
NEED_MODELS = {"semantic_similarity", "perplexity_ratio"}

Values = tuple[dict[str, FloatArray], list[Failure]]


def measure(
    registry: Registry, rewrites: Sequence[str], recipe: Recipe | None = None, source: str = SOURCE
) -> Values:
    """All metrics of a recipe."""
    measures = build_quality(choose_metrics(recipe or Recipe(), registry), registry, Context())
    sources = [Document(id=f"d{i}", text=source) for i in range(len(rewrites))]
    return measures(sources, [Rewrite(text=text) for text in rewrites], INSTRUCTION)


@pytest.fixture
def without_models(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The bundled metrics where no model can be loaded."""

    def nothing(*_: object) -> None:
        raise ModelError("there is no such model", "bring it")

    monkeypatch.setattr("paraphrase_rl.models.references.load_encoder", nothing)
    monkeypatch.setattr("paraphrase_rl.models.language_model.shared_language_model", nothing)
    return default_registry()


def test_every_metric_that_nobody_must_ask_for_is_there(without_models: Registry) -> None:
    bundled = {
        e.spec.name.replace("-", "_"): e.spec
        for e in without_models.entries("metrics")
        if isinstance(e.spec, MetricSpec)
    }
    values, failures = measure(without_models, [SOURCE, PARAPHRASE, UNRELATED, ""])
    assert values.keys() == bundled.keys() - ASKED_FOR
    for name, column in values.items():
        assert column.shape == (4,)
        assert column.dtype == np.float64
        low, high = bundled[name].range
        known = column[np.isfinite(column)]
        assert ((known >= low) & (known <= high)).all(), name
    # a model that is not here costs its own metric, with the reason and the remedy
    assert {(f.kind, f.message) for f in failures} == {("unavailable", "there is no such model; bring it")}
    assert sorted((f.owner, f.index) for f in failures) == sorted(
        (m, i) for m in NEED_MODELS for i in range(4)
    )


def test_identity_costs_nothing_and_is_no_rewrite(without_models: Registry) -> None:
    values, _ = measure(without_models, [SOURCE])
    found = {name: float(column[0]) for name, column in values.items() if name not in NEED_MODELS}
    assert found.pop("format") == 0.0  # the bundled gate refuses copies
    zero = {"numbers_added", "names_added", "negations_added", "edit_rate", "repetition"}
    assert found == pytest.approx({name: 0.0 if name in zero else 1.0 for name in found})


def test_what_does_not_apply_is_nan_without_a_failure(without_models: Registry) -> None:
    values, failures = measure(without_models, ["it is so"], source="it was so")
    for name in ("numbers_kept", "names_kept", "negations_kept"):
        assert np.isnan(values[name]).all()
        assert name not in {failure.owner for failure in failures}


def test_a_rewrite_does_not_depend_on_its_batch(without_models: Registry) -> None:
    rewrites = [PARAPHRASE, "", UNRELATED, SOURCE[:80], "one"]
    together = measure(without_models, rewrites)[0]
    for i, rewrite in enumerate(rewrites):
        for name, column in measure(without_models, [rewrite])[0].items():
            np.testing.assert_allclose(column[0], together[name][i], atol=1e-12, err_msg=name)


def test_nothing_to_measure(without_models: Registry) -> None:
    values, failures = measure(without_models, [])
    assert {column.shape for column in values.values()} == {(0,)}
    assert failures == []


def test_finished_is_what_the_rewriter_said(without_models: Registry) -> None:
    measures = build_quality(choose_metrics(Recipe(), without_models), without_models, Context())
    documents = [Document(id="a", text=SOURCE), Document(id="b", text=SOURCE)]
    rewrites = [Rewrite(text=PARAPHRASE), Rewrite(text=PARAPHRASE, finished=False)]
    values, _ = measures(documents, rewrites, INSTRUCTION)
    assert values["finished"].tolist() == [1.0, 0.0]
    assert values["format"].tolist() == [1.0, 0.0]


def test_without_a_gate_there_is_no_format(without_models: Registry) -> None:
    recipe = Recipe.model_validate({"rewards": [{"name": "semantic-similarity"}]})
    assert "format" not in {metric.column for metric in choose_metrics(recipe, without_models)}


def test_a_missing_library_costs_its_own_metric(
    without_models: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paraphrase_rl.plugin.registry._importable", lambda module: module != "sacrebleu")
    _, failures = measure(without_models, [PARAPHRASE])
    [message] = [f.message for f in failures if f.owner == "chrf"]
    assert (
        message
        == "metric chrf needs sacrebleu, which is not installed; pip install 'paraphrase-rl[evaluate]'"
    )


class Toy:
    """Answers the length of the rewrite for each name, and the options it was built with for ``options``."""

    def __init__(self, *names: str, options: Any = None) -> None:
        self.names, self.options, self.calls = names, options, 0

    def __call__(self, batch: RewardBatch) -> Measurements:
        self.calls += 1
        lengths = np.array([len(rewrite) for rewrite in batch.rewrites], dtype=np.float64)
        return Measurements(dict.fromkeys(self.names, lengths))


class ModelOptions(Options):
    model: str = "default"
    depth: int = 3


class GateOptions(Options):
    rewards: list[dict[str, Any]]


def metric(
    name: str, make: Callable[..., Any], role: MetricRole = "other", options: type[Options] = Options
) -> MetricSpec:
    return MetricSpec(
        name=name, summary="s", factory=make, role=role, options=options, better=None, range=(0.0, 100.0)
    )


def plugin(*metrics: MetricSpec, rewards: Sequence[RewardSpec] = ()) -> Any:
    hooks = {
        "register_metrics": staticmethod(hookimpl(lambda: metrics)),
        "register_rewards": staticmethod(hookimpl(lambda: rewards)),
    }
    return type("Toys", (), hooks)


def reward(name: str, **changes: Any) -> RewardSpec:
    return RewardSpec(
        name=name, summary="s", factory=lambda o, c: lambda batch: Terms(np.ones(len(batch))), **changes
    )


Make = Callable[..., Registry]


def recipe(*rewards: dict[str, Any], metrics: Sequence[dict[str, Any]] = ()) -> Recipe:
    return Recipe.model_validate({"rewards": rewards or [{"name": "any"}], "metrics": list(metrics)})


def test_options_come_from_the_reward_of_the_same_role_unless_the_recipe_gives_them(
    prl_registry: Make,
) -> None:
    class Closeness(Options):
        model: str = "theirs"
        depth: str = "of another type"

    toys = plugin(
        metric("close", lambda o, c: Toy("close"), "meaning", ModelOptions),
        rewards=[reward("near", role="meaning", options=Closeness), reward("any")],
    )
    registry = prl_registry(toys=toys)
    near = {"name": "near", "options": {"model": "mine"}}

    def options(given: Recipe) -> dict[str, object]:
        [chosen] = choose_metrics(given, registry)
        return chosen.options.model_dump()

    assert options(recipe(near)) == {"model": "mine", "depth": 3}
    assert options(recipe({"name": "near"})) == {"model": "theirs", "depth": 3}
    assert options(recipe()) == {"model": "default", "depth": 3}
    own = {"name": "close", "options": {"model": "own"}}
    assert options(recipe(near, metrics=[own])) == {"model": "own", "depth": 3}


def test_a_metric_of_the_gates_is_given_all_gates_and_left_out_without_one(prl_registry: Make) -> None:
    gates = [reward(name, role="validity", options=ModelOptions) for name in ("tidy", "short")]
    toys = plugin(
        metric("valid", lambda o, c: Toy("valid"), "validity", GateOptions), rewards=[*gates, reward("any")]
    )
    registry = prl_registry(toys=toys)
    [chosen] = choose_metrics(recipe({"name": "tidy", "options": {"depth": 1}}, {"name": "short"}), registry)
    assert chosen.options.model_dump()["rewards"] == [
        {"name": "tidy", "options": {"depth": 1}},
        {"name": "short", "options": {}},
    ]
    assert choose_metrics(recipe(), registry) == []
    with pytest.raises(RecipeError, match="rewards"):
        choose_metrics(recipe(metrics=[{"name": "valid"}]), registry)


def test_metrics_of_one_factory_are_built_and_called_once(prl_registry: Make) -> None:
    built: list[Toy] = []

    def make(options: Options, context: Context) -> Toy:
        built.append(Toy("one", "two"))
        return built[-1]

    registry = prl_registry(toys=plugin(metric("one", make), metric("two", make), rewards=[reward("any")]))
    values, _ = measure(registry, ["ab", "abcd"], recipe())
    assert {name: column.tolist() for name, column in values.items()} == {
        "one": [2.0, 4.0],
        "two": [2.0, 4.0],
    }
    assert [toy.calls for toy in built] == [1]


def test_a_crash_costs_its_rewrite(prl_registry: Make) -> None:
    def fragile(batch: RewardBatch) -> Measurements:
        return Measurements({"some-one": np.array([1.0 / len(rewrite) for rewrite in batch.rewrites])})

    registry = prl_registry(toys=plugin(metric("some-one", lambda o, c: fragile)))
    values, failures = measure(registry, ["ab", "", "abcd"])
    np.testing.assert_array_equal(values["some_one"], [0.5, np.nan, 0.25])
    assert [(f.index, f.owner, f.kind) for f in failures] == [(1, "some_one", "crashed")]
    assert "ZeroDivisionError" in failures[0].message


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (1.0, "returned float, not Measurements"),
        (Measurements({"other": np.zeros(2)}), "returned other, and no some"),
        (Measurements({"some": np.zeros(1)}), "of shape (1,) for 2 rewrites"),
        (Measurements({"some": np.full(2, 101.0)}), "returned some outside its range of 0 to 100"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_named_and_costs_itself(
    prl_registry: Make, answer: object, why: str
) -> None:
    some = metric("some", lambda o, c: lambda batch: answer, "length")
    values, failures = measure(
        prl_registry(toys=plugin(some), more=plugin(metric("more", lambda o, c: Toy("more")))), ["a", "b"]
    )
    assert np.isnan(values["some"]).all()
    assert values["more"].tolist() == [1.0, 1.0]
    assert {(f.owner, f.kind) for f in failures} == {("some", "unavailable")}
    assert all("metric some of plug-in toys" in f.message and why in f.message for f in failures)


def test_what_the_recipe_asks_for_must_work(prl_registry: Make) -> None:
    def broken(options: Options, context: Context) -> None:
        raise ModelError("no model", "bring it")

    registry = prl_registry(toys=plugin(metric("some", broken), rewards=[reward("any")]))
    assert [f.message for f in measure(registry, ["a"], recipe())[1]] == ["no model; bring it"]
    with pytest.raises(ModelError, match="no model"):
        measure(registry, ["a"], recipe(metrics=[{"name": "some"}]))
    with pytest.raises(PluginError, match="no metric is called"):
        choose_metrics(recipe(metrics=[{"name": "some-thing"}]), registry)
    with pytest.raises(PluginError, match="no metric of the role judge"):
        with_metric_options(recipe(), registry, "judge", model="x")


def test_wrong_options_for_a_role_are_refused_at_once() -> None:
    with pytest.raises(RecipeError, match="unknown option 'modle'") as caught:
        with_metric_options(Recipe(), default_registry(), "entailment", modle="x")
    assert "model" in caught.value.hint
    with pytest.raises(RecipeError, match="base_url") as caught:
        with_metric_options(
            Recipe(), default_registry(), "judge", base_url="http://me:pass@host/v1", model="m"
        )
    assert "pass" not in caught.value.one_line.replace("password", "")


def test_two_metrics_of_one_name_have_columns_of_their_own(prl_registry: Make) -> None:
    toys = {name: plugin(metric("a-b", lambda o, c: Toy("a-b"))) for name in ("one", "two")}
    registry = prl_registry(**toys, rewards=plugin(rewards=[reward("any")]))
    values, _ = measure(registry, ["xyz"], recipe())
    assert {name: column.tolist() for name, column in values.items()} == {"one/a_b": [3.0], "two/a_b": [3.0]}


def test_the_first_of_a_role_is_the_one_that_belongs_to_the_recipe(prl_registry: Make) -> None:
    registry = prl_registry(
        toys=plugin(
            metric("other", lambda o, c: Toy("other")),
            metric("b-close", lambda o, c: Toy("b-close"), "meaning"),
            metric("a-close", lambda o, c: Toy("a-close"), "meaning"),
            rewards=[reward("any"), reward("near", role="meaning")],
        )
    )
    assert [m.column for m in choose_metrics(recipe(), registry)] == ["a_close", "b_close", "other"]
    named = recipe(metrics=[{"name": "b-close"}])
    assert [m.column for m in choose_metrics(named, registry)] == ["b_close", "a_close", "other"]
    # of one distribution with the recipe's reward of the role
    for entry, distribution in zip(registry.entries("metrics"), ("acme", "bravo", "acme"), strict=True):
        object.__setattr__(entry, "plugin", replace(entry.plugin, distribution=distribution))
    [near] = [entry for entry in registry.entries("rewards") if entry.spec.name == "near"]
    object.__setattr__(near, "plugin", replace(near.plugin, distribution="bravo"))
    assert [m.column for m in choose_metrics(recipe({"name": "near"}), registry)] == [
        "b_close",
        "a_close",
        "other",
    ]


def test_an_unknown_reward_is_said_at_once(without_models: Registry) -> None:
    with pytest.raises(PluginError, match="no reward is called"):
        choose_metrics(recipe({"name": "nonsense"}), without_models)


def test_lists_of_different_length_are_refused(without_models: Registry) -> None:
    measures = build_quality(choose_metrics(Recipe(), without_models), without_models, Context())
    with pytest.raises(ValueError, match="same length"):
        measures([Document(id="a", text="x")], [], "")
