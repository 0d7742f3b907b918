"""Files written whole or not at all, and read even if a killed process left the last line incomplete."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from paraphrase_rl.errors import PrlError, RunError, UsageError

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
LOCK = ".lock"
"""Empty file in a folder, locked while a process works in the folder."""
_DAMAGED = "the file was edited or damaged: restore it"
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>[1-9][0-9]{0,8})")


def home() -> Path:
    """Return the folder of converted models and calibrations: ``$PRL_HOME``, else ``~/.cache/paraphrase-rl``.

    Raises:
        UsageError: neither ``$PRL_HOME`` nor a home directory is known.
    """
    configured = os.environ.get("PRL_HOME")
    return expanded(configured or "~/.cache/paraphrase-rl")


def expanded(path: str | Path) -> Path:
    """Return the path with ``~`` as the home directory.

    Raises:
        UsageError: the path begins with ``~``, and no home directory is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"cannot tell where {path} is: this user has no home directory",
            "set PRL_HOME to a folder for models and calibrations, and write paths without ~",
        ) from None


def is_file_or_folder(path: str | Path) -> bool:
    """Return whether a file or folder exists at a path; False if the path is too long or has a NUL character."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def fitted_folder(detector: str, configured: str | None = None) -> Path:
    """Return the folder that ``prl fit DETECTOR`` saves a detector in and the detector is loaded from.

    Args:
        detector: name of the detector.
        configured: the detector's option ``folder``; ``None`` = a folder in the cache.
    """
    return expanded(configured) if configured else home() / "detectors" / detector


def lock_folder(folder: Path, error: type[PrlError], taken: str) -> int:
    """Create a folder if there is none, and claim it for this process.

    Args:
        folder: the folder; its file :data:`LOCK` is locked.
        error: class of the error to raise.
        taken: what another process does in the folder, for the error message.

    Returns:
        A file descriptor; closing it releases the folder.

    Raises:
        PrlError: an ``error``: the folder cannot be written, or another process has claimed it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # a link would make and lock a file of somebody else; Windows knows no such flag
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as why:
        raise error(f"cannot write {folder}: {why.strerror}", "choose another --out") from why
    try:
        if try_lock(lock):
            return lock
    except OSError as why:  # a file system without locks
        os.close(lock)
        raise error(f"cannot lock {folder}: {why.strerror}", "choose another --out") from why
    os.close(lock)
    raise error(f"{taken} in {folder}", "wait for it to end, or choose another --out")


def is_locked(folder: Path) -> bool:
    """Return whether a living process has claimed a folder; nothing in the folder is changed."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(lock)
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(lock)


def try_lock(descriptor: int) -> bool:
    """Lock an open file, if no other process has it locked; closing it releases the lock.

    It waits a moment: a process that only asks :func:`is_locked` holds the lock for less.
    """
    from filelock import lock_descriptor

    for _ in range(5):
        if lock_descriptor(descriptor, blocking=False):
            return True
        time.sleep(0.01)
    return False


def inside(folder: Path, name: str) -> Path:
    """Return the path ``name`` inside a folder, with links resolved.

    Raises:
        ValueError: the path leads out of the folder, is the folder itself, or contains a link that leads out.
    """
    home, path = folder.resolve(), folder / name
    try:
        found = path.resolve()
        if home not in found.parents:
            raise ValueError(f"{name!r} leads out of {folder}")
        for root, folders, files in os.walk(found):
            for entry in (*folders, *files):
                held = Path(root, entry)
                if held.is_symlink() and home not in held.resolve().parents:
                    raise ValueError(f"{name!r} holds {entry!r}, a link that leads out of {folder}")
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise ValueError(f"{name!r} cannot be followed: {error}") from error
    return path


def remove(path: Path) -> None:
    """Remove a file, a folder with all it holds, or a link, but nothing that a link leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, as hex digits; lone surrogates count and are not refused."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_texts(texts: Iterable[str]) -> str:
    """Return the SHA-256 of a sequence of texts, as hex digits; order and boundaries count."""
    total = hashlib.sha256()
    for text in texts:
        total.update(bytes.fromhex(sha256_text(text)))
    return total.hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def dumps(value: object) -> str:
    """Write a value as JSON on one line, in readable Unicode. NaN and infinities, which JSON lacks, become ``null``."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError):  # a number that is not finite, a numpy value
        return _ENCODER.encode(_finite(value))


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return _finite(value.tolist())
    return value


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an error while a file is written into one that says what to do.

    Raises:
        RunError: the disk is full, or the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}",
            "free some disk space or choose another folder; files written before are intact",
        ) from error


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)  # of a killed process with the same number, as in a container
        try:
            with temporary.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def left_behind(path: Path) -> str | None:
    """Return the name of the file that a killed process was writing, given the temporary file it left.

    ``None`` if ``path`` is no such temporary file, or if the process is still writing it."""
    found = _TEMPORARY.fullmatch(path.name)
    if found is None or path.is_symlink() or not path.is_file():
        return None
    import psutil

    process = int(found["process"])
    # in a container every process may have the number of the one before
    return None if process != os.getpid() and psutil.pid_exists(process) else found["name"]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all (temporary file next to it, then rename).

    Raises:
        RunError: the disk is full or the folder is not writable; an earlier version of the file is unchanged.
    """
    with _whole(path) as stream:
        stream.write(text.encode())


