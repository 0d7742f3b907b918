"""Distribution and name together are what a component is called; a plug-in that failed stands in nobody's way."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from paraphrase_rl.errors import PluginError
from paraphrase_rl.plugin.discovery import Filter, Plugins
from paraphrase_rl.plugin.registry import Registry

Prl = Callable[..., subprocess.CompletedProcess[str]]

COUNT = itertools.count()
DETECTOR = """
from paraphrase_rl.plugin import DetectorSpec, Scores, hookimpl
import numpy as np

class Constant:
    def score(self, texts):
        return Scores(np.full(len(texts), {value}))
    def provenance(self):
        return {{}}

@hookimpl
def register_detectors():
    return [DetectorSpec(name="{name}", summary="A third party's", family="toy", factory=lambda o, c: Constant())]
"""


def install(folder: Path, distribution: str, plugins: dict[str, str], version: str = "3.0") -> None:
    """A distribution in a folder of the path: plug-in name -> module, and what stands in the module."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = []
    for i, (name, source) in enumerate(plugins.items()):
        module = f"m{next(COUNT)}_{i}"  # no test sees another's module
        (folder / f"{module}.py").write_text(source)
        lines.append(f"{name} = {module}")
    (info / "entry_points.txt").write_text("\n".join(["[paraphrase_rl]", *lines, ""]))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on this process's path."""
    for name in ("PRL_PLUGINS", "PRL_DISABLE_PLUGINS", "PRL_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def registry(**environment: str) -> Registry:
    return Registry(Plugins.load(Filter.from_environment(environment)))


def test_a_good_plugin_named_like_a_bundled_one_does_not_break_it(path: Path) -> None:
    install(path, "zeta-tfidf", {"tfidf": DETECTOR.format(name="tfidf", value=7.0)})
    found = registry()
    assert not [f for f in found.failures if not f.distribution.startswith("acme")]
    assert found.get("detectors", "tfidf").plugin.bundled
    assert found.get("detectors", "paraphrase-rl/tfidf").plugin.bundled
    assert found.build("detectors", "zeta-tfidf/tfidf").score(["a"]).values.tolist() == [7.0]
    assert found.build("detectors", "Zeta_tfidf/tfidf").score(["a"]).values.tolist() == [7.0]
    names = [found.name_of(e) for e in found.entries("detectors") if e.spec.name == "tfidf"]
    assert sorted(names) == ["tfidf", "zeta-tfidf/tfidf"]


def test_a_bundled_name_under_another_plugin_name_is_the_same(path: Path) -> None:
    install(path, "zeta-tfidf", {"other": DETECTOR.format(name="tfidf", value=7.0)})
    assert registry().get("detectors", "tfidf").plugin.bundled


def test_two_distributions_with_one_plugin_name_are_two_plugins(path: Path) -> None:
    for distribution in ("zeta", "eta"):
        install(path, distribution, {"same": DETECTOR.format(name=f"{distribution}-one", value=1.0)})
    found = registry()
    assert {"zeta-one", "eta-one"} <= {e.spec.name for e in found.entries("detectors")}
    assert not found.failures


def test_two_third_parties_with_one_component_name_are_ambiguous_until_named(path: Path) -> None:
    for distribution in ("zeta", "eta"):
        install(path, distribution, {distribution: DETECTOR.format(name="same", value=1.0)})
    with pytest.raises(PluginError) as caught:
        registry().get("detectors", "same")
    assert caught.value.hint == "write eta/same or zeta/same"
    assert registry().get("detectors", "eta/same").plugin.distribution == "eta"
    assert registry(PRL_DISABLE_PLUGINS="zeta").get("detectors", "same").plugin.distribution == "eta"


def test_a_plugin_that_cannot_be_loaded_takes_part_in_nothing(path: Path) -> None:
    install(path, "zeta", {})
    (path / "zeta-3.0.dist-info" / "entry_points.txt").write_text("[paraphrase_rl]\nstarter = nothing_here\n")
    found = registry()
    assert found.get("datasets", "starter").plugin.bundled
    assert [e.full_name for e in found.entries("datasets") if e.spec.name == "starter"] == [
        "paraphrase-rl/starter"
    ]
    assert [(f.distribution, f.plugin, f.stage) for f in found.failures] == [("zeta", "starter", "load")]
    with pytest.raises(PluginError, match=r"plug-in starter \(zeta 3.0\) failed: load: ModuleNotFoundError"):
        found.get("datasets", "zeta/starter")


def test_a_plugin_that_answers_one_hook_wrongly_takes_part_in_nothing(path: Path) -> None:
    wrong = DETECTOR.format(name="tfidf", value=1.0) + "\n@hookimpl\ndef register_rewards():\n    return 5\n"
    install(path, "zeta", {"half": wrong})
    found = registry()
    assert [e.plugin.distribution for e in found.entries("detectors") if e.spec.name == "tfidf"] == [
        "paraphrase-rl"
    ]
    assert [(f.plugin, f.stage) for f in found.failures] == [("half", "register_rewards")]


def test_one_distribution_registers_a_component_once(path: Path) -> None:
    twice = DETECTOR.format(name="same", value=1.0)
    install(path, "zeta", {"first": twice, "second": twice})
    found = registry()
    assert found.get("detectors", "zeta/same").plugin.name == "first"
    assert [(f.plugin, f.exception) for f in found.failures] == [
        ("second", "PluginError: registers detector same, as plug-in first does")
    ]


@pytest.mark.parametrize("disabled", ["zeta", "ZETA", "zeta/starter", "__all__"])
def test_a_plugin_is_switched_off_by_distribution_and_the_bundled_one_stays(
    path: Path, disabled: str
) -> None:
    install(path, "zeta", {"starter": "raise SystemExit(3)"})
    found = registry(PRL_DISABLE_PLUGINS=disabled)
    assert not found.failures
    assert found.get("datasets", "starter").plugin.bundled


def test_a_bundled_plugin_is_switched_off_by_its_whole_name(path: Path) -> None:
    install(path, "zeta", {"tfidf": DETECTOR.format(name="tfidf", value=7.0)})
    found = registry(PRL_DISABLE_PLUGINS="paraphrase-rl/tfidf")
    assert found.get("detectors", "tfidf").plugin.distribution == "zeta"


def test_the_command_names_both(path: Path, prl: Prl) -> None:
    install(path, "zeta-tfidf", {"tfidf": DETECTOR.format(name="tfidf", value=7.0)})
    result = prl("plugins", "--format", "json", PYTHONPATH=str(path))
    rows = [row for row in json.loads(result.stdout)["rows"] if row["plugin"] == "tfidf"]
    assert {(row["name"], row["distribution"], row["status"]) for row in rows} == {
        ("tfidf", "paraphrase-rl", "ready"),
        ("zeta-tfidf/tfidf", "zeta-tfidf", "ready"),
    }
    scored = prl(
        "score",
        "--text",
        "One text.",
        "--detector",
        "zeta-tfidf/tfidf",
        "--format",
        "jsonl",
        PYTHONPATH=str(path),
    )
    assert json.loads(scored.stdout.splitlines()[0])["score"] == 7.0, scored.stderr


def test_options_that_have_no_description_are_the_plugins_fault(path: Path, prl: Prl) -> None:
    source = DETECTOR.format(name="odd", value=1.0).replace("factory=", "options=Odd, factory=")
    source += "from collections.abc import Callable\nfrom paraphrase_rl.plugin import Options\n"
    source += "class Odd(Options):\n    how: Callable[[], int] = int\n"
    install(path, "zeta", {"odd": source})
    result = prl("plugins", "show", "odd", PYTHONPATH=str(path))
    assert result.returncode == 2
    assert "error: detector odd of plug-in odd (zeta 3.0) crashes over its options" in result.stderr
