"""What README.md and docs/ tell a reader to type exists, and what they show is what is printed.

``PRL_WRITE_DOCS=1 pytest tests/docs`` writes the shown parts anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from paraphrase_rl.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(?:bash|console)\n(.*?)```", re.DOTALL)


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(("prl ", "accelerate launch")):
                    found.append((page.name, line))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_quoted_commands_have_these_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[words.index("paraphrase_rl") + 1 :] if words[0] == "accelerate" else words[1:]
    with cli.make_context("prl", list(words), resilient_parsing=True) as context:
        name, command, rest = cli.resolve_command(context, list(words))
        assert command is not None
        called = command.make_context(name, list(rest), parent=context, resilient_parsing=True).command
        options = {
            o for p in called.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)
        }
        used = {word.split("=")[0] for word in rest if word.startswith("-") and word != "-"}
        assert used <= options | {"--help"}, f"{page}: {line}"


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_shows_the_help_that_is_printed() -> None:
    environment = {**os.environ, "COLUMNS": "100", "PRL_PLUGINS": ""}
    shown = subprocess.run(
        [sys.executable, "-m", "paraphrase_rl", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    _shown_in_readme("help", f"```console\n$ prl --help\n{shown}```")


def test_readme_shows_the_demo_that_docs_record() -> None:
    record = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    output = re.search(r"```text\n(.*?)```", record, re.DOTALL)
    assert output is not None
    _shown_in_readme("demo", f"```text\n{output.group(1)}```")


@pytest.mark.parametrize("page", ["README.md", "configs/demo.yaml"])
def test_what_the_demo_costs_is_what_docs_record(page: str) -> None:
    said = re.compile(
        r"about \d+ minutes (?:alone on two cores, or \d+ minutes )?of CPU time by one thread, in \w+"
    )
    recorded = said.search((ROOT / "docs" / "demo.md").read_text(encoding="utf-8"))
    if recorded is None:
        pytest.skip(
            "docs/demo.md was written of runs that were trained elsewhere, whose CPU time is not recorded"
        )
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(said.findall(text)) == 1
    if os.environ.get("PRL_WRITE_DOCS"):
        (ROOT / page).write_text(said.sub(recorded[0], text), encoding="utf-8")
        return
    assert recorded[0] in text, "make docs writes it anew"


def _shown_in_readme(mark: str, expected: str) -> None:
    page = ROOT / "README.md"
    text = page.read_text(encoding="utf-8")
    part = re.compile(rf"(<!-- {mark} -->\n).*?(?=(\n<!-- /{mark} -->))", re.DOTALL)
    assert part.search(text), f"README.md has no place for {mark}"
    if os.environ.get("PRL_WRITE_DOCS"):
        page.write_text(part.sub(lambda match: match.group(1) + expected, text), encoding="utf-8")
        return
    assert f"<!-- {mark} -->\n{expected}\n<!-- /{mark} -->" in text, "make docs writes it anew"
