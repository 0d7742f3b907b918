"""Ledger of a run, ``checkpoints.jsonl``: the list of its checkpoints, on disk and at a service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import inside, read_jsonl, sha256_file
from paraphrase_rl.runs.metrics_files import DAMAGED

LEDGER = "checkpoints.jsonl"
WARMUP = "warmup"
"""Kind of a checkpoint of the warm-up, which comes before the first step: its ``step`` is 0, and it has its own count
in ``warmup_step`` and ``warmup_steps``."""


def ledger(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of the ledger, one for each checkpoint, inside the run or at a service.

    Raises:
        RunError: a row is not that of a checkpoint, or has a path outside of the run.
    """
    rows = read_jsonl(folder / LEDGER)
    for number, row in enumerate(rows, start=1):
        try:
            _check(folder, row)
        except (KeyError, TypeError, ValueError) as error:
            why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise RunError(
                f"{folder / LEDGER}, row {number}: not a row that a run writes: {why}", DAMAGED
            ) from error
    return rows


def _check(folder: Path, row: Mapping[str, Any]) -> None:
    if "reference" not in row:
        inside(folder, row["path"])
    has_expired(row)
    if row["kind"] == WARMUP:
        int(row["warmup_step"]), int(row["warmup_steps"])
    for key, kind in (("step", int), ("kind", str), ("reference", str), ("sampler", str)):
        value = row[key] if key in ("step", "kind") else row.get(key, "")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{key} is {value!r}")
    digests = row.get("sha256", {})
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        raise TypeError(f"sha256 is {digests!r:.80}")


def place_of(folder: Path, row: Mapping[str, Any]) -> Path:
    """Return the folder of a checkpoint on disk, given its row of the ledger.

    Raises:
        RunError: the folder is not inside the run.
    """
    try:
        return inside(folder, row["path"])
    except ValueError as error:
        raise RunError(f"{folder / LEDGER}: {error}", DAMAGED) from error


def has_expired(row: Mapping[str, Any]) -> bool:
    """Return whether the reference in a row of the ledger has expired at the service."""
    expires = row.get("expires")
    if expires is None:
        return False
    end = datetime.fromisoformat(expires)
    return (end if end.tzinfo else end.replace(tzinfo=UTC)) <= datetime.now(UTC)


def is_there(folder: Path, row: Mapping[str, Any]) -> bool:
    """Return whether the checkpoint of a row exists: its folder is there, or its reference has not expired."""
    return not has_expired(row) if "reference" in row else place_of(folder, row).is_dir()


def digests_of(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of every file of a checkpoint, by its path in the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def damage_of(folder: Path, row: Mapping[str, Any]) -> str | None:
    """Compare a checkpoint on disk with the digests in its row of the ledger.

    Returns:
        What is wrong with it; ``None`` = nothing, or the row has no digests: it is a service's, or of an older version.
    """
    if "reference" in row:
        return None
    place = place_of(folder, row)
    for name, digest in row.get("sha256", {}).items():
        path = place / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_file(path) != digest:
            return f"{name} has changed since it was written"
    return None
