"""Rescue checkpoint: what a training that fails has done is saved before its error is passed on."""

from __future__ import annotations

from collections.abc import Callable

from paraphrase_rl.errors import PrlError, one_line
from paraphrase_rl.progress import Report
from paraphrase_rl.runs.directory import RunDirectory


def rescue(
    directory: RunDirectory, report: Report, save: Callable[[], None], what: str, **counted: int
) -> None:
    """Save weights, and record it as an event; where that fails too, say so and hide no other error.

    Args:
        save: writes the checkpoint and lists it.
        what: what the weights are those of, for the user.
        counted: step of the training or of the warm-up, for the event.
    """
    try:
        save()
        directory.event("rescue", **counted)
        report(f"rescue checkpoint of {what} written")
    except Exception as error:  # the training fails already, of something else
        why = error.message if isinstance(error, PrlError) else one_line(error)
        report(f"could not save a rescue checkpoint of {what}: {why}")
