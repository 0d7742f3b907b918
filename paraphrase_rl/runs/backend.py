"""Choice of the backend and its options: those given, or those that a run recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paraphrase_rl.recipe.defaults import default_backend
from paraphrase_rl.runs.reader import manifest_of


@dataclass(frozen=True)
class ChosenBackend:
    """A backend by name, with the options to build it with."""

    name: str = field(default_factory=default_backend)
    options: Mapping[str, Any] = field(default_factory=dict)


def backend_of_run(run: Path, options: Mapping[str, Any]) -> ChosenBackend:
    """Return the backend that a run was trained on, with its options, of which ``options`` replace some.

    Raises:
        RunError: there is no run, or its manifest is damaged.
    """
    began = manifest_of(run, ["backend"])
    return ChosenBackend(began["backend"], {**began.get("backend_options", {}), **options})
