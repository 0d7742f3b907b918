"""Cache of an evaluation: a killed evaluation continues from it, and a changed one computes only what changed.

Every value has a cache key: a digest of the component, its options, what it was built from, and the text. Values are
saved as they are computed, and remain for later plans; the keys keep values of different plans apart. Failures are not
saved: the next evaluation tries again.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import EvaluationError, RunError
from paraphrase_rl.files import LOCK, dumps, lock_folder, sha256_texts

FOLDER = "cache"
WRITTEN = (
    "results.json",
    "calibration.json",
    "documents.jsonl",
    "rewrites.jsonl",
    "scores.jsonl",
    "quality.jsonl",
    FOLDER,
)
FILE = "values.sqlite"
AT_ONCE = 500
"""Number of cache keys in one query; SQLite allows 999 in its oldest builds."""
Key = Sequence[object]
"""Cache key: everything that a value depends on, as plain data."""
WAIT_SECONDS = 60.0
"""Seconds to wait while another process writes."""


def key_of(*parts: object) -> str:
    """Compute a short digest of plain data."""
    return sha256_texts(dumps(part) for part in parts)[:24]


class Cache:
    """Values by key in an SQLite file: only the values asked for are read, and two processes may use the file at once.

    Args:
        path: the file, created if there is none.

    Raises:
        RunError: the file is damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            self._file = sqlite3.connect(path, timeout=WAIT_SECONDS)
        try:
            with self._explained(), self._file:
                ((found,),) = self._file.execute("PRAGMA quick_check(1)")
                if found != "ok":
                    raise sqlite3.DatabaseError(found)
                self._file.execute(
                    "CREATE TABLE IF NOT EXISTS saved (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
                )
        except RunError:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def get(self, asked: Sequence[Key]) -> list[Any]:
        """Return the value of each cache key, in order; ``None`` if there is no value."""
        keys = [key_of(*parts) for parts in asked]
        found: dict[str, Any] = {}
        with self._explained():
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._file.execute(f"SELECT key, value FROM saved WHERE key IN ({marks})", some)
                found |= {key: json.loads(value) for key, value in rows}
        return [found.get(key) for key in keys]

    def add(self, values: Iterable[tuple[Key, Any]]) -> None:
        """Save values by cache key, on disk before this returns; a key that has a value keeps it."""
        with self._explained(), self._file:
            self._file.executemany(
                "INSERT OR IGNORE INTO saved VALUES (?, ?)",
                [(key_of(*parts), dumps(value)) for parts, value in values],
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, full, read-only
            raise RunError(
                f"cannot use {self._path}: {error}",
                "free some disk space if the disk is full, or delete this cache file: it will be rebuilt",
            ) from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise RunError(
                f"{self._path} is damaged: {error}", "delete this cache file: it will be rebuilt"
            ) from error


@contextmanager
def claimed(folder: Path) -> Iterator[Cache]:
    """Open the cache in the folder of an evaluation, which is created if needed and claimed for this process alone.

    Raises:
        EvaluationError: the folder cannot be written, another evaluation works in it, it is a run, or it has a file
            that no evaluation wrote under a name that evaluations use.
        RunError: the cache is damaged.
    """
    if (folder / "recipe.yaml").exists():
        raise EvaluationError(
            f"{folder} is a run, whose calibration.json would be overwritten", "choose another --out"
        )
    if not (folder / LOCK).is_file():  # whoever writes there claims it first
        for name in WRITTEN:
            if os.path.lexists(folder / name):
                raise EvaluationError(
                    f"{folder} is not the folder of an evaluation, and its {name} would be overwritten",
                    "choose another --out; nothing in it was changed",
                )
    lock = lock_folder(folder, EvaluationError, "another evaluation is running")
    try:
        with closing(Cache(folder / FOLDER / FILE)) as cache:
            yield cache
    finally:
        os.close(lock)
