"""What a component of a plug-in may do wrong, kind by kind, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import field_validator

from paraphrase_rl import Document, Failure, Measurements, RewardBatch, Rewrite, Scores, Terms, Truncation
from paraphrase_rl.errors import ModelError, PluginError
from paraphrase_rl.plugin import (
    BackendSpec,
    DatasetSpec,
    DetectorSpec,
    MetricSpec,
    RewardSpec,
    RewriterSpec,
    hookimpl,
)
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.installed import Filter, Plugin
from paraphrase_rl.plugin.protocols import TrainingResult
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Options
from paraphrase_rl.types import ContractError

SPECS: dict[str, Any] = {
    "detectors": DetectorSpec,
    "rewards": RewardSpec,
    "metrics": MetricSpec,
    "rewriters": RewriterSpec,
    "datasets": DatasetSpec,
    "backends": BackendSpec,
}
ONE = {
    "detectors": "detector",
    "rewards": "reward",
    "metrics": "metric",
    "rewriters": "rewriter",
    "datasets": "data set",
    "backends": "backend",
}
ITEMWISE = ("detectors", "rewards", "metrics", "rewriters")
FAULT = "this is a fault in the plug-in"


def registry_of(kind: str, component: object, **spec: Any) -> Registry:
    """A registry of one third-party component called ``odd``."""
    more = {"detectors": {"family": "toy"}, "metrics": {"better": "higher", "range": (0.0, 1.0)}}.get(
        kind, {}
    )
    built = SPECS[kind](
        **{
            "name": "odd",
            "summary": "A test",
            "factory": lambda options, context: component,
            **more,
            **spec,
        }
    )
    module = ModuleType("given")
    setattr(module, f"register_{kind}", hookimpl(lambda: [built]))
    plugins = Plugins.of()
    identity = {"name": "acme", "distribution": "acme-detectors", "version": "1.2.0", "target": "acme"}
    plugins._add(Plugin(**identity, load=lambda: module), Filter())
    return Registry(plugins)


def built(kind: str, component: object) -> Any:
    if kind == "metrics" and isinstance(component, Items):
        component = component.measured
    return registry_of(kind, component).build(kind, "odd")  # type: ignore[call-overload]


class Items:
    """A detector, reward and rewriter that does with each text what ``act`` says: a number, or an exception raised."""

    def __init__(self, act: Callable[[str], Any]) -> None:
        self.act = act

    def _values(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self.act(text) for text in texts], dtype=np.float64)

    def score(self, texts: Sequence[str]) -> Scores:
        return Scores(self._values(texts))

    def __call__(self, batch: RewardBatch) -> Terms:
        values = self._values(batch.rewrites)
        return Terms(values, details={"twice": 2 * values})

    def measured(self, batch: RewardBatch) -> Measurements:
        return Measurements({"odd": self._values(batch.rewrites)})

    def rewrite(self, texts: Sequence[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        return [[Rewrite(text=f"{value:g} {seed}")] * n for value in self._values(texts)]


class Answers:
    """Says the same whatever it is asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def _say(self, *arguments: object, **named: object) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    score = __call__ = rewrite = documents = description = train = policy = export = provenance = _say


class OfOne:
    """Measurements of the one metric ``odd``, seen like scores."""

    def __init__(self, found: Measurements) -> None:
        (self.values,) = found.values.values()
        self.failures = found.failures


def ask(kind: str, component: Any, texts: Sequence[str]) -> Any:
    """One call with ``texts`` as its items, where the kind has items."""
    if kind == "detectors":
        return component.score(texts)
    if kind in ("rewards", "metrics"):
        sources = [Document(id=str(i), text="A source.") for i in range(len(texts))]
        batch = RewardBatch(sources=sources, rewrites=texts, finished=[True] * len(texts), instruction="")
        found = component(batch)
        return OfOne(found) if kind == "metrics" else found
    if kind == "rewriters":
        return component.rewrite(texts, 1, 7)
    if kind == "datasets":
        return list(component.documents())
    return component.train(None)


def failures_of(answer: Any) -> list[Failure]:
    if isinstance(answer, list):
        return [one for one in answer if isinstance(one, Failure)]
    return list(answer.failures)


