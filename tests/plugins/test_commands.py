"""Commands of plug-ins: how they end by themselves passes, what they do wrong is named."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.test_identity import install

Prl = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = """
import sys
import click
from paraphrase_rl.plugin import CommandSpec, PrlError, hookimpl

@click.command()
@click.argument("how")
@click.pass_context
def ends(ctx, how):
    if how == "interrupt":
        raise KeyboardInterrupt
    {"exit": lambda: sys.exit(3), "raise": lambda: 1 // 0, "own": lambda: ctx.exit(5), "file": lambda: open("/none/x"),
     "usage": lambda: ctx.fail("not so"), "fine": lambda: click.echo("done")}[how]()

@click.command()
@click.argument("day", callback=lambda ctx, parameter, value: 1 // 0)
def parses(day):
    pass

@click.group()
def many():
    pass

@many.command()
def inner():
    sys.exit(3)

def crash(options, context):
    raise SystemExit(3)

@hookimpl
def register_commands():
    named = {"ends": ends, "parses": parses, "many": many, "none": None}
    made = [CommandSpec(name=n, summary="A test", factory=lambda o, c, f=f: f) for n, f in named.items()]
    return [*made, CommandSpec(name="unbuilt", summary="A test", factory=crash)]
"""


@pytest.fixture
def zeta(tmp_path: Path, prl: Prl) -> Prl:
    """``prl`` with commands that end in every way."""
    install(tmp_path / "site", "zeta", {"commands": COMMANDS})
    return lambda *arguments: prl(*arguments, PYTHONPATH=str(tmp_path / "site"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["ends", "exit"],
            "command ends of plug-in commands (zeta 3.0) crashes while it runs: SystemExit: 3",
        ),
        (
            ["ends", "raise"],
            "command ends of plug-in commands (zeta 3.0) crashes while it runs: ZeroDivisionError",
        ),
        (
            ["ends", "file"],
            "command ends of plug-in commands (zeta 3.0) crashes while it runs: FileNotFoundError",
        ),
        (
            ["parses", "x"],
            "command parses of plug-in commands (zeta 3.0) crashes while it runs: ZeroDivisionError",
        ),
        (
            ["many", "inner"],
            "command many of plug-in commands (zeta 3.0) crashes while it runs: SystemExit: 3",
        ),
        (
            ["none"],
            "command none of plug-in commands (zeta 3.0) is built as None, which is not a click command",
        ),
        (
            ["unbuilt"],
            "command unbuilt of plug-in commands (zeta 3.0) crashes while it is built: SystemExit: 3",
        ),
        (["zeta/ends", "exit"], "command zeta/ends of plug-in commands (zeta 3.0) crashes"),
    ],
)
def test_a_fault_is_the_plugins(zeta: Prl, arguments: list[str], says: str) -> None:
    result = zeta(*arguments)
    assert result.returncode == 2
    assert f"error: {says}" in result.stderr
    assert "hint: this is a fault in the plug-in" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["ends", "fine"], 0, ""),
        (["ends", "own"], 5, ""),
        (["ends", "usage"], 2, "error: not so"),
        (["ends"], 2, "Missing argument"),
        (["ends", "--help"], 0, ""),
        (["ends", "interrupt"], 130, "interrupted"),
    ],
)
def test_how_a_command_ends_by_itself_passes(zeta: Prl, arguments: list[str], code: int, says: str) -> None:
    result = zeta(*arguments)
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "plug-in" not in result.stderr


def test_debug_shows_the_traceback(zeta: Prl) -> None:
    assert "in ends" in zeta("--debug", "ends", "raise").stderr


NASTY = "\x1b[31m\x07\x9b2J\u202ecba\u2066"
FRIENDLY = f"""
import click
from paraphrase_rl.plugin import CommandSpec, PrlError, hookimpl

@click.command()
def greet():
    raise PrlError({NASTY!r}, {NASTY!r})

@hookimpl
def register_commands():
    return [CommandSpec(name="greet", summary={NASTY!r}, factory=lambda o, c: greet)]
"""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["greet"],
        ["--debug", "greet"],
        ["--debug", "plugins", "list"],
        ["plugins", "failures"],
    ],
)
def test_the_terminal_obeys_no_plugin(tmp_path: Path, prl: Prl, arguments: list[str]) -> None:
    modules = {f"commands{NASTY}": FRIENDLY, f"broken{NASTY}": f"raise RuntimeError({NASTY!r})"}
    install(tmp_path / "site", "zeta", modules)
    result = prl(*arguments, PYTHONPATH=str(tmp_path / "site"), PYTHONIOENCODING="utf-8")
    found = result.stdout + result.stderr
    assert "\\x9b2J\\u202ecba\\u2066" in found
    assert not set(found) & {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"}
