"""The shell of the command line: errors, exit codes, streams."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from paraphrase_rl import __version__
from paraphrase_rl.cli import main
from paraphrase_rl.cli.commands import COMMANDS
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import DataError

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """``prl probe ...``, where probe does what the test says."""

    def run(action: Callable[[], object], *before: str) -> Result:
        probe = click.Command("probe", callback=lambda: action())
        monkeypatch.setattr(main.PrlGroup, "get_command", lambda self, ctx, name: probe)
        return CliRunner().invoke(cli, [*before, "probe"])

    return run


def raising(error: BaseException) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


def test_an_expected_error_is_message_hint_and_exit_code(run: Run) -> None:
    result = run(raising(DataError("no column 'text'", "name it with --column")))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: no column 'text'\nhint: name it with --column\n"


def test_an_error_without_a_hint_has_none(run: Run) -> None:
    assert run(raising(DataError("empty"))).stderr == "error: empty\n"


def test_an_error_may_say_that_the_answer_is_no(run: Run) -> None:
    error = DataError("3 of 5 texts failed")
    error.exit_code = 1
    assert run(raising(error)).exit_code == 1


def test_a_bug_is_one_line_without_traceback(run: Run) -> None:
    result = run(raising(KeyError("x\ny")))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: internal error: KeyError: ")
    assert "--debug" in result.stderr
    assert result.stderr.count("\n") == 2
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback_and_keeps_the_exit_code(run: Run) -> None:
    result = run(raising(DataError("empty")), "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "in raising" in result.stderr or "in action" in result.stderr
    assert result.stderr.endswith("error: empty\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_is_130(error: BaseException, run: Run) -> None:
    result = run(raising(error))
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


def test_a_closed_pipe_is_quiet(run: Run) -> None:
    result = run(raising(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_full_disk_is_one_line(run: Run) -> None:
    result = run(raising(OSError(errno.ENOSPC, "No space left on device")))
    assert result.exit_code == 2
    assert result.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_command_may_set_its_exit_code(code: int, run: Run) -> None:
    assert run(raising(click.exceptions.Exit(code))).exit_code == code


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["trian"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no command is called 'trian'\nhint: did you mean train?")


@pytest.mark.parametrize(
    "arguments", [["--bogus"], ["plugins", "--bogus"], ["plugins", "show"], ["plugins", "lits"]]
)
def test_wrong_use_is_an_error_and_a_hint(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert "--help" in result.stderr


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_helps(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"Usage: prl {name}")


def test_no_command_shows_the_help_as_wrong_use() -> None:
    result = CliRunner().invoke(cli, [])
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"prl {__version__}\n"


def process(code: str, tmp_path: Path) -> list[str]:
    """A ``prl probe`` in a real process, with real pipes and signals."""
    script = tmp_path / "probe.py"
    script.write_text(
        "import os, signal, sys, time, click\n"
        "from paraphrase_rl.cli import main\n"
        f"probe = click.Command('probe', callback=lambda: {code})\n"
        "main.PrlGroup.get_command = lambda self, ctx, name: probe\n"
        "sys.argv = ['prl', 'probe']\n"
        "main.main()\n"
    )
    return [sys.executable, str(script)]


def test_a_reader_that_leaves_early_sees_no_complaint(tmp_path: Path) -> None:
    prl = subprocess.Popen(
        process("[print('x' * 1000) for _ in range(10_000)]", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert prl.stdout is not None
    assert prl.stderr is not None
    prl.stdout.readline()
    prl.stdout.close()
    complaint = prl.stderr.read()
    prl.stderr.close()
    assert (prl.wait(30), complaint) == (0, b"")


def test_ctrl_c_on_a_real_process_is_130(tmp_path: Path) -> None:
    prl = subprocess.Popen(
        process("(print('ready', flush=True), time.sleep(60))", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background lets them ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert prl.stdout is not None
    assert prl.stdout.readline() == "ready\n"
    prl.send_signal(signal.SIGINT)
    _, stderr = prl.communicate(timeout=30)
    assert (prl.returncode, stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_process_cleans_up_and_is_143(number: signal.Signals, tmp_path: Path) -> None:
    held = f"__import__('paraphrase_rl.files').files.new_folder(__import__('pathlib').Path({str(tmp_path / 'out')!r}))"
    work = f"held.__enter__().mkdir() for held in [{held}]"
    prl = subprocess.Popen(
        process(f"([{work}], print('ready', flush=True), time.sleep(60))", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert prl.stdout is not None
    assert prl.stdout.readline() == "ready\n"
    prl.send_signal(number)
    _, stderr = prl.communicate(timeout=30)
    assert (prl.returncode, stderr) == (143, "terminated\n")
    assert [path.name for path in tmp_path.iterdir()] == ["probe.py"], "what was unfinished is removed"


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    result = subprocess.run(
        process("(signal.raise_signal(signal.SIGHUP), print('done'))", tmp_path),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert (result.returncode, result.stdout) == (0, "done\n")


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_are_no_files_of_the_command(closed: tuple[int, ...], tmp_path: Path) -> None:
    """The first file that is opened would take the place of one, and be written into by whoever prints."""
    code = "[open('held', 'w'), os.write(1, b'x'), os.write(2, b'x')]"
    command = process(code, tmp_path)
    shell = " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(f"exec {' '.join(command)} {shell}", shell=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "held").read_text() == ""


def test_ctrl_c_once_more_while_the_first_is_reported_shows_no_traceback(tmp_path: Path) -> None:
    again = "(setattr(main, 'say', lambda message: signal.raise_signal(2)), signal.raise_signal(2))"
    command = process(again, tmp_path)
    script = Path(command[1])
    script.write_text("import signal; signal.signal(2, signal.default_int_handler)\n" + script.read_text())
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (result.returncode, result.stderr) == (130, "")


def test_a_full_disk_under_stdout_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            process("print('payload')", tmp_path), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 2
    assert result.stderr == "error: [Errno 28] No space left on device\n"


def test_what_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    result = subprocess.run(
        process("print('a \\udc80 b')", tmp_path), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "a \\udc80 b\n")