def number(text: str) -> float:
    """A text that is a number is worth it; BAD crashes, EXIT exits, DONE stops an iteration."""
    raised = {"BAD": RuntimeError("boom\nmore"), "EXIT": SystemExit(3), "DONE": GeneratorExit()}
    if text in raised:
        raise raised[text]
    return float(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("BAD", "RuntimeError: boom more"), ("EXIT", "SystemExit: 3"), ("DONE", "GeneratorExit")],
)
@pytest.mark.parametrize("kind", ITEMWISE)
def test_an_item_that_crashes_costs_itself(kind: str, text: str, message: str) -> None:
    answer = ask(kind, built(kind, Items(number)), ["0.25", text, "0.5", text])
    assert failures_of(answer) == [
        Failure(index=i, owner="odd", kind="crashed", message=message) for i in (1, 3)
    ]
    if kind == "rewriters":
        assert [answer[0], answer[2]] == [[Rewrite(text="0.25 7")], [Rewrite(text="0.5 7")]]
    else:
        assert answer.values[[0, 2]].tolist() == [0.25, 0.5]
    if kind == "rewards":
        np.testing.assert_array_equal(answer.details["twice"], [0.5, np.nan, 1.0, np.nan])


@pytest.mark.parametrize("text", ["BAD", "EXIT", "not a number"])
@pytest.mark.parametrize("kind", ITEMWISE)
def test_a_component_that_crashes_on_every_item_stops_the_work(kind: str, text: str) -> None:
    with pytest.raises(PluginError) as caught:
        ask(kind, built(kind, Items(number)), [text, "BAD"])
    assert caught.value.message.startswith(
        f"{ONE[kind]} odd of plug-in acme (acme-detectors 1.2.0) crashes on each of 2 items: "
    )
    assert caught.value.hint.startswith(FAULT)
    assert "--debug" in caught.value.hint
    assert isinstance(caught.value.__cause__, (RuntimeError, SystemExit, ValueError))


@pytest.mark.parametrize("kind", ITEMWISE)
def test_one_item_that_is_all_there_is_fails_alone(kind: str) -> None:
    (failure,) = failures_of(ask(kind, built(kind, Items(number)), ["BAD"]))
    assert (failure.index, failure.owner, failure.kind) == (0, "odd", "crashed")


@pytest.mark.parametrize("kind", ITEMWISE)
def test_no_items_call_nobody(kind: str) -> None:
    answer = ask(kind, built(kind, Answers(RuntimeError("called"))), [])
    assert len(answer if isinstance(answer, list) else answer.values) == 0


@pytest.mark.parametrize(
    ("kind", "answer", "says"),
    [
        ("detectors", None, "returned None for 2 texts"),
        ("detectors", [1.0, 2.0], "returned list for 2 texts"),
        ("detectors", np.zeros(2), "returned ndarray for 2 texts"),
        ("detectors", Scores(np.zeros(3)), r"returned Scores of shape \(3,\) for 2 texts"),
        ("rewards", None, "returned None, not Terms"),
        ("rewards", [0.5, 0.5], "returned list, not Terms"),
        ("rewards", Scores(np.zeros(2)), "returned Scores, not Terms"),
        ("rewards", Terms(np.zeros(1)), r"returned values of shape \(1,\) for 2 rewrites"),
        ("rewards", Terms(np.zeros(2), details={"n": np.zeros(3)}), r"returned n of shape \(3,\)"),
        ("metrics", None, "returned None, not Measurements"),
        ("metrics", {"odd": [1.0, 2.0]}, "returned dict, not Measurements"),
        ("metrics", Measurements({"odd": np.zeros(3)}), r"returned odd of shape \(3,\) for 2 rewrites"),
        ("rewriters", None, "returned None for 2 texts"),
        ("rewriters", [[Rewrite(text="a")]], "returned 1 items for 2 texts"),
        ("rewriters", [[Rewrite(text="a")], ["b"]], r"returned \['b'\] where 1 rewrites or a Failure belong"),
        ("rewriters", [[Rewrite(text="a")], []], r"returned \[\] where 1 rewrites"),
        ("datasets", ["a text"], "gives a str where a Document belongs"),
        ("backends", None, r"returned None from train\(\), not a TrainingResult"),
        ("backends", "completed", r"returned str from train\(\)"),
    ],
)
def test_a_wrong_answer_is_said_to_be_the_plugins_fault(kind: str, answer: object, says: str) -> None:
    with pytest.raises(PluginError, match=says) as caught:
        ask(kind, built(kind, Answers(answer)), ["a", "b"])
    assert f"{ONE[kind]} odd of plug-in acme (acme-detectors 1.2.0)" in caught.value.message
    assert caught.value.hint.startswith(FAULT)


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("rewards", 1.5, "must lie in"),
        ("rewards", np.nan, "must be NaN exactly where"),
        ("detectors", np.inf, "must be NaN exactly where"),
    ],
)
def test_a_value_that_no_answer_may_hold_is_a_crash_of_its_item(kind: str, values: float, says: str) -> None:
    component = built(kind, Items(lambda text: values if text == "odd" else 0.5))
    (failure,) = failures_of(ask(kind, component, ["a", "odd", "b"]))
    assert (failure.index, failure.kind) == (1, "crashed")
    assert says in failure.message
    with pytest.raises(PluginError, match=says):
        ask(kind, component, ["odd", "odd"])