def copy_file(source: Path, path: Path) -> None:
    """Copy a file whole or not at all.

    Raises:
        RunError: see :func:`write_text`; or the source cannot be read.
    """
    with _whole(path) as stream, source.open("rb") as held:
        shutil.copyfileobj(held, stream)


def copy_folder(source: Path, folder: Path) -> None:
    """Copy a folder to a new place.

    Raises:
        RunError: the new place is not free, or the folder cannot be copied.
    """
    with new_folder(folder) as unfinished:
        shutil.copytree(source, unfinished)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary path for a folder that must appear whole or not at all; at the end it is renamed to ``folder``.

    Raises:
        RunError: ``folder`` exists already, or it cannot be written.
    """
    taken = RunError(f"{folder} already exists", "choose another folder; nothing in it was changed")
    if os.path.lexists(folder):
        raise taken
    with write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # a name that nobody has: what lies beside the folder may be somebody's
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            unfinished = Path(beside) / folder.name
            yield unfinished
            if os.path.lexists(folder):
                raise taken
            unfinished.rename(folder)


def json_text(value: object) -> str:
    """Write a value as indented JSON."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write indented JSON, whole or not at all."""
    write_text(path, json_text(value))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    write_text(path, "".join(dumps(row) + "\n" for row in rows))


def append_jsonl(path: Path, *rows: Mapping[str, object]) -> None:
    """Append rows in a single write, so that a kill leaves at most the last line incomplete."""
    with write_errors(path), path.open("ab") as stream:
        stream.write("".join(dumps(row) + "\n" for row in rows).encode())
        stream.flush()
        os.fsync(stream.fileno())


def read_jsonl(path: Path, keys: Collection[str] = ()) -> list[dict[str, Any]]:
    """Read the rows of a JSON-lines file; an incomplete last line is dropped, an incomplete line elsewhere is an error.

    Args:
        keys: names of fields that every row must have.

    Raises:
        RunError: a line before the last is not JSON, or a row is not an object or lacks one of these fields.
    """
    if not path.exists():
        return []
    # by line feeds alone: JSON leaves U+2028 and its like as they are inside a string
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: nested thousands deep
            if number == len(lines):
                break
            raise RunError(f"{path}, line {number}: not JSON", _DAMAGED) from error
        if not isinstance(row, dict):
            raise RunError(f"{path}, line {number}: not a JSON object", _DAMAGED)
        if lacking := [key for key in keys if key not in row]:
            raise RunError(f"{path}, line {number}: lacks {', '.join(lacking)}", _DAMAGED)
        rows.append(row)
    return rows
