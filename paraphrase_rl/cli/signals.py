"""Signals that end a command: Ctrl-C, SIGTERM (of ``kill`` or a scheduler), and SIGHUP (the terminal is gone)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from paraphrase_rl.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: it ends the work wherever Ctrl-C would, and what is saved then is saved now."""


def exit_code(ended: BaseException) -> int:
    """Return the exit code of a command that a signal ended: 143 for SIGTERM and SIGHUP, 130 for Ctrl-C."""
    return EXIT_TERMINATED if isinstance(ended, Terminated) else EXIT_INTERRUPTED


def terminated_is_raised() -> None:
    """Let SIGTERM and SIGHUP raise :class:`Terminated` from here on, unless the process was started to ignore them."""
    for number in _TERMINATING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop_at_once)


@contextmanager
def stop_after_step(say: Callable[[], None]) -> Iterator[list[int]]:
    """Make the first signal a request to stop after the current step, and a second one stop at once.

    Args:
        say: called at the first signal.

    Returns:
        The exit code of the signal that came, in a list; empty = none came.
    """
    asked: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            _stop_at_once(number, frame)
        asked.append(EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED)
        say()

    numbers = [signal.SIGINT, *(n for n in _TERMINATING if signal.getsignal(n) is not signal.SIG_IGN)]
    previous = [(number, signal.signal(number, handle)) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in previous:
            signal.signal(number, handler)


def _stop_at_once(number: int, frame: Any) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


_TERMINATING = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]  # no SIGHUP on Windows