@pytest.mark.parametrize("kind", SPECS)
def test_what_a_component_has_to_say_to_the_user_passes(kind: str) -> None:
    error = ModelError("no such folder", "bring it")
    with pytest.raises(ModelError) as caught:
        ask(kind, built(kind, Answers(error)), ["a", "b"])
    assert caught.value is error


@pytest.mark.parametrize("kind", SPECS)
def test_ctrl_c_passes(kind: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(kind, built(kind, Answers(KeyboardInterrupt())), ["a", "b"])


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), SystemExit(), RecursionError()])
def test_a_factory_that_crashes_is_the_plugins_fault(kind: str, error: BaseException) -> None:
    def factory(options: object, context: object) -> object:
        raise error

    with pytest.raises(
        PluginError, match=r"of plug-in acme \(acme-detectors 1.2.0\) crashes while it is built"
    ) as c:
        registry_of(kind, None, factory=factory).build(kind, "odd")  # type: ignore[call-overload]
    assert c.value.__cause__ is error


@pytest.mark.parametrize("kind", SPECS)
def test_a_factory_that_builds_something_else_is_named(kind: str) -> None:
    with pytest.raises(
        PluginError, match=rf"{ONE[kind]} odd of plug-in acme .* is built as None, which has no"
    ):
        built(kind, None)


def test_options_that_crash_are_the_plugins_fault() -> None:
    class Crashing(Options):
        depth: int = 1

        @field_validator("depth")
        @classmethod
        def _crash(cls, value: int) -> int:
            raise RuntimeError("no ruler")

    with pytest.raises(
        PluginError, match=r"detector odd of plug-in acme .* crashes over its options: RuntimeError"
    ):
        registry_of("detectors", None, options=Crashing).options("detectors", "odd", {"depth": 2})


@pytest.mark.parametrize(
    ("kind", "function", "arguments"),
    [("detectors", "fit", (None, [], Path("folder"))), ("backends", "check", (None,))],
)
def test_functions_of_a_spec_are_isolated_too(
    kind: str, function: str, arguments: tuple[object, ...]
) -> None:
    def crash(*given: object) -> object:
        raise SystemExit("gone")

    spec = registry_of(kind, None, **{function: crash}).spec(kind, "odd")  # type: ignore[call-overload]
    with pytest.raises(PluginError, match=rf"{ONE[kind]} odd of plug-in acme .* crashes in {function}\(\)"):
        getattr(spec, function)(*arguments)


def test_a_check_that_returns_nothing_is_named() -> None:
    spec = registry_of("backends", None, check=lambda recipe, options, device: None).spec("backends", "odd")
    with pytest.raises(PluginError, match=r"backend odd of plug-in acme .* returned None from check\(\)"):
        spec.check(None, None, "cpu")  # type: ignore[misc,arg-type]


