"""What an evaluation has computed, by what it depends on: a killed one goes on, and a changed one redoes what changed.

Every value has a key: a digest of the component, its options, what it was built from, and the text. Values are appended
as they come, and kept from one plan to the next, so nothing of one plan is ever taken for another's. Failures are not
kept: the next evaluation tries again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.errors import EvaluationError, PrlError, RunError
from paraphrase_rl.files import (
    append_jsonl,
    dumps,
    lock_folder,
    read_jsonl,
    sha256_text,
    sha256_texts,
    write_jsonl,
)
from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.types import Failure, Scores

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


def key_of(*parts: object) -> str:
    """A short digest of plain data."""
    return sha256_texts(dumps(part) for part in parts)[:24]


class Cache:
    """Values by key, in a file of JSON lines.

    Args:
        path: the file; one that a kill left with a torn last line is mended.

    Raises:
        RunError: the file is damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            rows = read_jsonl(path, ("key", "value"))
        except RunError as error:
            raise RunError(error.message, "delete the file: what it held is computed again") from error
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            write_jsonl(path, rows)
        self._values: dict[str, Any] = {row["key"]: row["value"] for row in rows}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def get(self, key: str, otherwise: Any) -> Any:
        """The value of a key, or something else where there is none."""
        return self._values.get(key, otherwise)

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep values, on disk before this returns."""
        new = {key: value for key, value in values.items() if key not in self._values}
        if new:
            append_jsonl(self._path, *({"key": key, "value": value} for key, value in new.items()))
        self._values |= new


class CachedDetector:
    """A detector whose scores are remembered; a text is scored once.

    Args:
        name: the detector's name, owner of failures.
        detector: the detector itself.
        options: what it was built with.
        cache: where scores are kept.
    """

    def __init__(self, name: str, detector: Detector, options: Mapping[str, Any], cache: Cache) -> None:
        self.name = name
        self.detector = detector
        self._provenance = dict(detector.provenance())
        self._identity = key_of(name, dict(options), self._provenance)
        self._cache = cache

    def known(self, texts: Sequence[str]) -> int:
        """How many of the texts have a score already."""
        return sum(self._key(text) in self._cache for text in texts)

    def _key(self, text: str) -> str:
        return key_of(self._identity, sha256_text(text))

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores of shape (N,); a call that fails as a whole is a Failure for each of its texts."""
        keys = [self._key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._cache}
        failures: dict[str, Failure] = {}
        if missing:
            new = self._scored(list(missing.values()))
            named = list(missing)
            failures = {named[failure.index]: failure for failure in new.failures}
            self._cache.add(
                {k: v for k, v in zip(named, new.values.tolist(), strict=True) if k not in failures}
            )
        values = np.array([np.nan if key in failures else self._cache[key] for key in keys], dtype=np.float64)
        return Scores(
            values,
            tuple(
                Failure(index=i, owner=self.name, kind=failures[key].kind, message=failures[key].message)
                for i, key in enumerate(keys)
                if key in failures
            ),
        )

    def _scored(self, texts: Sequence[str]) -> Scores:
        try:
            return self.detector.score(texts)
        except PrlError as error:
            why = error.one_line
        return Scores(
            np.full(len(texts), np.nan),
            tuple(Failure(index=i, owner=self.name, kind="failed", message=why) for i in range(len(texts))),
        )

    def provenance(self) -> Mapping[str, str]:
        """As the detector itself."""
        return self._provenance


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder of an evaluation for this process alone, made where there is none.

    Raises:
        EvaluationError: it cannot be written, another evaluation works in it, or it is a run, or holds a file of
            somebody else under a name that an evaluation writes.
    """
    if (folder / "recipe.yaml").exists():
        raise EvaluationError(
            f"{folder} is a run, whose calibration.json would be written over", "choose another --out"
        )
    if not (folder / ".lock").is_file():  # whoever writes there claims it first
        for name in WRITTEN:
            if os.path.lexists(folder / name):
                raise EvaluationError(
                    f"{folder} is no evaluation's, and holds {name}, which would be written over",
                    "choose another --out; nothing in it was changed",
                )
    lock = lock_folder(folder, EvaluationError, "another evaluation works")
    try:
        yield
    finally:
        os.close(lock)
