"""Progress: plain lines for pipes; on a terminal a bar that leaves nothing behind."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from paraphrase_rl.progress import per_second

SCRIPT = """
from paraphrase_rl.cli.progress import shown_progress
from paraphrase_rl.progress import Progress
with shown_progress("training") as show:
    show(Progress("calibrating [bold]a[/bold]"))
    show(Progress("step 3/12", 3, 12))
"""


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (2264.3, "2,260"),
        (8_204_311.0, "8,200,000"),
        (99.96, "100"),
        (12.345, "12.3"),
        (0.31349, "0.313"),
        (0.0, "0"),
    ],
)
def test_a_rate_is_a_plain_number(rate: float, shown: str) -> None:
    assert per_second(rate) == f"{shown} a second"


def test_a_pipe_gets_lines_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == "calibrating [bold]a[/bold]\nstep 3/12\n"


def test_a_terminal_gets_the_lines_and_a_bar() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed: all is read
        pass
    text = shown.decode()
    assert done.returncode == 0
    assert done.stdout == b""
    assert "calibrating [bold]a[/bold]" in text
    assert "step 3/12" in text
    assert text.count("3/12") > text.count("step 3/12"), "no bar was drawn"
