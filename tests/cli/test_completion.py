"""Completion of component names and recipes in the shell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from paraphrase_rl.cli.main import cli


def completed(*words: str) -> list[tuple[str, str]]:
    *before, incomplete = words
    found = ShellComplete(cli, {}, "prl", "_PRL_COMPLETE").get_completions(before, incomplete)
    return [(item.type, item.value) for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("score", "--detector", "log"), ["log-likelihood", "log-rank"]),
        (("calibrate", "--detector", "tf"), ["tfidf"]),
        (("evaluate", "-d", "lr"), ["lrr"]),
        (("evaluate", "-r", "homo"), ["homoglyph"]),
        (("harden", "tf"), ["tfidf"]),
        (("harden", "tfidf", "--on", "homo"), ["homoglyph"]),
        (("harden", "tfidf", "--against", "homo"), ["homoglyph"]),
        (("fit", "tf"), ["tfidf"]),
        (("rewrite", "homo"), ["homoglyph"]),
        (("train", "--config", "quick"), ["quickstart"]),
        (("train", "--backend", "tr"), ["trl"]),
        (("check", "--backend", "tink"), ["tinker"]),
        (("data", "start"), ["starter"]),
        (("calibrate", "--data", "start"), ["starter"]),
        (("plugins", "show", "homo"), ["homoglyph"]),
        (("plugins", "rewr"), ["rewriters"]),
    ],
)
def test_names_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*words) == [("plain", name) for name in expected]


@pytest.mark.parametrize(
    "words", [("train", "--config", "./my"), ("data", "./my"), ("fit", "x", "--data", "./my")]
)
def test_where_a_file_may_stand_files_are_completed(words: tuple[str, ...]) -> None:
    assert completed(*words) == [("file", "./my")]


def test_a_name_that_nothing_begins_with_has_no_completion() -> None:
    assert completed("score", "--detector", "zzz") == []


def test_bash_gets_a_script() -> None:
    environment = {**os.environ, "_PRL_COMPLETE": "bash_source"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'prl'; from paraphrase_rl.cli.main import main; main()",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "_PRL_COMPLETE=bash_complete" in done.stdout, done.stderr
