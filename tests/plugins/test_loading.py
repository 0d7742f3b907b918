"""Loading and calling plug-ins that are given, not installed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from paraphrase_rl import StepRecord
from paraphrase_rl.errors import PluginError
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import HOOKS, Plugins
from paraphrase_rl.plugin.installed import Filter, Plugin


def plugin(**functions: Callable[..., object]) -> ModuleType:
    module = ModuleType("given")
    vars(module).update({name: hookimpl(function) for name, function in functions.items()})
    return module


def observers(*functions: Callable[..., object]) -> Plugins:
    plugins = Plugins.of(**{f"p{i}": plugin(on_step_end=f) for i, f in enumerate(functions)})
    plugins.strict = False
    return plugins


RECORD = StepRecord(step=7, metrics={"reward_mean": 0.5})


def test_all_hooks_of_the_page_are_known() -> None:
    assert set(HOOKS) == {
        *(
            f"register_{kind}"
            for kind in ("detectors", "rewards", "rewriters", "metrics", "datasets", "backends", "commands")
        ),
        *("on_run_start", "on_step_end", "on_run_end"),
    }


def test_observers_get_what_they_ask_for() -> None:
    seen: list[object] = []
    plugins = Plugins.of(
        watcher=plugin(
            on_run_start=lambda recipe, folder: seen.append((folder, recipe)),
            on_step_end=lambda record: seen.append(record.step),
            on_run_end=lambda status: seen.append(status),
        )
    )
    plugins.on_run_start(Path("run"), {"model": "m"})
    plugins.on_step_end(Path("run"), RECORD)
    plugins.on_run_end(Path("run"), "completed")
    assert seen == [(Path("run"), {"model": "m"}), 7, "completed"]


def test_a_raising_observer_is_logged_once_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def broken(record: StepRecord) -> None:
        raise RuntimeError("no dashboard")

    plugins = observers(
        lambda record: seen.append(record.step), broken, lambda record: seen.append(record.step)
    )
    with caplog.at_level(logging.WARNING, "paraphrase_rl"):
        for _ in range(3):
            plugins.on_step_end(Path("run"), RECORD)
    assert seen == [7] * 6
    assert [(f.plugin, f.stage, f.exception) for f in plugins.failures] == [
        ("p1", "on_step_end", "RuntimeError: no dashboard")
    ]
    assert "in broken" in plugins.failures[0].traceback
    assert len(caplog.records) == 1


def test_an_interrupt_in_an_observer_passes() -> None:
    def interrupted(record: StepRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observers(interrupted).on_step_end(Path("run"), RECORD)


def test_what_a_plugin_prints_stays_out_of_the_payload(capsys: pytest.CaptureFixture[str]) -> None:
    observers(lambda record: print("step", record.step)).on_step_end(Path("run"), RECORD)
    assert capsys.readouterr() == ("", "step 7\n")


def test_an_unhashable_plugin_is_refused_and_breaks_no_other() -> None:
    unhashable = SimpleNamespace(on_step_end=hookimpl(lambda record: None))
    with pytest.raises(PluginError, match="plug-in odd: load: TypeError: unhashable"):
        Plugins.of(odd=unhashable)


def test_a_name_is_given_once() -> None:
    plugins = Plugins.of(one=plugin(on_run_end=lambda: None))
    with pytest.raises(PluginError, match="one has two plug-ins named 'one'"):
        plugins._add(plugins.found[0], Filter())


def test_strict_names_plugin_and_stage() -> None:
    with pytest.raises(PluginError, match=r"plug-in odd: load: .*register_all"):
        Plugins.of(odd=plugin(register_all=lambda: None))


@pytest.mark.parametrize(
    ("environment", "blocked"),
    [
        ({}, set()),
        ({"PRL_PLUGINS": ""}, {"vowels", "hello"}),
        ({"PRL_PLUGINS": "Vowels"}, {"hello"}),
        ({"PRL_PLUGINS": "acme.detectors"}, set()),
        ({"PRL_PLUGINS": "trl"}, {"vowels", "hello"}),
        ({"PRL_DISABLE_PLUGINS": "hello, trl"}, {"hello", "trl"}),
        ({"PRL_DISABLE_PLUGINS": "__all__"}, {"vowels", "hello"}),
        ({"PRL_DISABLE_PLUGINS": "paraphrase-rl"}, set()),
        ({"PRL_DISABLE_PLUGINS": "Acme.Detectors/hello, paraphrase-rl/trl"}, {"hello", "trl"}),
        ({"PRL_PLUGINS": "acme-detectors/hello"}, {"vowels"}),
        ({"PRL_PLUGINS": "vowels", "PRL_DISABLE_PLUGINS": "vowels"}, {"vowels", "hello"}),
    ],
)
def test_the_environment_decides(environment: dict[str, str], blocked: set[str]) -> None:
    third: dict[str, Any] = {"distribution": "acme-detectors", "version": "1.2.0", "load": dict}
    plugins = [
        Plugin(name="vowels", target="acme_vowels", **third),
        Plugin(name="hello", target="acme_hello:plugin", **third),
        Plugin(
            name="trl",
            target="paraphrase_rl_plugins.backends.trl_backend",
            distribution="paraphrase-rl",
            version="1",
            load=dict,
        ),
    ]
    allow = Filter.from_environment(environment)
    assert {p.name for p in plugins if allow.reason(p)} == blocked
