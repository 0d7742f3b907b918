"""A distribution whose entry points cannot be read costs itself alone, whoever's it is."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from paraphrase_rl.errors import PluginError
from paraphrase_rl.plugin.discovery import Filter, Plugins

Prl = Callable[..., subprocess.CompletedProcess[str]]


def no_name(folder: Path) -> Path:
    """What an interrupted ``pip uninstall`` leaves."""
    info = folder / "-broken-1.0.dist-info"
    info.mkdir(parents=True)
    return info


def with_entry_points(folder: Path, text: bytes) -> Path:
    info = folder / "damaged-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: damaged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(text)
    return info


DAMAGES: dict[str, Callable[[Path], Path]] = {
    "no name": no_name,
    "a line without =, of another group": lambda f: with_entry_points(
        f, b"[console_scripts]\na = b\nno sign\n"
    ),
    "a line without =, of ours": lambda f: with_entry_points(f, b"[paraphrase_rl]\nno sign\n"),
    "no UTF-8": lambda f: with_entry_points(f, b"[paraphrase_rl]\n\xff = \xfe\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_command_lives_and_names_the_folder(damage: str, prl: Prl, tmp_path: Path) -> None:
    folder = DAMAGES[damage](tmp_path / "site")
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    told = prl("plugins", "failures", "--format", "csv", **environment)
    assert told.returncode == 0, told.stderr
    rows = [
        r for r in csv.DictReader(told.stdout.splitlines(keepends=True)) if r["distribution"] == str(folder)
    ]
    assert [(row["plugin"], row["stage"]) for row in rows] == [("", "read")]
    assert "entry points cannot be read" in rows[0]["exception"]
    assert "Traceback" in rows[0]["traceback"]


def test_help_doctor_and_components_live_beside_all_of_them(prl: Prl, tmp_path: Path) -> None:
    folders = [damage(tmp_path / str(i)) for i, damage in enumerate(DAMAGES.values())]
    environment = {"PYTHONPATH": ":".join(str(folder.parent) for folder in folders)}
    assert prl("--help", **environment).returncode == 0
    doctor = prl("doctor", "--format", "json", **environment)
    assert "internal error" not in doctor.stderr
    checks = {row["check"]: row for row in json.loads(doctor.stdout)["rows"]}
    for folder in folders:
        assert checks[f"distribution {folder}"]["status"] == "missing"
        assert "remove its folder" in checks[f"distribution {folder}"]["remedy"]
    assert checks["entry points"]["status"] == "ok"
    listed = prl("plugins", "--format", "json", **environment)
    assert any(row["name"] == "starter" for row in json.loads(listed.stdout)["rows"])


def test_debug_names_it(prl: Prl, tmp_path: Path) -> None:
    folder = no_name(tmp_path / "site")
    result = prl("--debug", "plugins", PYTHONPATH=str(folder.parent))
    assert result.returncode == 0
    assert f"distribution {folder}: read failed:\nTraceback" in result.stderr


def test_a_plugin_of_the_same_folder_is_found(
    tmp_path: Path, third_party: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_name(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins = Plugins.load(Filter(allowed=frozenset({"vowels"})))
    assert any(plugin.name == "vowels" and plugin.status == "loaded" for plugin in plugins.found)


def test_strict_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = no_name(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(PluginError, match="entry points cannot be read") as caught:
        Plugins.load(Filter(), strict=True)
    assert str(folder) in caught.value.message
