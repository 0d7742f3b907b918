"""The run directory: created once, never overwritten silently, readable after any kill.

``recipe.yaml``        the resolved recipe, with where each key came from
``manifest.json``      versions, plug-ins, models with revisions, seeds, data digests, git state
``calibration.json``   thresholds and P(AI) of the ensemble, as used by the rewards
``metrics.jsonl``      one row a step
``evaluations.jsonl``  one row an evaluation
``samples.jsonl``      rewrites beside their sources, with their terms
``events.jsonl``       starts, monitors, retries, adjustments, the end
``checkpoints.jsonl``  what the backend really holds
``adapter/``           the final adapter, in PEFT's format
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import append_jsonl, read_jsonl, write_json, write_jsonl, write_text

STEP_FILES = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl")
"""Rows that carry a step; those after the checkpoint are dropped when a run resumes from it."""


class RunDirectory:
    """A run's files. Use :meth:`create` or :meth:`resume`.

    Attributes:
        folder: the directory.
        writes: False in the helper processes of a distributed run, where every write is a no-op.
    """

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self.folder = folder
        self.writes = writes
        self._lock: int | None = None

    @classmethod
    def create(
        cls, folder: Path, recipe_yaml: str, manifest: Mapping[str, Any], *, writes: bool = True
    ) -> Self:
        """Start a run in a new or empty directory.

        Raises:
            RunError: the directory holds something already, cannot be written, or another run is in it.
        """
        run = cls(folder, writes=writes)
        if not writes:
            return run
        if folder.is_file():
            raise RunError(f"{folder} is a file", "choose another --out")
        if (folder / "recipe.yaml").exists():
            raise RunError(
                f"{folder} holds a run already",
                f"continue it with --resume {folder}, or choose another --out",
            )
        if folder.is_dir() and any(entry.name != ".lock" for entry in folder.iterdir()):
            raise RunError(f"{folder} is not empty and holds no run", "choose another --out")
        run._acquire()
        write_json(folder / "manifest.json", manifest)
        write_text(folder / "recipe.yaml", recipe_yaml)
        return run

    @classmethod
    def resume(cls, folder: Path, *, writes: bool = True) -> Self:
        """Open a run to continue it.

        Raises:
            RunError: there is no run, or another process is working in it.
        """
        if not (folder / "recipe.yaml").is_file():
            raise RunError(
                f"{folder} holds no run", "start one with prl train --out; a run has a recipe.yaml"
            )
        run = cls(folder, writes=writes)
        run._acquire()
        return run

    def _acquire(self) -> None:
        if not self.writes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR)
        except OSError as error:
            raise RunError(f"cannot write {self.folder}: {error.strerror}", "choose another --out") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise RunError(
                f"another run is working in {self.folder}", "wait for it to end, or choose another --out"
            ) from error
        self._lock = lock

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append(self, name: str, row: Mapping[str, object]) -> None:
        """Add a row to one of the JSON-lines files."""
        if self.writes:
            append_jsonl(self.folder / name, row)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of one of the JSON-lines files, empty when there is none."""
        return read_jsonl(self.folder / name)

    def event(self, kind: str, **details: object) -> None:
        """Note that something happened, with the time."""
        self.append(
            "events.jsonl",
            {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": kind, **details},
        )

    def last_checkpoint(self) -> tuple[int, Path | str] | None:
        """Step of the newest checkpoint to continue from, and where it is: a folder that was written whole and is
        still there, or a service's reference that has not expired.

        Raises:
            RunError: there were references, and all have expired.
        """
        expired = None
        for row in reversed(self.rows("checkpoints.jsonl")):
            if row["kind"] != "periodic":
                continue
            if "reference" in row:
                if not has_expired(row):
                    return int(row["step"]), str(row["reference"])
                expired = expired or row
            elif (path := self.folder / row["path"]).is_dir():
                return int(row["step"]), path
        if expired is not None:
            raise RunError(
                f"the checkpoints of {self.folder} expired at the service; the last one on {expired['expires']}",
                "start a new run; prl train -o ttl_days=... keeps them longer",
            )
        return None

    def rewind(self, step: int) -> None:
        """Forget everything after ``step``: rows of later steps, and checkpoints a kill left half written."""
        if not self.writes:
            return
        for name in STEP_FILES:
            rows = self.rows(name)
            write_jsonl(self.folder / name, [row for row in rows if int(row["step"]) <= step])
        ledger = [row for row in self.rows("checkpoints.jsonl") if int(row["step"]) <= step]
        write_jsonl(self.folder / "checkpoints.jsonl", ledger)
        whole = {self.folder / row["path"] for row in ledger if "path" in row}
        checkpoints = self.folder / "checkpoints"
        for entry in checkpoints.iterdir() if checkpoints.is_dir() else ():
            if entry.is_dir() and entry not in whole:
                shutil.rmtree(entry)


def has_expired(row: Mapping[str, Any]) -> bool:
    """Whether a row of the ledger names a reference whose time at the service is over."""
    expires = row.get("expires")
    return expires is not None and datetime.fromisoformat(expires) <= datetime.now(UTC)
