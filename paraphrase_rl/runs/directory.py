"""The run directory: created once, never overwritten silently, readable after any kill.

``recipe.yaml``        the resolved recipe, with where each key came from
``manifest.json``      versions, plug-ins, models with revisions, seeds, data digests, git state
``calibration.json``   thresholds and P(AI) of the ensemble, as used by the rewards
``detectors/``         trained detectors of the ensemble, as they were then
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
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import append_jsonl, lock_folder, read_jsonl, write_json, write_jsonl, write_text

STEP_FILES = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "events.jsonl")
"""Rows of steps after the checkpoint are dropped when a run resumes from it; rows without a step stay."""
_TRACES = {".lock", "manifest.json", "calibration.json", "detectors"}
"""Written before ``recipe.yaml`` makes a run of the directory: a new start writes over what a kill left of them."""


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
        self._new = self._made = False

    @classmethod
    def create(cls, folder: Path, *, writes: bool = True) -> Self:
        """Claim a new or empty directory; :meth:`begin` makes a run of it.

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
        run._made = not folder.exists()
        foreign = set() if run._made else {entry.name for entry in folder.iterdir()} - _TRACES
        if foreign:
            raise RunError(f"{folder} is not empty and holds no run", "choose another --out")
        run._acquire()
        run._new = True
        return run

    def begin(self, recipe_yaml: str, manifest: Mapping[str, Any]) -> None:
        """Say what the run is; from here on it can be resumed."""
        if self.writes:
            write_json(self.folder / "manifest.json", manifest)
            write_text(self.folder / "recipe.yaml", recipe_yaml)

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
        if self.writes:
            self._lock = lock_folder(self.folder, RunError, "another run is working")

    def close(self) -> None:
        """Let go of the directory; a new run that measured nothing leaves nothing behind."""
        if self._lock is None:
            return
        if self._new and not self.rows("evaluations.jsonl"):
            self._discard()
        os.close(self._lock)
        self._lock = None

    def _discard(self) -> None:
        for name in ("recipe.yaml", "checkpoints", *STEP_FILES, *_TRACES):
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name, ignore_errors=True)
            else:
                (self.folder / name).unlink(missing_ok=True)
        if self._made:
            with suppress(OSError):  # somebody put a file there meanwhile
                self.folder.rmdir()

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

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its final adapter is there, or at the service."""
        return any(
            row["kind"] == "final" and is_there(self.folder, row) for row in self.rows("checkpoints.jsonl")
        )

    def add_checkpoint(
        self, step: int, where: Path | str, kind: str, *, every: int, keep: int, **details: str | None
    ) -> None:
        """Enter a checkpoint that is whole, and let go of those no longer kept.

        Kept are the last ``keep`` of every ``every`` steps, the newest (an interrupt writes one between two of
        them), and the final one. References all stay: the service lets go of its own when their time is over.

        Args:
            where: its folder in this directory, or a service's reference to it.
            details: what else the row should hold, such as ``expires`` (ISO 8601, ``None`` = never).
        """
        if not self.writes:
            return
        place = (
            {"reference": where} if isinstance(where, str) else {"path": str(where.relative_to(self.folder))}
        )
        rows = [row for row in self.rows("checkpoints.jsonl") if not place.items() <= row.items()]
        rows.append({"step": step, "kind": kind, **place, **details})
        periodic = sorted(row["step"] for row in rows if row["kind"] == "periodic")
        kept = {*periodic[-1:], *[at for at in periodic if at % every == 0][-keep:]}
        stays = [row for row in rows if row["kind"] == "final" or "reference" in row or row["step"] in kept]
        write_jsonl(self.folder / "checkpoints.jsonl", stays)
        for row in rows:
            if row not in stays:
                shutil.rmtree(self.folder / row["path"], ignore_errors=True)

    def last_checkpoint(self) -> tuple[int, Path | str] | None:
        """Step of the newest checkpoint to continue from, and where it is: a folder that was written whole and is
        still there, or a service's reference that has not expired.

        Raises:
            RunError: there were references, and all have expired.
        """
        periodic = [row for row in self.rows("checkpoints.jsonl") if row["kind"] == "periodic"]
        for row in reversed(periodic):
            if is_there(self.folder, row):
                return int(row["step"]), row.get("reference") or self.folder / row["path"]
        expired = [row for row in periodic if has_expired(row)]
        if expired:
            raise RunError(
                f"the checkpoints of {self.folder} expired at the service; the last one on {expired[-1]['expires']}",
                "start a new run; prl train -o ttl_days=... keeps them longer",
            )
        return None

    def rewind(self, step: int) -> None:
        """Forget everything after ``step``: rows of later steps, and checkpoints a kill left half written.

        Args:
            step: the last one to keep; -1 = not even the evaluation before the first.
        """
        if not self.writes:
            return
        for name in STEP_FILES:
            rows = self.rows(name)
            write_jsonl(self.folder / name, [row for row in rows if row.get("step", step) <= step])
        ledger = [
            row
            for row in self.rows("checkpoints.jsonl")
            if row["step"] <= step and ("reference" in row or (self.folder / row["path"]).is_dir())
        ]
        write_jsonl(self.folder / "checkpoints.jsonl", ledger)
        whole = {self.folder / row["path"] for row in ledger if "path" in row}
        checkpoints = self.folder / "checkpoints"
        for entry in checkpoints.iterdir() if checkpoints.is_dir() else ():
            if entry.is_dir() and entry not in whole:
                shutil.rmtree(entry)


def is_running(folder: Path) -> bool:
    """Whether a process is working in a run directory now."""
    try:
        lock = os.open(folder / ".lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def has_expired(row: Mapping[str, Any]) -> bool:
    """Whether a row of the ledger names a reference whose time at the service is over."""
    expires = row.get("expires")
    return expires is not None and datetime.fromisoformat(expires) <= datetime.now(UTC)


def is_there(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether the checkpoint of a row of the ledger can still be had: its folder is there, or it has not expired."""
    return not has_expired(row) if "reference" in row else (folder / row["path"]).is_dir()
