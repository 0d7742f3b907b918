"""Checkpoints of a run: listed in its ledger, found again if they are whole, deleted when they are no longer needed.

No path in a ledger may lead out of the run, and what it does not list is never deleted: the run may come from somebody
else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import remove, write_jsonl
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


class CheckpointFiles:
    """Checkpoints in the directory of a run, or at a service and listed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._damage: dict[str, str | None] = {}

    @property
    def unfinished(self) -> Path:
        """Folder in which a backend writes a checkpoint before it is listed; emptied when the run is resumed."""
        return self.folder / "checkpoints" / ".unfinished"

    @property
    def passed_over(self) -> list[str]:
        """Damaged checkpoints that were met and not taken, one line each."""
        return [f"{self.folder / name}: {why}" for name, why in self._damage.items() if why]

    def is_whole(self, row: Mapping[str, Any]) -> bool:
        """Return whether the checkpoint of a row exists as it was written."""
        if not is_there(self.folder, row) or "reference" in row:
            return is_there(self.folder, row)
        if row["path"] not in self._damage:
            self._damage[row["path"]] = damage_of(self.folder, row)
        return self._damage[row["path"]] is None

    def is_damaged(self, row: Mapping[str, Any]) -> bool:
        """Return whether the checkpoint of a row was met and found damaged."""
        return bool(self._damage.get(row.get("path", "")))

    def forget_damage(self) -> None:
        """Look at every checkpoint again from now on: another process has added one."""
        self._damage.clear()

    def add(
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
        self._damage.clear()  # the new one may be where a damaged one was
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
        periodic = sorted(row["step"] for row in rows if row["kind"] == "periodic")
        kept = {*periodic[-1:], *[at for at in periodic if at % every == 0][-keep:]}
        kept |= set() if since is None else {at for at in periodic if at >= since}
        warmup = [row for row in rows if row["kind"] == WARMUP][-1:]
        self.keep(
            rows,
            [
                row
                for row in rows
                if row["kind"] == "final" or "reference" in row or row["step"] in kept or row in warmup
            ],
        )
        with suppress(OSError):  # there is none, or a backend is writing there
            self.unfinished.rmdir()

    def keep(self, rows: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]) -> None:
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

    def last(self) -> tuple[int, Path | str] | None:
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
            if self.is_whole(row):
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

    def before(self, step: int, left_out: Callable[[int], bool]) -> tuple[int, Path | str] | None:
        """Find the newest checkpoint of a step before ``step``: its step, and its folder or reference.

        Args:
            left_out: whether a step's checkpoint must not be taken.
        """
        for row in reversed(ledger(self.folder)):
            meant = row["kind"] == "periodic" and row["step"] < step and not left_out(row["step"])
            if meant and self.is_whole(row):
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


def _unlisted(folder: Path, name: str) -> RunError:
    return RunError(
        f"{folder / name} exists, but {LEDGER} does not list it",
        f"if {LEDGER} was damaged, restore it; else move {name} away, because a resumed run would write to {name}",
    )
