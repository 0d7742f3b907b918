"""Toy plug-ins in a registry of one's own, and a cache with a trained tfidf for what uses the installed ones."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
from pathlib import Path
from types import ModuleType

import pytest
from paraphrase_rl_plugins.datasets import files

import paraphrase_rl as prl
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, Options, RewriterSpec
from paraphrase_rl.types import Failure, Rewrite
from tests.cli import conftest as toys


class Options_(Options):  # noqa: N801
    mark: str = "!"


class Echo:
    """Adds a mark, the seed and the number of the sample; FAIL fails, LONG is cut."""

    def __init__(self, options: Options_, context: Context) -> None:
        self._options, self._context = options, context

    def rewrite(self, texts: list[str], n: int, seed: int) -> list[list[Rewrite] | Failure]:
        names = "" if self._context.ensemble is None else ",".join(self._context.ensemble.names)
        return [
            Failure(index=i, owner="echo", kind="refused", message="no")
            if text == "FAIL"
            else [
                Rewrite(text=f"{text}{self._options.mark}{seed}{k}{names}", finished=text != "LONG")
                for k in range(n)
            ]
            for i, text in enumerate(texts)
        ]


@hookimpl
def register_rewriters() -> list[RewriterSpec]:
    return [RewriterSpec(name="echo", summary="Echo", factory=Echo, options=Options_)]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    """The toys of the command's tests and a rewriter; nothing reaches the real cache or registry."""

    def no_default() -> Registry:
        raise AssertionError("the verb asked for the default registry though one was given")

    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", no_default)
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    hooks = ("register_detectors", "register_datasets")
    known = type("Toys", (), {name: staticmethod(getattr(toys, name)) for name in hooks})
    mine = type("Mine", (), {"register_rewriters": staticmethod(register_rewriters)})
    return Registry(Plugins.of(toys=known, mine=mine, files=files))


@pytest.fixture(scope="session")
def fitted_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a trained tfidf, and the converted models of the real one, for examples."""
    home = tmp_path_factory.mktemp("prl-home")
    models = Path(os.environ["PRL_HOME"]) / "models"
    models.mkdir(parents=True, exist_ok=True)
    (home / "models").symlink_to(models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRL_HOME", str(home))
        prl.fit("tfidf", data="starter")
    return home


def examples(module: str) -> list[doctest.DocTest]:
    """The examples of the public functions and classes that a module defines; ``prl`` is imported in each."""
    found: ModuleType = importlib.import_module(module)
    names = {
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and inspect.getmodule(value) is found and callable(value)
    }
    tests = doctest.DocTestFinder(recurse=False)
    return [
        test for name in sorted(names) for test in tests.find(getattr(found, name), name, globs={"prl": prl})
    ]
