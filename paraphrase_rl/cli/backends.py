"""Which backend a command means, with its options: as asked for, or as a run recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import RunError, UsageError


@dataclass(frozen=True)
class ChosenBackend:
    """A backend by name, with the options to build it with."""

    name: str
    options: dict[str, Any]


def recorded(run: Path) -> ChosenBackend:
    """The backend a run began on.

    Raises:
        RunError: there is no run.
    """
    try:
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run} holds no run", "name the directory of a run: it has a manifest.json"
        ) from error
    return ChosenBackend(manifest["backend"], manifest.get("backend_options", {}))


def chosen(name: str | None, options: Sequence[str], resume: Path | None) -> ChosenBackend:
    """``--backend`` and its ``--option KEY=VALUE``; a run that is resumed brings its own, the options given win.

    Raises:
        UsageError: an option without a value, or another backend than the run's.
        RunError: there is no run to resume.
    """
    from paraphrase_rl.recipe.yaml_positions import parse_value

    given: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--option {option}: expected KEY=VALUE", "for example --option timeout_s=120")
        given[key.strip()] = parse_value(value, option)
    if resume is None:
        return ChosenBackend(name or "trl", given)
    began = recorded(resume)
    if name not in (None, began.name):
        raise UsageError(f"{resume} was begun on {began.name}, not on {name}", "leave out --backend")
    return ChosenBackend(began.name, {**began.options, **given})
