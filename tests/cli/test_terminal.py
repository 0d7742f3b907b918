"""Nothing that comes from a file or a plug-in reaches the terminal as a command to it."""

from __future__ import annotations

import ast
import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import paraphrase_rl.cli
from paraphrase_rl.cli.main import cli
from paraphrase_rl.tables import cell, text_blocks
from paraphrase_rl.text.terminal import terminal_safe

NASTY = "\x1b[31m\x07\x9b2J\u202ecba\u2066"
UNSAFE = [
    *map(chr, [*range(9), *range(11, 32), *range(127, 160)]),
    *"\u061c\u200e\u202a\u202e\u2066\u2069\u2028",
]


@pytest.mark.parametrize("character", UNSAFE, ids=lambda c: f"U+{ord(c):04X}")
def test_a_character_that_a_terminal_obeys_is_shown_as_an_escape(character: str) -> None:
    assert character not in terminal_safe(f"a{character}b")
    assert f"{ord(character):02x}" in terminal_safe(f"a{character}b")
    assert character not in cell(f"a{character}b")
    assert character not in text_blocks([{"id": f"a{character}b", "text": f"c{character}d\ne"}])


@given(st.text())
def test_printable_text_stays_and_all_is_safe(text: str) -> None:
    safe = terminal_safe(text)
    assert not set(safe) & set(UNSAFE)
    assert terminal_safe(safe) == safe
    if text.isprintable():
        assert safe == text


def test_only_one_module_prints() -> None:
    """So that there is one place through which everything goes."""
    folder = Path(paraphrase_rl.cli.__file__).parent
    for file in folder.glob("*.py"):
        calls = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        }
        assert not calls & {"print", "click.echo", "click.secho"} or file.name == "output.py", file.name


def test_a_data_set_of_somebody_else(tmp_path: Path) -> None:
    rows = [
        {"id": f"{NASTY}{i}", "text": f"Rain fell on town {i}.", "label": label, "group": f"g{NASTY}"}
        for i in range(8)
        for label in ("human", "ai")
    ]
    for i, row in enumerate(rows):
        row["id"] += f"-{i}"
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for arguments in (
        ["data", "files", "-o", f"path={file}", "--sample", "1"],
        ["data", NASTY],
        ["score", "--text", NASTY, "--detector", NASTY],
        ["rewrite", NASTY, "--text", "a"],
        [NASTY],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert not set(result.output) & set(UNSAFE), arguments
        assert not set(result.stderr) & set(UNSAFE), arguments


def test_data_stays_data() -> None:
    """A format for programs carries every character of a text; a table for a person shows an escape."""
    text = "Rain fell\u202e on a town all day."
    arguments = ["rewrite", "article-deletion", "--text", text]
    found = CliRunner().invoke(cli, [*arguments, "--format", "csv"])
    assert "\u202e" in next(csv.DictReader(io.StringIO(found.stdout)))["rewrite"]
    shown = CliRunner().invoke(cli, arguments)
    assert "fell\\u202e on" in shown.stdout
