"""The facts a run starts from: no program that a checkout names is run to find them out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paraphrase_rl.runs.manifest import _git


def _run(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkouts_programs_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, ran = tmp_path / "checkout", tmp_path / "ran"
    checkout.mkdir()
    _run(checkout, "init", "--quiet")
    (checkout / ".gitattributes").write_text("*.txt filter=theirs\n")
    (checkout / "a.txt").write_text("one\n")
    _run(checkout, "add", ".")
    _run(checkout, "commit", "--quiet", "--message", "first")
    commit = _run(checkout, "rev-parse", "HEAD")
    program = tmp_path / "program.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\ncat\n')
    program.chmod(0o755)
    for key in ("core.fsmonitor", "filter.theirs.clean", "core.pager", "diff.external", "core.sshCommand"):
        _run(checkout, "config", key, str(program))
    (checkout / "a.txt").write_text("two\n")
    _run(checkout, "status", "--porcelain")
    assert ran.exists()  # the trap works
    ran.unlink()

    monkeypatch.chdir(checkout)
    assert _git() == {"commit": commit}
    assert not ran.exists()


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert _git() is None
    _run(tmp_path, "init", "--quiet")
    assert _git() is None  # no commit yet


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _git() is None
