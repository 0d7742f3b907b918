"""docs/your-texts.md: its commands run on a generated file, and what it shows is what they give.

``PRL_WRITE_DOCS=1 pytest tests/docs/test_your_texts.py`` writes it.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from tests.docs.execution import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-texts.md"
BLOCK = re.compile(r"```(bash|python)\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def write_essays(path: Path) -> None:
    """Texts of the starter set in a shape of somebody else's, two of them missing."""
    corpus = prl.load_data("starter", excerpt_words=60)
    chosen = [*corpus.select(label="human")[:160], *corpus.select(label="ai")[:120]]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["student", "essay", "generated", "author_group"])
        for number, document in enumerate(chosen):
            text = "" if number in (7, 201) else document.text
            group = "second-language" if number % 3 == 0 else "native"
            rows.writerow([f"s{number}", text, int(document.label == "ai"), group])


def shown(command: str, errors: bool) -> str:
    """Run a command; an exit code other than 0 shows what stands on stderr."""
    command, _, file = command.partition(" > ")
    program, *arguments = shlex.split(command)
    assert program == "prl"
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == (2 if errors else 0), result.stderr
    if file:
        Path(file).write_text(result.stdout, encoding="utf-8")
        return ""
    return result.stderr if errors else result.stdout


def test_the_page_shows_what_its_commands_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRL_PLUGIN_FILES", raising=False)
    write_essays(tmp_path / "essays.csv")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    refused = iter((True, True))

    def block(match: re.Match[str]) -> str:
        if match[1] == "python":
            given = run(match[2], namespace).text
        else:
            given = "".join(shown(line, next(refused, False)) for line in match[2].splitlines())
        given = given.replace(f"{tmp_path}/", "")
        return f"```{match[1]}\n{match[2]}```\n" + ("" if match[3] is None else f"\n```text\n{given}```\n")

    text = PAGE.read_text(encoding="utf-8")
    wanted = BLOCK.sub(block, text)
    if os.environ.get("PRL_WRITE_DOCS"):
        PAGE.write_text(wanted, encoding="utf-8")
        return
    assert text == wanted, "PRL_WRITE_DOCS=1 pytest tests/docs/test_your_texts.py writes it"
