"""Progress of a long command on stderr: lines, and on a terminal a bar below them while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from paraphrase_rl.cli.output import show_progress
from paraphrase_rl.cli.streams import STDERR, silence
from paraphrase_rl.progress import QUIET_SECONDS, OnProgress, Progress
from paraphrase_rl.text.terminal import terminal_safe

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


@contextmanager
def shown_progress(task: str) -> Iterator[OnProgress]:
    """Give a callback for ``progress=`` that shows lines on stderr, with a bar if that is a terminal.

    Args:
        task: label of the bar.
    """
    if not sys.stderr.isatty():
        yield show_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(task), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    drawn = bar.add_task(task, total=None)

    def show(progress: Progress) -> None:
        with _dropped_if_impossible():
            _print(bar, progress)
            if progress.done is not None:
                bar.update(drawn, completed=progress.done, total=progress.total)

    with _running(bar):
        yield show


@contextmanager
def _running(bar: Bar) -> Iterator[None]:
    with _dropped_if_impossible():
        bar.start()
    try:
        yield
    finally:
        with _dropped_if_impossible():
            bar.stop()


def _print(bar: Bar, progress: Progress) -> None:
    bar.console.print(terminal_safe(progress.message), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _dropped_if_impossible() -> Iterator[None]:
    try:
        yield
    except OSError:  # the terminal is gone
        silence(STDERR)


@contextmanager
def shown_count(task: str, *, rows_on_stdout: bool) -> Iterator[OnProgress]:
    """Give a callback for ``progress=`` of work on many items: a bar with rate and time left if stderr is a terminal.

    Elsewhere it is a line now and then. What cannot be shown is dropped: the work goes on.

    Args:
        task: label of the bar.
        rows_on_stdout: whether rows come on stdout meanwhile; on the same terminal they would tear the bar.
    """
    if not sys.stderr.isatty() or (rows_on_stdout and sys.stdout.isatty()):
        yield _now_and_then()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(task), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    console = Console(stderr=True)
    bar = Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    drawn = bar.add_task(task, total=None, pace="")

    def show(progress: Progress) -> None:
        with _dropped_if_impossible():
            if progress.done is None:
                _print(bar, progress)
                return
            pace = terminal_safe(progress.message.partition(", ")[2])
            bar.update(drawn, completed=progress.done, total=progress.total, pace=pace)

    with _running(bar):
        yield show


def _now_and_then() -> OnProgress:
    said = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal said
        if progress.done is not None:
            if time.monotonic() - said < QUIET_SECONDS:
                return
            said = time.monotonic()
        show_progress(progress)

    return show
