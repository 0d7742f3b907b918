"""Three places must name the same plug-ins: pyproject, the files, and what is installed."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"


def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["entry-points"]["paraphrase_rl"])


def test_every_plugin_file_has_an_entry_point_and_every_entry_point_a_file() -> None:
    files = {
        ".".join(path.relative_to(PLUGINS).with_suffix("").parts)
        for path in (PLUGINS / "paraphrase_rl_plugins").glob("*/*.py")
        if not path.name.startswith("_")
    }
    assert sorted(declared().values()) == sorted(files)


def test_what_is_installed_is_what_pyproject_says() -> None:
    installed = {
        entry.name: entry.value
        for entry in metadata.distribution("paraphrase-rl").entry_points
        if entry.group == "paraphrase_rl"
    }
    assert installed == declared(), "install again: pip install -e ."
