"""What a run recorded, for those who only read it: its manifest, its recipe, and what its checkpoints are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.training.run import has_expired

Wanted = int | Literal["final", "last"]


def manifest_of(run: Path) -> dict[str, Any]:
    """What a run was when it began.

    Raises:
        RunError: there is no run, or its manifest is damaged.
    """
    path = run / "manifest.json"
    if not path.exists():
        raise RunError(f"{run} holds no run", "name the directory of a run: it has a manifest.json")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}", "the run is damaged: start a new one") from error
    return found


def recipe_file(run: Path) -> Path:
    """Where the recipe of a run is.

    Raises:
        RunError: there is no run.
    """
    path = run / "recipe.yaml"
    if not path.is_file():
        raise RunError(f"{run} holds no run", "name the directory of a run: it has a recipe.yaml")
    return path


def recipe_of_run(run: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run.

    Args:
        run: its directory.
        overrides: ``KEY=VALUE``, as for :func:`paraphrase_rl.recipe.loading.load_recipe`.

    Raises:
        RunError: there is no run.
        RecipeError: its recipe cannot be read by this version, or an override is wrong.
    """
    return load_recipe(recipe_file(run), overrides).recipe


def checkpoint(run: Path, wanted: Wanted = "last") -> dict[str, Any]:
    """The row of a run's ledger that is meant, of those that are still there.

    Args:
        wanted: a step; ``final`` = of a run that came to its end; ``last`` = the newest, the final one where
            there is one.

    Raises:
        RunError: there is none, or it is gone.
    """
    rows = sorted(
        read_jsonl(run / "checkpoints.jsonl"), key=lambda row: (row["step"], row["kind"] == "final")
    )
    there = [row for row in rows if _is_there(run, row)]
    meant = [row for row in there if wanted in ("last", row["step"], row["kind"])]
    if meant:
        return meant[-1]
    what = {"last": "no checkpoint", "final": "no final checkpoint"}.get(
        str(wanted), f"no checkpoint of step {wanted}"
    )
    steps = ", ".join(dict.fromkeys(str(row["step"]) for row in there)) or "none"
    expired = [row for row in rows if has_expired(row)]
    gone = f"; the last of {len(expired)} expired on {expired[-1]['expires']}" if expired else ""
    raise RunError(f"{run} has {what}", f"there is: {steps}{gone}")


def _is_there(run: Path, row: Mapping[str, Any]) -> bool:
    return not has_expired(row) if "reference" in row else (run / row["path"]).is_dir()


def adapter_of(run: Path, row: Mapping[str, Any]) -> Path | str:
    """What a backend's ``policy`` loads for a row of the ledger: a folder, or the service's sampler weights."""
    return str(row.get("sampler") or row["reference"]) if "reference" in row else run / row["path"]
