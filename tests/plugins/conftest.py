"""Two real third-party distributions: dist-info folders and modules in ``third_party/``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

THIRD_PARTY = Path(__file__).parent / "third_party"
Prl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def prl(tmp_path: Path) -> Prl:
    """``prl`` in a process of its own, with the third-party distributions installed."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if "PLUGINS" not in key}
        return subprocess.run(
            [sys.executable, "-m", "paraphrase_rl", *arguments],
            env={
                **inherited,
                "ACME_MARK": str(tmp_path / "mark"),
                **environment,
                "PYTHONPATH": os.pathsep.join(
                    [environment.get("PYTHONPATH", str(THIRD_PARTY)), inherited.get("PYTHONPATH", "")]
                ).rstrip(os.pathsep),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def modules_after(prl: Prl, tmp_path: Path) -> Callable[..., set[str]]:
    """Top-level modules that a ``prl`` command has imported by its end."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "def tell():\n"
        "    print('MODULES', *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "atexit.register(tell)\n"
    )

    def run(*arguments: str, third_party: bool, **environment: str) -> set[str]:
        path = os.pathsep.join([str(tmp_path), *([str(THIRD_PARTY)] if third_party else [])])
        result = prl(*arguments, PYTHONPATH=path, **environment)
        assert result.returncode == 0, result.stderr
        return set(result.stderr.partition("MODULES ")[2].split())

    return run


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The third-party distributions on this process's path; what they import is forgotten afterwards."""
    monkeypatch.syspath_prepend(THIRD_PARTY)
    monkeypatch.setenv("ACME_MARK", str(tmp_path / "mark"))
    for name in ("PRL_PLUGINS", "PRL_DISABLE_PLUGINS", "PRL_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    for module in THIRD_PARTY.glob("acme_*.py"):
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
    return THIRD_PARTY
