"""Which backend a command means, with its options: as asked for, or as a run recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paraphrase_rl.cli.settings import option_values


@dataclass(frozen=True)
class ChosenBackend:
    """A backend by name, with the options to build it with."""

    name: str
    options: dict[str, Any]


def chosen(name: str | None, options: Sequence[str], run: Path | None) -> ChosenBackend:
    """``--backend`` and its ``--option KEY=VALUE``; a run brings its own backend, and the options given win.

    Raises:
        UsageError: an option without a value.
        RunError: there is no run, or its manifest is damaged.
    """
    given = option_values(options, "timeout_s=120")
    if run is None:
        return ChosenBackend(name or "trl", given)
    from paraphrase_rl.training.history import manifest_of

    began = manifest_of(run, ["backend"])
    return ChosenBackend(began["backend"], {**began.get("backend_options", {}), **given})
