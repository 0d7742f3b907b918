"""What Windows lacks is not needed: every module is imported, and commands run, without it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import paraphrase_rl_plugins
import pytest

import paraphrase_rl
from tests.plugins.conftest import THIRD_PARTY

ABSENT = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
NOT_ALIKE = {"os.fork", "os.getuid", "os.kill", "os.killpg", "os.setsid", "os.sysconf", "signal.SIGKILL"}
"""On Windows ``os.kill(pid, 0)`` sends Ctrl-C; the others are not there. ``mypy --platform win32`` finds the rest."""
SOURCES = [
    path
    for package in (paraphrase_rl, paraphrase_rl_plugins)
    for path in sorted(Path(package.__file__).parent.rglob("*.py"))
]


@pytest.fixture
def windows(prl: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Callable[..., str]:
    """Run ``prl`` where the modules that Windows lacks cannot be imported; what it prints."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n")

    def run(*arguments: str) -> str:
        path = os.pathsep.join([str(folder), str(THIRD_PARTY)])
        ended = prl(*arguments, PYTHONPATH=path, PRL_PLUGINS="vowels", PRL_HOME=str(tmp_path / "home"))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def test_commands_run(windows: Callable[..., str]) -> None:
    assert windows("--help").startswith("Usage: prl ")
    (calibrated,) = json.loads(windows("calibrate", "--detector", "vowels", "--format", "json"))["rows"]
    assert calibrated["detector"] == "vowels"
    (scored,) = json.loads(
        windows("score", "--detector", "vowels", "--format", "json", "--text", "Some text.")
    )["rows"]
    assert scored["threshold"] == calibrated["threshold"]


def test_every_module_is_imported(tmp_path: Path) -> None:
    names = [
        ".".join(path.with_suffix("").parts[path.parts.index(package.__name__) :]).removesuffix(".__init__")
        for package in (paraphrase_rl, paraphrase_rl_plugins)
        for path in SOURCES
        if path.is_relative_to(Path(package.__file__).parent)
    ]
    light = [name for name in names if ".backends._" not in name and not name.endswith("__main__")]
    assert len(light) > 150
    code = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({ABSENT}))
for name in {light}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_called_that_windows_lacks_or_means_otherwise() -> None:
    called = {
        f"{node.value.id}.{node.attr}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert called & NOT_ALIKE == set()
    assert "os.getpid" in called
