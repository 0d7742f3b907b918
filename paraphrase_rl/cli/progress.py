"""What a long command shows on stderr: lines, and on a terminal a bar below them while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from paraphrase_rl.cli.output import say


class Silence:
    """Nothing: for all but the first process of a distributed run."""

    def line(self, message: str) -> None:
        """Show one line."""

    def advance(self, done: int, total: int) -> None:
        """Show how many steps are done."""


class Lines(Silence):
    """Lines only: for files and pipes, where a bar would be noise."""

    def line(self, message: str) -> None:
        say(message)


class Bar(Silence):
    """Lines above a bar with the steps done and the time that has passed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self.progress.add_task("training", total=None)

    def line(self, message: str) -> None:
        self.progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def advance(self, done: int, total: int) -> None:
        self.progress.update(self._task, completed=done, total=total)


@contextmanager
def shown_progress(*, quiet: bool = False) -> Iterator[Silence]:
    """A bar where stderr is a terminal, plain lines elsewhere, nothing where ``quiet``."""
    if quiet or not sys.stderr.isatty():
        yield Silence() if quiet else Lines()
        return
    bar = Bar()
    with bar.progress:
        yield bar
