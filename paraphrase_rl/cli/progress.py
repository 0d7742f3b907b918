"""Progress of a long command on stderr: lines, and on a terminal a bar below them while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from paraphrase_rl.cli.output import show_progress
from paraphrase_rl.cli.streams import STDERR, silence
from paraphrase_rl.progress import OnProgress, Progress
from paraphrase_rl.text.terminal import terminal_safe


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
            bar.console.print(terminal_safe(progress.message), markup=False, highlight=False, soft_wrap=True)
            if progress.done is not None:
                bar.update(drawn, completed=progress.done, total=progress.total)

    with _dropped_if_impossible():
        bar.start()
    try:
        yield show
    finally:
        with _dropped_if_impossible():
            bar.stop()


@contextmanager
def _dropped_if_impossible() -> Iterator[None]:
    try:
        yield
    except OSError:  # the terminal is gone
        silence(STDERR)
