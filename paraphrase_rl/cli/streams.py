"""Standard streams that are closed, or that nobody reads any more: they end no work, and no file takes their place."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

STDOUT, STDERR = 1, 2


def silence(number: int) -> None:
    """Send a standard stream to nowhere: what it still holds cannot make the end of the process fail."""
    with suppress(OSError):  # in tests the stream is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def ensure_streams() -> None:
    """Open the standard streams that whoever started the process closed, as ``>&-`` does.

    Else the next file that is opened would take the place of one, and what is printed would be written into it.
    """
    for number in (0, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
