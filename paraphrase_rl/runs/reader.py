"""Reader of run directories: manifest, recipe, metrics by step, checkpoints. Nothing is computed again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from paraphrase_rl.errors import RunError, UsageError
from paraphrase_rl.files import is_file_or_folder, is_locked, read_jsonl
from paraphrase_rl.recipe.loading import OVERRIDE, SET, Changes, load_recipe
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.ledger import WARMUP, damage_of, has_expired, is_there, ledger, place_of
from paraphrase_rl.runs.terms import RewardTerm, recorded_terms
from paraphrase_rl.types import FloatArray

_Row = TypeVar("_Row")
_MANIFEST = {"backend": str, "backend_options": dict, "data": dict, "models": dict}
"""Types of the keys of a manifest that the core reads."""


def manifest_of(run: Path, keys: Collection[str] = ()) -> dict[str, Any]:
    """Read the manifest of a run.

    Args:
        run: the run directory.
        keys: names of fields that the manifest must have.

    Raises:
        RunError: there is no run, or its manifest is damaged.
    """
    path = run / "manifest.json"
    if not is_file_or_folder(path):
        raise RunError(f"{run} is not a run", "give the directory of a run: it has a file manifest.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds {found!r:.80}, not the manifest of a run")
        for key in {*keys, *(_MANIFEST.keys() & found.keys())}:
            if key not in found:
                raise ValueError(f"it lacks {key}")
            if not isinstance(found[key], _MANIFEST.get(key, object)):
                raise ValueError(f"{key} cannot be {found[key]!r:.80}")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"cannot read {path}: {error}",
            "the file was edited or damaged: restore it, or start a new run",
        ) from error
    return found


def recipe_file(run: Path) -> Path:
    """Return the recipe file of a run.

    Raises:
        RunError: there is no run.
    """
    path = run / "recipe.yaml"
    if not is_file_or_folder(path) or not path.is_file():
        raise RunError(f"{run} is not a run", "give the directory of a run: it has a file recipe.yaml")
    return path


def recipe_of_run(run: Path, changes: Changes = (), sections: Sequence[str] = ()) -> Recipe:
    """Load the recipe of a run.

    Args:
        run: the run directory.
        changes: as for :func:`paraphrase_rl.recipe.loading.load_recipe`.
        sections: sections that may be changed; the rest stays as trained.

    Raises:
        RunError: there is no run.
        UsageError: a change outside the sections.
        RecipeError: this version cannot read the recipe, or a change is wrong.
    """
    loaded = load_recipe(recipe_file(run), changes)
    for key, origin in loaded.origins.items():
        if origin in (OVERRIDE, SET) and key.split(".")[0] not in sections:
            raise UsageError(
                f"{key} cannot be set: the recipe of a run is fixed, except for {', '.join(sections)}",
                "start another run with another recipe, or evaluate the recipe itself",
            )
    return loaded.recipe


def checkpoint_row(run: Path, wanted: int | Literal["final", "last"] = "last") -> dict[str, Any]:
    """Find a row of a run's ledger whose checkpoint still exists.

    Args:
        wanted: a step; ``final`` = the final checkpoint of a completed run; ``last`` = the newest, or the final one.

    Raises:
        RunError: there is no such checkpoint, it no longer exists, or a file of it has changed.
    """
    rows = sorted(ledger(run), key=lambda row: (row["step"], row["kind"] == "final"))
    there = [row for row in rows if is_there(run, row)]
    meant = [row for row in there if wanted in ("last", row["step"], row["kind"])]
    if meant:
        if damage := damage_of(run, meant[-1]):
            raise RunError(
                f"the checkpoint of step {meant[-1]['step']} in {run / meant[-1]['path']} is damaged: {damage}",
                f"restore the file, or take another checkpoint; listed: {', '.join(str(r['step']) for r in there)}",
            )
        return meant[-1]
    what = {"last": "no checkpoint", "final": "no final checkpoint"}.get(
        str(wanted), f"no checkpoint of step {wanted}"
    )
    steps = ", ".join(dict.fromkeys(str(row["step"]) for row in there)) or "none"
    expired = [row for row in rows if has_expired(row)]
    gone = f"; the last of {len(expired)} expired on {expired[-1]['expires']}" if expired else ""
    raise RunError(f"{run} has {what}", f"available: {steps}{gone}")


def adapter_of(run: Path, row: Mapping[str, Any]) -> Path | str:
    """Return what a backend's ``policy`` loads for a row of the ledger: a folder, or sampler weights at the service."""
    return str(row.get("sampler") or row["reference"]) if "reference" in row else place_of(run, row)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint, as a row of the ledger describes it.

    Attributes:
        final: True for the checkpoint at the end of the run.
        damage: why it cannot be used; ``None`` if it is complete.
        expires: when the service deletes it; ``None`` = never, or it is on this disk.
    """

    step: int
    final: bool
    damage: str | None
    expires: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """Contents of a run directory.

    Attributes:
        status: ``completed``, ``running``, ``interrupted``, ``stopped`` (by a monitor), ``failed``, or ``killed``
            (no event records its end).
        steps: number of steps of the whole run; ``None`` if it never began.
        ended: time at which the last process ended; ``None`` if it is not recorded.
        metrics: step -> metrics of that step, in order; NaN if there was nothing to measure.
        evaluations: step -> metrics of the evaluation at that step.
        terms: reward terms with their roles; empty if there is no manifest.
    """

    folder: Path
    recipe: Recipe
    status: str
    steps: int | None
    ended: datetime | None
    metrics: Mapping[int, Mapping[str, float]]
    evaluations: Mapping[int, Mapping[str, float]]
    checkpoints: tuple[Checkpoint, ...]
    terms: tuple[RewardTerm, ...] = ()

    @property
    def last_step(self) -> int:
        """The last step done; 0 before the first."""
        return max(self.metrics, default=0)

    def series(self, metric: str, until: int) -> FloatArray:
        """Return a metric at the steps 1 to ``until``, shape (until,); NaN where it is not known."""
        return np.array(
            [self.metrics.get(step, {}).get(metric, math.nan) for step in range(1, until + 1)],
            dtype=np.float64,
        )


def read_history(folder: Path) -> History:
    """Read the directory of a run.

    Raises:
        RunError: there is no run, or one of its files is damaged.
        RecipeError: the run's recipe cannot be read.
    """
    recipe = recipe_of_run(folder)
    events = [event for event in _rows(folder, "events.jsonl", _event) if event["event"] in ("start", "end")]
    ended = bool(events) and events[-1]["event"] == "end"
    return History(
        folder=folder,
        recipe=recipe,
        status="running" if is_locked(folder) else events[-1]["status"] if ended else "killed",
        steps=next((event["steps"] for event in reversed(events) if event["event"] == "start"), None),
        ended=moment(events[-1]["time"]) if ended else None,
        metrics=_by_step(folder, "metrics.jsonl"),
        evaluations=_by_step(folder, "evaluations.jsonl"),
        checkpoints=tuple(_checkpoint(folder, row) for row in ledger(folder) if row["kind"] != WARMUP),
        terms=terms_of_run(folder),
    )


def terms_of_run(folder: Path) -> tuple[RewardTerm, ...]:
    """Return the reward terms of a run; an empty tuple if its manifest is missing or damaged."""
    try:
        return recorded_terms(manifest_of(folder))
    except RunError:
        return ()


def moment(text: object) -> datetime | None:
    """Parse an ISO 8601 time, UTC by default; ``None`` if the text is not a time."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _rows(folder: Path, name: str, parse: Callable[[dict[str, Any]], _Row]) -> list[_Row]:
    found = []
    for number, row in enumerate(read_jsonl(folder / name), start=1):
        try:
            found.append(parse(row))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{folder / name}, row {number}: not a row that a run writes ({type(error).__name__}: {error})",
                "the file was edited or damaged: restore it",
            ) from error
    return found


