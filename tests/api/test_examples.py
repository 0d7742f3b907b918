"""Every verb has a docstring with an example, and every example gives what it shows."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest

import paraphrase_rl as prl
from paraphrase_rl.recipe import loading
from tests.api.conftest import examples
from tests.tiny_model import write_tiny_quickstart

MODULES = [name for name in prl._PUBLIC if name.startswith("paraphrase_rl.api.")]
VERBS = [name for module in MODULES for name in prl._PUBLIC[module] if name.islower()]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_what_it_takes_returns_and_raises(verb: str) -> None:
    text = inspect.getdoc(getattr(prl, verb)) or ""
    for part in ("Args:", "Returns:", "Raises:", "Example:", ">>> "):
        assert part in text, f"{verb} has no {part}"
    for name in inspect.signature(getattr(prl, verb)).parameters:
        assert f"{name}: " in text, f"{verb} does not explain {name}"


def failures(*modules: str) -> str:
    """What the examples of modules give and do not show; empty where all is as shown."""
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    for module in modules:
        for example in examples(f"paraphrase_rl.api.{module}"):
            runner.run(example, out=report.append)
    assert runner.tries
    return "".join(report) if runner.failures else ""


@pytest.fixture(autouse=True)
def _home(fitted_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRL_HOME", str(fitted_home))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("module", ["calibrating", "data", "rewriting", "scoring"])
def test_examples_of_the_verbs_about_texts(module: str) -> None:
    assert failures(module) == ""


@pytest.mark.slow
@pytest.mark.models
def test_examples_of_the_verbs_about_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of a study: those after the first go on with the run that it trained, on a tiny model."""
    tiny = write_tiny_quickstart(tmp_path / "tiny")
    monkeypatch.setattr(loading, "packaged_recipes", lambda: {"quickstart": tiny})
    assert failures("training", "monitoring", "evaluating", "reporting", "hardening") == ""
