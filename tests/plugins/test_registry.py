"""From kind and name to a component, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field

from paraphrase_rl.errors import MissingDependencyError, ModelError, PluginError, PrlError, RecipeError
from paraphrase_rl.plugin import Context, DetectorSpec, RewardSpec, hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Options
from paraphrase_rl.testing import FakeDetector

MakeRegistry = Callable[..., Registry]


class Knobs(Options):
    depth: int = Field(3, ge=1)
    device: str = "cpu"


class Tuned(FakeDetector):
    def __init__(self, options: Knobs, context: Context) -> None:
        self.options, self.context = options, context


def detector(name: str, **changes: Any) -> DetectorSpec:
    return DetectorSpec(
        **{"name": name, "summary": "A test", "family": "fake", "factory": Tuned, "options": Knobs, **changes}
    )


def plugin(*specs: object) -> ModuleType:
    return answering(lambda: list(specs))


def answering(hook: Callable[[], object]) -> ModuleType:
    module = ModuleType("given")
    module.register_detectors = hookimpl(hook)
    return module


def message(error: PrlError) -> str:
    assert "\n" not in error.message + error.hint
    return f"{error.message} | {error.hint}"


def test_build_validates_options_and_passes_the_context(prl_registry: MakeRegistry) -> None:
    built = prl_registry(ours=plugin(detector("tuned"))).build(
        "detectors", "tuned", {"depth": 5}, Context(device="meta")
    )
    tuned: Any = built
    assert tuned.component.options == Knobs(depth=5)
    assert tuned.component.context.device == "meta"


def test_the_same_name_in_another_kind_is_another_component(prl_registry: MakeRegistry) -> None:
    both = plugin(detector("twin"))
    both.register_rewards = hookimpl(lambda: [RewardSpec(name="twin", summary="A test", factory=dict)])
    registry = prl_registry(both=both)
    assert isinstance(registry.spec("detectors", "twin"), DetectorSpec)
    assert isinstance(registry.spec("rewards", "twin"), RewardSpec)


def test_an_ambiguous_name_is_an_error_only_when_used(prl_registry: MakeRegistry) -> None:
    registry = prl_registry(a=plugin(detector("same"), detector("other")), b=plugin(detector("same")))
    assert registry.get("detectors", "other").plugin.name == "a"
    assert registry.get("detectors", "b/same").plugin.name == "b"
    with pytest.raises(PluginError) as caught:
        registry.get("detectors", "same")
    assert "a/same of a; b/same of b" in message(caught.value)
    assert "write a/same or b/same" in message(caught.value)


@pytest.mark.parametrize("wrong", ["fast-detectgtp", "FAST-DETECTGPT", "ours/fast-detectgp"])
def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(
    wrong: str, prl_registry: MakeRegistry
) -> None:
    registry = prl_registry(ours=plugin(detector("fast-detectgpt"), detector("lrr")))
    with pytest.raises(PluginError) as caught:
        registry.build("detectors", wrong)
    prefix = "ours/" if "/" in wrong else ""
    assert f"did you mean {prefix}fast-detectgpt?" in message(caught.value)
    assert f"known: {prefix}fast-detectgpt, {prefix}lrr" in message(caught.value)


def test_an_unknown_name_of_a_kind_without_components(prl_registry: MakeRegistry) -> None:
    with pytest.raises(PluginError, match="no backend is called 'x'"):
        prl_registry(ours=plugin(detector("lrr"))).get("backends", "x")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dept": 2}, "detector tuned: unknown option 'dept' | did you mean depth? options: depth, device"),
        ({"zzz": 2, "depth": 0}, "(and 1 more)"),
        ({"depth": "many"}, "detector tuned: option depth: Input should be a valid integer"),
        ({"depth": 0}, "greater than or equal to 1, got 0"),
    ],
)
def test_wrong_options_are_refused_on_one_line(
    options: dict[str, object], expected: str, prl_registry: MakeRegistry
) -> None:
    with pytest.raises(RecipeError) as caught:
        prl_registry(ours=plugin(detector("tuned"))).build("detectors", "tuned", options)
    assert expected in message(caught.value)


def test_a_missing_dependency_gives_the_exact_line(prl_registry: MakeRegistry) -> None:
    def never(options: object, context: Context) -> FakeDetector:
        raise AssertionError("not to be called")

    needy = detector("needy", extra="models", modules=("json", "a_module_that_nobody_has"), factory=never)
    with pytest.raises(MissingDependencyError) as caught:
        prl_registry(ours=plugin(needy)).build("detectors", "needy")
    assert caught.value.message == "detector needy needs a_module_that_nobody_has, which is not installed"
    assert caught.value.hint == "pip install 'paraphrase-rl[models]'"


def test_a_crashing_factory_is_the_plugins_fault_and_keeps_its_cause(prl_registry: MakeRegistry) -> None:
    registry = prl_registry(ours=plugin(detector("crash", factory=lambda options, context: 1 // 0)))
    with pytest.raises(
        PluginError, match="detector crash of plug-in ours crashes while it is built: ZeroDivisionError"
    ) as caught:
        registry.build("detectors", "crash")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_error_meant_for_the_user_passes_unchanged(prl_registry: MakeRegistry) -> None:
    error = ModelError("no such folder", "bring it")

    def factory(options: object, context: Context) -> FakeDetector:
        raise error

    with pytest.raises(ModelError) as caught:
        prl_registry(ours=plugin(detector("wants", factory=factory))).build("detectors", "wants")
    assert caught.value is error


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (5, "returned int, not a list of DetectorSpec"),
        ({"a": 1}, "returned dict"),
        (
            [RewardSpec(name="r", summary="A reward", factory=dict)],
            "returned a RewardSpec where a DetectorSpec",
        ),
        ([detector("twice"), detector("twice")], "returned two components named 'twice'"),
        ([detector("untyped", options=dict)], "options must be a subclass"),
    ],
)
def test_a_wrong_answer_costs_that_plugin_only(answer: object, reason: str) -> None:
    plugins = Plugins.of(bad=answering(lambda: answer), good=plugin(detector("fine")))
    plugins.strict = False
    registry = Registry(plugins)
    assert [entry.spec.name for entry in registry.entries("detectors")] == ["fine"]
    assert [failure.plugin for failure in registry.failures] == ["bad"]
    assert reason in registry.failures[0].exception
