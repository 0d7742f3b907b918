"""What an evaluation says while it works."""

from __future__ import annotations

import time
from collections.abc import Callable

Report = Callable[[str], None]
"""Shows a line."""
QUIET_SECONDS = 10.0


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
            self._report(line)
            self._said = time.monotonic()
