"""Record of a step whose update is done, before a rescue checkpoint of it: a run goes on from recorded steps alone."""

from __future__ import annotations

from collections.abc import Callable

from paraphrase_rl.plugin import one_line


def recorded(record: Callable[[], None], step: str, report: Callable[[str], None]) -> bool:
    """Record a step of a training that fails; return ``False``, and say why, if that cannot be done.

    Args:
        step: the step, for the user.
    """
    try:
        record()
    except Exception as error:  # the training fails already, of something else
        report(f"{step} cannot be recorded: {one_line(error)}")
        return False
    return True
