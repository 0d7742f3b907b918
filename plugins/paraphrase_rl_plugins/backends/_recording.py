"""Records of failures: a request that is asked again, and the step that a rescue checkpoint is of."""

from __future__ import annotations

from collections.abc import Callable

from paraphrase_rl.plugin import Session, one_line


def recorded(record: Callable[[], None], step: str, report: Callable[[str], None]) -> bool:
    """Record a step of a training that fails; return ``False``, and say why, if that cannot be done.

    A run goes on from recorded steps alone.

    Args:
        step: the step, for the user.
    """
    try:
        record()
    except Exception as error:  # the training fails already, of something else
        report(f"{step} cannot be recorded: {one_line(error)}")
        return False
    return True


def note_retry(session: Session, what: str, why: str, **at: int) -> None:
    """Record, and say, that something failed and is asked for again; ``at``: the step that it belongs to."""
    session.event("retry", **at, what=what, reason=why)
    session.report(f"asked again: {why}")
