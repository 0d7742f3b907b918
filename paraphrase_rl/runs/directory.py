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
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import (
    LOCK,
    append_jsonl,
    copy_file,
    inside,
    is_locked,
    json_text,
    left_behind,
    lock_folder,
    remove,
    sha256_file,
    sha256_text,
    write_jsonl,
    write_text,
)
from paraphrase_rl.runs.ledger import (
    LEDGER,
    WARMUP,
    damage_of,
    digests_of,
    has_expired,
    is_there,
    ledger,
    place_of,
)
from paraphrase_rl.runs.metrics_files import STEP_FILES, WARMUP_PAIRS, WARMUP_ROWS, append_row, rows_of
from paraphrase_rl.runs.start_notes import FILES_OF_A_START, START, entries, is_as_noted, is_empty, noted_in

_WRITTEN_TO = (LOCK, *STEP_FILES, WARMUP_PAIRS, WARMUP_ROWS, LEDGER, "adapter", "checkpoints")
_MEASURED = ("metrics.jsonl", "evaluations.jsonl", WARMUP_PAIRS, WARMUP_ROWS, LEDGER)
"""A start with a row in one of these files can be resumed."""


class RunDirectory:
    """A run's files. Use :meth:`create` or :meth:`resume`.

    Attributes:
        folder: the directory.
        writes: False in the other processes of a distributed run, whose writes do nothing.
    """

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self.folder = folder
        self.writes = writes
        self._lock: int | None = None
        self._new = self._made = self._made_lock = False
        self._wrote: dict[str, str | None] = {}
        self._damage: dict[str, str | None] = {}

    @property
    def passed_over(self) -> list[str]:
        """Damaged checkpoints that were met and not taken, one line each."""
        return [f"{self.folder / name}: {why}" for name, why in self._damage.items() if why]

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
            run._refuse_foreign()  # before there is a lock, which would be a change already
        run._made = not folder.exists()
        run._acquire()
        run._new = True
        try:
            run._refuse_foreign()
            run._remove_written(noted_in(folder) or {})
            (folder / START).unlink(missing_ok=True)
        except BaseException:
            run.close()
            raise
        return run

    def begin(self, recipe_yaml: str, manifest: Mapping[str, Any]) -> None:
        """Write the recipe and the manifest; from then on the run can be resumed."""
        if self.writes:
            self.keep(self.folder / "manifest.json", json_text(manifest))
            self.keep(self.folder / "recipe.yaml", recipe_yaml)

    def keep(self, path: Path, text: str) -> None:
        """Write a file of the start; it is removed again if the start fails.

        Raises:
            RunError: another file has appeared at the path, or the file cannot be written.
        """
        self._claim(path, sha256_text(text))
        write_text(path, text)

    def keep_folder(self, source: Path, folder: Path, names: Collection[str] | None = None) -> None:
        """Copy a folder into the run, file by file, as :meth:`keep` writes them.

        Args:
            names: paths in the folder of the files to copy; ``None`` = all.
        """
        for parent in reversed(folder.parents):
            if self._name(parent) not in {None, ".", *self._wrote}:
                self._make(parent)
        self._make(folder)
        for path in sorted(source.rglob("*")):  # a folder before what it holds
            copy = folder / path.relative_to(source)
            if path.is_dir():
                self._make(copy)
            elif names is None or path.relative_to(source).as_posix() in names:
                self._claim(copy, sha256_file(path))
                copy_file(path, copy)

    def _make(self, folder: Path) -> None:
        self._claim(folder, None)
        folder.mkdir()

    def _claim(self, path: Path, digest: str | None) -> None:
        """Record what is about to be written, so that a later start can tell it from files of the user.

        Args:
            path: where.
            digest: SHA-256 of the file; ``None`` = a folder.
        """
        name = self._name(path)
        assert name is not None
        self._refuse_if_there(path)
        append_jsonl(self.folder / START, {"path": name, "sha256": digest})
        self._wrote[name] = digest

    def _refuse_if_there(self, path: Path) -> None:
        if os.path.lexists(path):
            raise RunError(
                f"{path} appeared while the run was starting",
                "choose another --out; that file was not changed",
            )

    def _name(self, path: Path) -> str | None:
        for home in (self.folder, self.folder.resolve()):
            if path.is_relative_to(home):
                return path.relative_to(home).as_posix()
        return None

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
        self._made_lock = not os.path.lexists(self.folder / LOCK)
        self._lock = lock_folder(self.folder, RunError, "another run is training")

    def _refuse_foreign(self) -> None:
        noted = noted_in(self.folder)
        for name in entries(self.folder):
            if (name == LOCK and is_empty(self.folder / LOCK)) or (name == START and noted is not None):
                continue
            if not is_as_noted(self.folder, name, noted or {}):
                raise RunError(
                    f"{self.folder} is not empty and not a run: it contains {name}",
                    "choose another --out; nothing in it was changed",
                )

    def close(self) -> None:
        """Release the directory; a new run that measured nothing is removed."""
        if self._lock is None:
            return
        if self._new:
            self._discard()
        os.close(self._lock)
        self._lock = None

    def _discard(self) -> None:
        remove(self.unfinished)
        with suppress(OSError):  # not made, or it holds something
            self.unfinished.parent.rmdir()
        self._remove_written(self._wrote)
        (self.folder / START).unlink(missing_ok=True)
        if self._made_lock or self._wrote:
            with suppress(PermissionError):  # Windows deletes no open file; the next start takes it
                (self.folder / LOCK).unlink(missing_ok=True)
        if self._made:
            with suppress(OSError):  # somebody put a file there meanwhile
                self.folder.rmdir()

    def _forget_start(self) -> None:
        """From here on there is something to resume, and the files of the start stay."""
        self._new = False
        if noted_in(self.folder):
            (self.folder / START).unlink()

    def _remove_written(self, wrote: Mapping[str, str | None]) -> None:
        for name in reversed(list(entries(self.folder))):  # what a folder holds before the folder
            if is_as_noted(self.folder, name, wrote):
                if wrote.get(name, "") is None:
                    with suppress(OSError):  # it holds something of somebody else
                        (self.folder / name).rmdir()
                else:
                    (self.folder / name).unlink()

    def append(self, name: str, row: Mapping[str, object]) -> None:
        """Add a row to one of the JSON-lines files."""
        if not self.writes:
            return
        path = self.folder / name
        if self._new and name not in self._wrote:
            self._refuse_if_there(path)
        try:
            append_row(self.folder, name, row)
        finally:
            if self._new and path.is_file():
                self._wrote[name] = sha256_file(path)
        if name in _MEASURED:
            self._forget_start()

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
        return self.folder / "checkpoints" / ".unfinished"

    @property
    def finished(self) -> bool:
        """True if the run is complete: its final adapter exists, in the directory or at the service."""
        asked = [row for row in self.rows("events.jsonl") if row.get("event") in ("start", "changed")]
        steps = asked[-1].get("steps", 0) if asked else 0
        return any(
            row["kind"] == "final" and row["step"] >= steps and self._is_whole(row)
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

    def _is_whole(self, row: Mapping[str, Any]) -> bool:
        """Return whether the checkpoint of a row exists as it was written."""
        if not is_there(self.folder, row) or "reference" in row:
            return is_there(self.folder, row)
        if row["path"] not in self._damage:
            self._damage[row["path"]] = damage_of(self.folder, row)
        return self._damage[row["path"]] is None

    @property
    def has_warmup(self) -> bool:
        """True if a checkpoint of the warm-up is listed."""
        return any(row["kind"] == WARMUP for row in ledger(self.folder))

    def add_checkpoint(
        self,
        step: int,
        where: Path | str,
        kind: str,
        *,
        every: int,
        keep: int,
        since: int | None = None,
        **details: str | None,
    ) -> None:
        """List a complete checkpoint, and delete those no longer needed.

        Not deleted are the last ``keep`` of the checkpoints at every ``every`` steps, the newest checkpoint (an
        interrupt writes one at any step), those of step ``since`` and later, the newest of a warm-up, and the final
        one. References to a service's checkpoints are never deleted: the service deletes them when they expire.

        Args:
            where: folder of the checkpoint in this directory, or a service's reference to it. A folder in
                :attr:`unfinished` is moved: to ``adapter`` for the final checkpoint, else into ``checkpoints`` under
                its own name.
            details: further fields of the row, such as ``expires`` (ISO 8601, ``None`` = never).

        Raises:
            RunError: the place has something that the ledger does not list.
        """
        if not self.writes:
            return
        before, place, aside = ledger(self.folder), where, None
        if isinstance(where, Path) and where.parent == self.unfinished:
            place = self.folder / ("adapter" if kind == "final" else f"checkpoints/{where.name}")
        named = (
            {"reference": place}
            if isinstance(place, str)
            else {"path": place.relative_to(self.folder).as_posix()}
        )
        rows = [row for row in before if not named.items() <= row.items()]
        if isinstance(place, Path) and place != where and os.path.lexists(place):
            if rows == before:
                raise _unlisted(self.folder, place.relative_to(self.folder).as_posix())
            aside = self._put_aside(named["path"])
        digests = {"sha256": digests_of(where)} if isinstance(where, Path) else {}
        rows.append({"step": step, "kind": kind, **named, **details, **digests})
        # Listed before it is in its place, and out of its place before it is unlisted: whatever moment a kill
        # comes at, what lies in a checkpoint's place and is not listed was never a run's.
        write_jsonl(self.folder / LEDGER, rows)
        if isinstance(place, Path) and isinstance(where, Path) and place != where:
            where.rename(place)
        if aside is not None:
            remove(aside)
        self._forget_start()
        periodic = sorted(row["step"] for row in rows if row["kind"] == "periodic")
        kept = {*periodic[-1:], *[at for at in periodic if at % every == 0][-keep:]}
        kept |= set() if since is None else {at for at in periodic if at >= since}
        warmup = [row for row in rows if row["kind"] == WARMUP][-1:]
        self._keep_rows(
            rows,
            [
                row
                for row in rows
                if row["kind"] == "final" or "reference" in row or row["step"] in kept or row in warmup
            ],
        )
        with suppress(OSError):  # there is none, or a backend is writing there
            self.unfinished.rmdir()

    def _keep_rows(self, rows: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]) -> None:
        """Shorten the ledger, and delete the checkpoints removed from it."""
        if len(kept) == len(rows):
            return
        stay = {row.get("path") for row in kept}
        aside = [self._put_aside(r["path"]) for r in rows if "path" in r and r["path"] not in stay]
        if kept:
            write_jsonl(self.folder / LEDGER, kept)
        else:
            (self.folder / LEDGER).unlink()  # an empty one is how a damaged one looks
        for path in aside:
            remove(path)

    def _put_aside(self, name: str) -> Path:
        """Move a checkpoint out of its place; other paths that a ledger may list are never deleted."""
        path = place_of(self.folder, {"path": name})
        aside = self.unfinished / f"{path.name}.old"
        is_checkpoint = path.parts[:-1] == self.unfinished.parent.parts and path != self.unfinished
        if (is_checkpoint or name == "adapter") and os.path.lexists(path):
            self.unfinished.mkdir(parents=True, exist_ok=True)
            remove(aside)
            path.rename(aside)
        return aside

    def last_checkpoint(self) -> tuple[int, Path | str] | None:
        """Find the newest checkpoint to continue from: its step, and its folder or a service's reference to it.

        A checkpoint counts if its folder exists as it was written, or if its reference has not expired; see
        :attr:`passed_over`.

        Raises:
            RunError: all references have expired, or all folders are damaged; or there are checkpoints that the ledger
                does not list.
        """
        rows = ledger(self.folder)
        self._refuse_unlisted(rows)
        if not rows and (self.folder / LEDGER).exists():
            raise RunError(
                f"{self.folder / LEDGER} is empty, which no run leaves behind",
                "restore the file; if the run never had a checkpoint, the file can be deleted safely",
            )
        # the final one of a service holds the optimizer too, and is where a longer run goes on
        periodic = [
            row
            for row in rows
            if row["kind"] == "periodic" or (row["kind"] == "final" and "reference" in row)
        ]
        for row in reversed(periodic):
            if self._is_whole(row):
                return int(row["step"]), row.get("reference") or place_of(self.folder, row)
        if self.passed_over:
            raise RunError(
                f"every checkpoint of {self.folder} is damaged: {'; '.join(self.passed_over)}",
                "restore their files; without these folders the run would start from its beginning",
            )
        expired = [row for row in periodic if has_expired(row)]
        if expired:
            raise RunError(
                f"the checkpoints of {self.folder} expired at the service; the last one on {expired[-1]['expires']}",
                "start a new run, with longer-lived checkpoints by prl train -o ttl_days=...",
            )
        return None

    def checkpoint_before(self, step: int, left_out: Callable[[int], bool]) -> tuple[int, Path | str] | None:
        """Find the newest checkpoint of a step before ``step``: its step, and its folder or reference.

        Args:
            left_out: whether a step's checkpoint must not be taken.
        """
        for row in reversed(ledger(self.folder)):
            meant = row["kind"] == "periodic" and row["step"] < step and not left_out(row["step"])
            if meant and self._is_whole(row):
                return int(row["step"]), row.get("reference") or place_of(self.folder, row)
        return None

    def _refuse_unlisted(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse unlisted checkpoints, because resuming would write there."""
        listed = {"/".join(Path(row["path"]).parts[:2]) for row in rows if "path" in row}
        checkpoints = self.unfinished.parent
        there = [path for path in (self.folder / "adapter",) if os.path.lexists(path)]
        there += sorted(path for path in checkpoints.glob("*") if path.is_dir() and path != self.unfinished)
        for path in there:
            name = path.relative_to(self.folder).as_posix()
            if name not in listed:
                raise _unlisted(self.folder, name)

    def rewind(self, step: int, steps: int | None = None) -> None:
        """Remove everything after ``step``: rows of later steps, and checkpoints left unfinished by a kill.

        Args:
            step: the last step to keep; -1 = remove even the evaluation before the first step, unless a warm-up has a
                checkpoint, which came after it.
            steps: steps of the whole run; a final adapter of fewer stays until there is another.
        """
        if not self.writes:
            return
        rows = ledger(self.folder)
        if self.has_warmup:
            step = max(step, 0)
        there = [name for name in STEP_FILES if (self.folder / name).exists()]
        tables = {name: self.rows(name) for name in there}  # all are read before one is written
        self._keep_rows(
            rows,
            [
                row
                for row in rows
                if (row["step"] <= step or (row["kind"] == "final" and row["step"] < (steps or 0)))
                and ("reference" in row or is_there(self.folder, row))
                and not self._damage.get(row.get("path", ""))
            ],
        )
        for name, table in tables.items():
            kept = [row for row in table if row.get("step", step) <= step]
            write_jsonl(self.folder / name, self._evaluated(kept) if name == "samples.jsonl" else kept)
        self.clear()
        self._forget_start()

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


def _unlisted(folder: Path, name: str) -> RunError:
    return RunError(
        f"{folder / name} exists, but {LEDGER} does not list it",
        f"if {LEDGER} was damaged, restore it; else move {name} away, because a resumed run would write to {name}",
    )