def _event(row: dict[str, Any]) -> dict[str, Any]:
    match row["event"]:
        case "start":
            return {**row, "steps": int(row["steps"])}
        case "end":
            return {**row, "status": str(row["status"]), "time": str(row["time"])}
    return row


def _by_step(folder: Path, name: str) -> dict[int, dict[str, float]]:
    rows = _rows(
        folder,
        name,
        lambda row: (int(row["step"]), {metric: _number(value) for metric, value in row["metrics"].items()}),
    )
    steps = [step for step, _ in rows]
    if steps != sorted(set(steps)):
        raise RunError(
            f"{folder / name}: its steps are not in ascending order",
            "the file was edited or damaged: restore it",
        )
    return dict(rows)


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _checkpoint(folder: Path, row: dict[str, Any]) -> Checkpoint:
    if "reference" in row:
        damage = f"expired at {row['expires']}" if has_expired(row) else None
    else:
        damage = _damage(place_of(folder, row))
    return Checkpoint(
        step=int(row["step"]),
        final=row["kind"] == "final",
        damage=damage,
        expires=moment(row.get("expires")) if row.get("expires") else None,
    )


def _damage(folder: Path) -> str | None:
    """Find damage of a checkpoint on disk, as far as names and lengths show it."""
    if not folder.is_dir():
        return "its folder is missing"
    names = {path.name for path in folder.iterdir()}
    if not names:
        return "its folder is empty"
    if ("adapter_config.json" in names) != any(name.startswith("adapter_model.") for name in names):
        return "a part of its adapter is missing"
    cut = [path.name for path in sorted(folder.glob("*.safetensors")) if not _is_whole(path)]
    return f"{cut[0]} is cut off" if cut else None


def _is_whole(path: Path) -> bool:
    """Return whether a safetensors file is as long as its header says: 8 bytes of length, the header, the tensors."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length + 8 > path.stat().st_size:
            return False
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False
    return 8 + length + max(ends, default=0) == path.stat().st_size
