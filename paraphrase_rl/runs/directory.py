"""The run directory: created once, never overwritten silently, readable after any kill.

``recipe.yaml``        the resolved recipe, with the origin of each key
``manifest.json``      versions, plug-ins, models with revisions, seeds, data digests, git state
``calibration.json``   thresholds and P(AI) of the ensemble that the rewards use
``detectors/``         trained detectors of the ensemble, copied at the start
``initial/``           adapter of another run that this one began with
``metrics.jsonl``      one row per step
``evaluations.jsonl``  one row per evaluation
``samples.jsonl``      rewrites with their sources and reward terms
``warmup_pairs.jsonl`` pairs of a warm-up, with those left out and why
``warmup.jsonl``       one row per step of a warm-up, and one for the evaluation after it
``events.jsonl``       starts, monitors, retries, adjustments, the end
``checkpoints.jsonl``  checkpoints that exist
``checkpoints/``       training states; unfinished ones in its folder ``.unfinished``
``adapter/``           the final adapter, in PEFT's format
``.lock``              locked while a process works in the directory
``.start.jsonl``       files that a start has written, until something is measured

Files that no run wrote are never deleted or overwritten, and no path in a run's files may lead out of the run: a
directory may hold files of the user, and may come from somebody else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import (
    LOCK,
    inside,
    is_locked,
    json_text,
    left_behind,
    lock_folder,
    remove,
    write_jsonl,
    write_text,
)
from paraphrase_rl.runs.checkpoint_files import CheckpointFiles
from paraphrase_rl.runs.ledger import LEDGER, is_there, ledger
from paraphrase_rl.runs.metrics_files import STEP_FILES, WARMUP_PAIRS, WARMUP_ROWS, append_row, rows_of
from paraphrase_rl.runs.start_files import StartFiles
from paraphrase_rl.runs.start_notes import FILES_OF_A_START

_WRITTEN_TO = (LOCK, *STEP_FILES, WARMUP_PAIRS, WARMUP_ROWS, LEDGER, "adapter", "checkpoints")
_MEASURED = ("metrics.jsonl", "evaluations.jsonl", WARMUP_PAIRS, WARMUP_ROWS, LEDGER)
"""A start with a row in one of these files can be resumed."""


class RunDirectory:
    """A run's files. Use :meth:`create` or :meth:`resume`.

    Attributes:
        folder: the directory.
        writes: False in the other processes of a distributed run, whose writes do nothing.
        checkpoints: the checkpoints that it lists.
        start: the files that its start writes.
    """

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self.folder = folder
        self.writes = writes
        self.checkpoints = CheckpointFiles(folder)
        self.start = StartFiles(folder)
        self._lock: int | None = None
        self._saved = time.monotonic()

    @classmethod
    def create(cls, folder: Path, *, writes: bool = True) -> Self:
        """Claim a new or empty directory for a run; :meth:`begin` writes its first files.

        Raises:
            RunError: the directory is not empty, cannot be written, or has another run.
        """
        run = cls(folder, writes=writes)
        if not writes:
            return run
        if folder.is_file():
            raise RunError(f"{folder} is a file", "choose another --out")
        if (folder / "recipe.yaml").exists():
            raise RunError(
                f"{folder} already holds a run",
                f"continue the run with --resume {folder}, or choose another --out",
            )
        if not is_locked(folder):
            run.start.refuse_foreign()  # before there is a lock, which would be a change already
        run.start.before_lock()
        run._acquire()
        run.start.pending = True
        try:
            run.start.clean()
        except BaseException:
            run.close()
            raise
        return run

    def begin(self, recipe_yaml: str, manifest: Mapping[str, Any]) -> None:
        """Write the recipe and the manifest; from then on the run can be resumed."""
        if self.writes:
            self.start.keep(self.folder / "manifest.json", json_text(manifest))
            self.start.keep(self.folder / "recipe.yaml", recipe_yaml)

    @classmethod
    def resume(cls, folder: Path, *, writes: bool = True) -> Self:
        """Open a run to continue it.

        Raises:
            RunError: there is no run, another process is working in it, or one of its links leads out of it.
        """
        if not (folder / "recipe.yaml").is_file():
            raise RunError(
                f"{folder} is not a run",
                "give a directory with a file recipe.yaml; prl train --out starts a new run",
            )
        for name in _WRITTEN_TO:
            try:
                if os.path.lexists(folder / name):
                    inside(folder, name)
            except ValueError as error:
                raise RunError(
                    f"{error}: a run has all its files in its own folder",
                    "replace the link with a copy of its target",
                ) from error
        run = cls(folder, writes=writes)
        if writes:
            run._acquire()
        return run

    def _acquire(self) -> None:
        self._lock = lock_folder(self.folder, RunError, "another run is training")

    def close(self) -> None:
        """Release the directory; a new run that measured nothing is removed."""
        if self._lock is None:
            return
        if self.start.pending:
            self._discard()
        os.close(self._lock)
        self._lock = None

    def _discard(self) -> None:
        remove(self.unfinished)
        with suppress(OSError):  # not made, or it holds something
            self.unfinished.parent.rmdir()
        self.start.discard()

    def append(self, name: str, row: Mapping[str, object]) -> None:
        """Add a row to one of the JSON-lines files."""
        if not self.writes:
            return
        self.start.before_row(name)
        try:
            append_row(self.folder, name, row)
        finally:
            self.start.after_row(name)
        if name in _MEASURED:
            self.start.forget()

    def rows(self, name: str, keys: Collection[str] = ()) -> list[dict[str, Any]]:
        """Read the rows of one of the JSON-lines files; an empty list if there is no file; see :func:`rows_of`."""
        return ledger(self.folder) if name == LEDGER else rows_of(self.folder, name, keys)

    def event(self, kind: str, **details: object) -> None:
        """Record an event with its time."""
        self.append(
            "events.jsonl",
            {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": kind, **details},
        )

    @property
    def unfinished(self) -> Path:
        """Folder in which a backend writes a checkpoint before it is listed; emptied when the run is resumed."""
        return self.checkpoints.unfinished

    @property
    def finished(self) -> bool:
        """True if the run is complete: its final adapter exists, in the directory or at the service."""
        asked = [row for row in self.rows("events.jsonl") if row.get("event") in ("start", "changed")]
        steps = asked[-1].get("steps", 0) if asked else 0
        return any(
            row["kind"] == "final" and row["step"] >= steps and self.checkpoints.is_whole(row)
            for row in ledger(self.folder)
        )

    @property
    def last_step(self) -> int:
        """The last step recorded; 0 before the first."""
        return max((row["step"] for row in self.rows("metrics.jsonl", ("step",))), default=0)

    def change(self, recipe_yaml: str, manifest: Mapping[str, Any], *, steps: int, **changed: object) -> None:
        """Replace the recipe of a run by one that changes no step done; said by an event first."""
        if self.writes:
            self.event("changed", steps=steps, **changed)
            write_text(self.folder / "recipe.yaml", recipe_yaml)
            write_text(self.folder / "manifest.json", json_text(manifest))

    @property
    def has_warmup(self) -> bool:
        """True if a warm-up has begun: it has pairs."""
        return (self.folder / WARMUP_PAIRS).exists()

    def add_checkpoint(self, step: int, where: Path | str, kind: str, **how: Any) -> None:
        """List a complete checkpoint, see :meth:`paraphrase_rl.runs.checkpoint_files.CheckpointFiles.add`."""
        if self.writes:
            self.checkpoints.add(step, where, kind, **how)
            self.start.forget()
        else:
            self.checkpoints.forget_damage()
        self._saved = time.monotonic()

    def unsaved_for(self, minutes: float | None) -> bool:
        """Return whether no checkpoint was added for so many minutes, in this process; never for ``None``."""
        return minutes is not None and time.monotonic() - self._saved >= 60 * minutes

    def rewind(self, step: int, steps: int | None = None) -> None:
        """Remove everything after ``step``: rows of later steps, and checkpoints left unfinished by a kill.

        Args:
            step: the last step to keep; -1 = remove even the evaluation before the first step, unless a warm-up, which
                comes after it, has begun.
            steps: steps of the whole run; a final adapter of fewer stays until there is another.
        """
        if not self.writes:
            return
        rows = ledger(self.folder)
        if self.has_warmup:
            step = max(step, 0)
        there = [name for name in STEP_FILES if (self.folder / name).exists()]
        tables = {name: self.rows(name) for name in there}  # all are read before one is written
        self.checkpoints.keep(
            rows,
            [
                row
                for row in rows
                if (row["step"] <= step or (row["kind"] == "final" and row["step"] < (steps or 0)))
                and ("reference" in row or is_there(self.folder, row))
                and not self.checkpoints.is_damaged(row)
            ],
        )
        for name, table in tables.items():
            kept = [row for row in table if row.get("step", step) <= step]
            write_jsonl(self.folder / name, self._evaluated(kept) if name == "samples.jsonl" else kept)
        self.clear()
        self.start.forget()

    def clear(self) -> None:
        """Remove what a killed process left unfinished."""
        if not self.writes:
            return
        for path in self.folder.iterdir():
            if left_behind(path) in {*FILES_OF_A_START, *STEP_FILES, LEDGER}:
                path.unlink()
        remove(self.unfinished)

    def _evaluated(self, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out samples of an evaluation that a kill kept from being recorded."""
        steps = {row.get("step") for row in self.rows("evaluations.jsonl")}
        warmed_up = any("evaluation" in row for row in self.rows(WARMUP_ROWS))
        return [
            row
            for row in samples
            if (row.get("kind") != "evaluation" or row.get("step") in steps)
            and (row.get("kind") != "warmup" or warmed_up)
        ]
