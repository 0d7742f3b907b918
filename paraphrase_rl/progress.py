"""Progress of long work: passed to a callback of the caller, never printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

QUIET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One progress report of a function that takes long.

    Attributes:
        message: one line of text for the user.
        done: number of items done; ``None`` if nothing is counted.
        total: number of items in all; ``None`` if nothing is counted.
    """

    message: str
    done: int | None = None
    total: int | None = None


OnProgress = Callable[[Progress], None]
"""Type of ``progress=``: a callback, called in the thread that called the function. An exception in it ends the work.
"""


class Report(Protocol):
    """Progress report: internal functions call it with a line that says what they do."""

    def __call__(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Pass on a line, with how far the work is where that can be counted."""
        ...


def reporter(progress: OnProgress | None) -> Report:
    """Build a :class:`Report` that passes every report to a callback, and does nothing if there is no callback."""

    def report(message: str, done: int | None = None, total: int | None = None) -> None:
        if progress is not None:
            progress(Progress(message, done, total))

    return report


class Pace:
    """Reports on long work, at least ``QUIET_SECONDS`` apart.

    Args:
        report: shows a line.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._said = time.monotonic()

    def at(self, done: int, total: int, line: str) -> None:
        """Show ``line`` if the last report is long enough ago, but not at the end, which is reported otherwise."""
        if done < total and time.monotonic() - self._said > QUIET_SECONDS:
            self._report(line, done, total)
            self._said = time.monotonic()


def per_second(rate: float) -> str:
    """Write a rate with three significant digits, as ``2,260 a second`` or ``0.313 a second``."""
    rounded = float(f"{rate:.3g}")
    return f"{rounded:,.0f} a second" if rounded >= 100 else f"{rounded:.3g} a second"


def duration(seconds: float) -> str:
    """Write a duration as ``1h05m`` or ``4m30s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
