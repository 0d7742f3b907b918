"""Notes of a starting run on the files it has written into its folder, so that files of a user are never deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import left_behind, read_jsonl, sha256_file

START = ".start.jsonl"
FILES_OF_A_START = frozenset({"calibration.json", "manifest.json", "recipe.yaml"})


def noted_in(folder: Path) -> dict[str, str | None] | None:
    """Read the notes in a folder: name -> SHA-256 (``None`` for a folder); ``None`` if there are no such notes."""
    notes = folder / START
    if not os.path.lexists(notes):
        return {}
    if notes.is_symlink() or not notes.is_file():
        return None
    try:
        rows = read_jsonl(notes)
    except (RunError, OSError):
        return None
    if any(row.keys() != {"path", "sha256"} for row in rows) or not (rows or _is_beginning(notes)):
        return None
    return {str(row["path"]): row["sha256"] for row in rows}


def _is_beginning(notes: Path) -> bool:
    """Return whether notes without a whole row are the beginning of one, as a kill leaves them."""
    text, first = notes.read_text(encoding="utf-8", errors="replace"), '{"path": "'
    return "\n" not in text and (text.startswith(first) or first.startswith(text))


def is_empty(path: Path) -> bool:
    """Return whether a path is an empty file."""
    return not path.is_symlink() and path.is_file() and not path.stat().st_size


def entries(folder: Path) -> Iterator[str]:
    """List the names of everything in a folder, a folder before its contents; links are not followed."""

    def fail(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise RunError(
                f"cannot read {error.filename}: {error.strerror}", "choose another --out"
            ) from error

    for root, folders, files in os.walk(folder, onerror=fail):
        for name in (*folders, *files):
            yield Path(root, name).relative_to(folder).as_posix()


def is_as_noted(folder: Path, name: str, noted: Mapping[str, str | None]) -> bool:
    """Return whether an entry of a folder is what the notes record, or a part of it left by a killed process."""
    path = folder / name
    if path.is_symlink():
        return False
    if name not in noted:
        written = left_behind(path)
        return written in FILES_OF_A_START or (
            written is not None and (Path(name).parent / written).as_posix() in noted
        )
    digest = noted[name]
    return path.is_dir() if digest is None else path.is_file() and sha256_file(path) == digest
