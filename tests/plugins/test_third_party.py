"""A broken plug-in costs only itself, shown on installed distributions and the real command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paraphrase_rl.errors import PluginError
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.installed import Filter
from paraphrase_rl.plugin.registry import Registry

Prl = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = {"torch", "transformers", "trl", "peft", "tinker", "datasets", "sentence_transformers", "sklearn"}
BROKEN = {
    "import-error": "a_module_that_nobody_has",
    "wrong-signature": "loss",
    "misspelt": "register_detecters",
    "unmarked": "register_detectors is not marked with @hookimpl",
    "default-argument": "argument 'folder' has a default",
    "exits": "SystemExit: this plug-in gives up",
    "leaves-a-mark": "implements no hook",
}


def test_list_names_what_works_and_what_does_not(prl: Prl) -> None:
    result = prl("plugins", "--format", "json")
    assert result.returncode == 0, result.stderr
    payload = json.loads(result.stdout)
    assert payload["schema"] == "prl.plugins"
    rows = {(row["plugin"], row["name"]): row for row in payload["rows"] if "acme" in row["distribution"]}
    good = rows["vowels", "vowels"]
    assert (good["kind"], good["distribution"], good["version"], good["status"]) == (
        "detectors",
        "acme-detectors",
        "1.2.0",
        "ready",
    )
    for plugin, reason in BROKEN.items():
        assert rows[plugin, None]["status"] == "failed"
        assert reason in rows[plugin, None]["summary"]
    assert "the licence server does not answer" in rows["raising", None]["summary"]
    assert any(row["name"] == "starter" and row["status"] == "ready" for row in payload["rows"])
    assert "a plug-in that prints" in result.stderr


def test_failures_carry_plugin_distribution_version_exception_and_traceback(prl: Prl) -> None:
    result = prl("plugins", "failures", "--format", "csv")
    rows = {
        (row["plugin"], row["stage"]): row
        for row in csv.DictReader(result.stdout.splitlines(keepends=True))
        if row["distribution"] == "acme-broken"
    }
    assert {plugin for plugin, _ in rows} == {*BROKEN, "raising"}
    assert [stage for plugin, stage in rows if plugin == "raising"] == ["register_detectors"], (
        "left out since"
    )
    failed = rows["import-error", "load"]
    assert failed["version"] == "0.3.0"
    assert failed["exception"] == "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"
    assert "acme_import_error.py" in failed["traceback"]


def test_a_blocked_plugin_is_not_imported(prl: Prl, tmp_path: Path) -> None:
    prl("plugins")
    assert (tmp_path / "mark").exists(), "the mark proves an import: without a block there must be one"
    (tmp_path / "mark").unlink()
    result = prl("plugins", "--format", "jsonl", PRL_DISABLE_PLUGINS="leaves_a_mark,exits")
    assert not (tmp_path / "mark").exists()
    status = {row["plugin"]: row["status"] for row in map(json.loads, result.stdout.splitlines())}
    assert (status["leaves-a-mark"], status["exits"], status["vowels"]) == ("blocked", "blocked", "ready")


def test_help_lists_commands_of_plugins_and_works_beside_broken_ones(prl: Prl) -> None:
    result = prl("--help")
    assert result.returncode == 0
    assert "hello" in result.stdout
    assert "Say hello." in result.stdout
    assert "Traceback" not in result.stderr
    assert prl("hello", "world").stdout == "hello world\n"


def test_strict_refuses_a_broken_plugin(prl: Prl) -> None:
    result = prl("plugins", PRL_STRICT_PLUGINS="1")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "acme-broken 0.3.0" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("broken", sorted(BROKEN))
def test_a_failed_plugin_leaves_nothing_behind(broken: str, third_party: Path) -> None:
    plugins = Plugins.load(Filter(allowed=frozenset({broken, "vowels"})))
    assert [failure.plugin for failure in plugins.failures if "acme" in failure.distribution] == [broken]
    assert not plugins.manager.has_plugin(f"acme-broken/{broken}")
    plugins.manager.check_pending()
    assert [e.spec.name for e in Registry(plugins).entries("detectors") if not e.plugin.bundled] == ["vowels"]


def test_the_allow_list_takes_plugins_and_distributions_and_leaves_the_bundled_ones(
    third_party: Path,
) -> None:
    def loaded(value: str) -> set[str]:
        plugins = Plugins.load(Filter.from_environment({"PRL_PLUGINS": value}))
        assert any(plugin.bundled and plugin.status == "loaded" for plugin in plugins.found)
        return {p.name for p in plugins.found if not p.bundled and p.status != "blocked"}

    assert loaded("") == set()
    assert loaded("vowels") == {"vowels"}
    assert loaded("acme_detectors, exits") == {"vowels", "hello", "exits"}


def test_all_third_party_plugins_can_be_switched_off_and_bundled_ones_by_name(third_party: Path) -> None:
    plugins = Plugins.load(Filter.from_environment({"PRL_DISABLE_PLUGINS": "__all__,starter"}))
    for plugin in plugins.found:
        assert (plugin.status == "blocked") == (not plugin.bundled or plugin.name == "starter")
    assert not any(name.startswith("acme_") for name in sys.modules)


def test_asking_for_a_component_of_a_failed_or_blocked_plugin_says_so(third_party: Path) -> None:
    registry = Registry(Plugins.load(Filter(disabled=frozenset({"exits"}))))
    with pytest.raises(PluginError, match=r"import-error \(acme-broken 0.3.0\) failed: load: ModuleNotFound"):
        registry.get("detectors", "import-error/anything")
    with pytest.raises(PluginError, match="is blocked: disabled by PRL_DISABLE_PLUGINS"):
        registry.get("detectors", "exits")


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"], ["plugins", "show", "vowels"]])
def test_nothing_heavy_is_imported(arguments: list[str], modules_after: Callable[..., set[str]]) -> None:
    modules = modules_after(*arguments, third_party=True, PRL_PLUGINS="vowels,hello")
    assert {"paraphrase_rl", "acme_vowels", "click"} <= modules
    assert modules & HEAVY == set()


def test_without_third_party_plugins_help_imports_no_plugin_and_no_pydantic(
    modules_after: Callable[..., set[str]],
) -> None:
    modules = modules_after("--help", third_party=False)
    assert "paraphrase_rl" in modules
    assert (
        modules & {*HEAVY, "paraphrase_rl_plugins", "pydantic", "numpy", "rich", "tabulate", "yaml"} == set()
    )
