"""Progress of long work: to a callback of the caller's, never printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

QUIET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One piece of news from a verb at work.

    Attributes:
        message: one line for a person.
        done: items done; ``None`` where nothing is counted.
        total: items in all; ``None`` where nothing is counted.
    """

    message: str
    done: int | None = None
    total: int | None = None


OnProgress = Callable[[Progress], None]
"""What ``progress=`` of a verb takes; called in the thread of the verb. An exception in it ends the work."""


class Report(Protocol):
    """Progress report: functions below the verbs call it with what they do."""

    def __call__(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Pass on a line, with how far the work is where that can be counted."""
        ...


def reporter(progress: OnProgress | None) -> Report:
    """The :class:`Report` that passes everything to a callback; nothing where there is none."""

    def report(message: str, done: int | None = None, total: int | None = None) -> None:
        if progress is not None:
            progress(Progress(message, done, total))

    return report


class Pace:
    """Lines about a long piece of work, ``QUIET_SECONDS`` apart at least.

    Args:
        report: shows a line.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._said = time.monotonic()

    def at(self, done: int, total: int, line: str) -> None:
        """Show ``line`` if it is time, and not at the end: what follows says so."""
        if done < total and time.monotonic() - self._said > QUIET_SECONDS:
            self._report(line, done, total)
            self._said = time.monotonic()