def test_a_data_set_may_crash_on_its_way() -> None:
    class Halfway:
        def documents(self) -> Any:
            yield Document(id="a", text="A text.")
            raise SystemExit(3)

    documents = built("datasets", Halfway()).documents()
    assert next(documents).id == "a"
    with pytest.raises(
        PluginError, match=r"data set odd of plug-in acme .* after 1 documents: SystemExit: 3"
    ):
        next(documents)


def test_a_data_set_that_is_left_in_the_middle_is_at_no_fault() -> None:
    documents = built("datasets", Answers([Document(id=i, text="A text.") for i in "ab"])).documents()
    next(documents)
    documents.close()


@pytest.mark.parametrize(
    ("kind", "method", "says"),
    [
        ("datasets", "description", r"returned None from description\(\), not a text"),
        ("detectors", "provenance", r"returned None from provenance\(\), not a mapping"),
        ("backends", "policy", r"returned None from policy\(\), which has no sample\(\)"),
    ],
)
def test_other_methods_are_isolated_too(kind: str, method: str, says: str) -> None:
    arguments = ("model", None) if method == "policy" else ()
    with pytest.raises(PluginError, match=says):
        getattr(built(kind, Answers(None)), method)(*arguments)
    with pytest.raises(PluginError, match=rf"crashes in {method}\(\): SystemExit: 3") as caught:
        getattr(built(kind, Answers(SystemExit(3))), method)(*arguments)
    assert isinstance(caught.value.__cause__, SystemExit)


def test_an_export_that_crashes_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"backend odd of plug-in acme .* crashes in export\(\): OSError"):
        built("backends", Answers(OSError("disk"))).export(tmp_path, {}, tmp_path / "out")


def test_a_training_that_ends_well_says_so() -> None:
    result = TrainingResult(status="completed", step=3)
    assert built("backends", Answers(result)).train(None) is result


class Counts:
    """Counts words; reads three of them; fails for a text without any, and crashes at BOOM."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, texts: Sequence[str]) -> Scores:
        self.calls.append(len(texts))
        if any("BOOM" in text for text in texts):
            raise RuntimeError("boom")
        words = [len(text.split()) for text in texts]
        return Scores(
            np.array([min(n, 3) if n else np.nan for n in words], dtype=np.float64),
            tuple(
                Failure(index=i, owner="odd", kind="empty", message="none")
                for i, n in enumerate(words)
                if not n
            ),
            tuple(Truncation(index=i, read=3, total=n, unit="words") for i, n in enumerate(words) if n > 3),
        )


@pytest.mark.parametrize(
    "texts", [["a b c d", "", "a", "a b c d e"] * 3, ["a b c d", "BOOM", "", "a b c d e"] * 3]
)
def test_what_is_scored_in_blocks_or_one_by_one_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    honest = Counts()
    detector = registry_of("detectors", honest).build("detectors", "odd")
    whole = detector.score(texts)
    assert [(t.index, str(t)) for t in whole.truncated] == [
        (i, f"3 of {len(text.split())} words") for i, text in enumerate(texts) if len(text.split()) > 3
    ]
    assert [f.index for f in whole.failures] == [i for i, text in enumerate(texts) if text in ("", "BOOM")]
    monkeypatch.setattr("paraphrase_rl.plugin.isolation._AT_ONCE", 5)
    honest.calls.clear()
    blocks = detector.score(texts)
    assert np.array_equal(blocks.values, whole.values, equal_nan=True)
    assert (blocks.failures, blocks.truncated) == (whole.failures, whole.truncated)
    assert max(honest.calls) == 4, "twelve texts, at most five at once: three blocks of four"
    assert whole.take([3, 0]).truncated == tuple(
        Truncation(index=i, read=3, total=n, unit="words") for i, n in ((0, 5), (1, 4))
    )


@pytest.mark.parametrize(
    "cut",
    [
        Truncation(index=1, read=3, total=4, unit="words"),
        Truncation(index=-1, read=3, total=4, unit="words"),
        Truncation(index=0, read=4, total=4, unit="words"),
    ],
)
def test_a_truncation_of_nothing_is_a_breach_of_the_contract(cut: Truncation) -> None:
    with pytest.raises(ContractError, match=r"leaves nothing out"):
        Scores(np.zeros(1), (), (cut,))
