"""File of rows that a second call continues, with a second file that says what it holds.

``FILE.resume`` is written line by line, for each part in this order: up to which byte rows are about to be written; the
rows, into ``FILE``; then what the part holds. So whatever moment a process is killed at, the rows up to the last line
that says what a part holds are whole, and what may follow them is known to be incomplete.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from paraphrase_rl.errors import RunError, UsageError
from paraphrase_rl.files import dumps, try_lock, write_errors

SCHEMA: Literal["paraphrase-rl/resume/1"] = "paraphrase-rl/resume/1"
DIGEST = 16
"""Bytes of a digest: that two of a billion texts have the same has a probability of 10^-21."""
_OTHER = "choose another --out (out=); nothing was changed"
_READ_AT_ONCE = 1 << 20
_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of the file, and the line that says what they are.

    Attributes:
        line: offset of that line in ``FILE.resume``.
        start: offset of the rows in the file.
        end: offset of what follows them.
        n: number of texts.
        crc: checksum of the rows.
    """

    line: int
    start: int
    end: int
    n: int
    crc: int


@dataclass(frozen=True)
class Held:
    """Records of the texts of a part, in their order.

    Attributes:
        texts: digests of the texts, :data:`DIGEST` bytes each.
        rows: 32-bit checksums of the other inputs of each row.
        results: results, as values of JSON.
    """

    texts: bytes
    rows: bytes
    results: list[Any]


class ResumableFile:
    """File that is open for this process alone; what is incomplete at its end has been cut off.

    Args:
        path: the file.
        settings: what the rows depend on besides their texts; another value of one is refused.
        header: what stands before the first row.

    Attributes:
        parts: the parts that the file holds, in order.

    Raises:
        UsageError: the file was made with other settings or by something else, or was changed since.
        RunError: it cannot be written, or another process writes it.
    """

    def __init__(self, path: Path, settings: Mapping[str, object], header: str) -> None:
        self.path, self._beside = path, path.with_name(f"{path.name}.resume")
        self.parts: list[Part] = []
        self._dropped: list[Part] = []
        self._about_to = 0
        self._head = header.encode()
        known = json.loads(dumps(settings))
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not self._beside.exists() and path.exists() and path.stat().st_size:
                raise UsageError(f"{path} exists already, and was not begun by this command", _OTHER)
            with ExitStack() as opened:
                self._log = opened.enter_context(self._beside.open("a+b", buffering=0))
                if not try_lock(self._log.fileno()):
                    raise RunError(
                        f"another process writes {path}", "wait for it to end, or choose another --out"
                    )
                self._read(known)
                self._file = opened.enter_context(path.open("a+b", buffering=0))
                self._check()
                self._opened = opened.pop_all()
        self._look_up = lru_cache(_REMEMBERED)(self.read)
        self._index: _Index | None = None

    def close(self) -> None:
        """Release the file."""
        self._opened.close()

    def __enter__(self) -> ResumableFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, part: Part) -> Held:
        """Return what a part holds."""
        self._log.seek(part.line)
        entry = json.loads(_line(self._log))
        texts, rows = (base64.b64decode(entry[key]) for key in ("texts", "rows"))
        return Held(texts, rows, entry["results"])

    def cut(self, count: int) -> None:
        """Remove all parts but the first ``count`` from the file; their results can still be looked up."""
        if count == len(self.parts):
            return
        self._dropped += self.parts[count:]
        del self.parts[count:]
        self._index = None
        self._say({"cut": self._end})
        with write_errors(self.path):
            self._file.truncate(self._end)

    @property
    def was_cut(self) -> bool:
        """True if parts were cut off, whose results can be looked up."""
        return bool(self._dropped)

    def known(self, digests: Sequence[bytes]) -> list[Any]:
        """Return the results of texts that parts cut off had; ``None`` for each other text."""
        if self._index is None:
            self._index = _Index(self.read(part).texts for part in self._dropped)
        found: list[Any] = []
        for digest in digests:
            at = self._index.find(digest)
            if at is None:
                found.append(None)
                continue
            part, place = at
            held = self._look_up(self._dropped[part])
            same = held.texts[place * DIGEST : (place + 1) * DIGEST] == digest
            found.append(held.results[place] if same else None)
        return found

    def append(self, lines: str, held: Held) -> None:
        """Write the rows of a part.

        Raises:
            RunError: the disk is full; the file can be continued where there is space again.
        """
        content = lines.encode()
        start, end = self._end, self._end + len(content)
        self._say({"about_to": end})
        with write_errors(self.path):
            _write(self._file, content)
        texts, rows = (base64.b64encode(part).decode() for part in (held.texts, held.rows))
        n, crc = len(held.results), zlib.crc32(content)
        about = {"n": n, "end": end, "crc": crc, "texts": texts, "rows": rows, "results": held.results}
        self.parts.append(Part(self._say(about), start, end, n, crc))

    @property
    def _end(self) -> int:
        return self.parts[-1].end if self.parts else len(self._head)

    def _say(self, entry: Mapping[str, object]) -> int:
        """Append a line to ``FILE.resume``, and return its offset."""
        with write_errors(self._beside):
            at = self._log.seek(0, os.SEEK_END)
            _write(self._log, f"{dumps(entry)}\n".encode())
        return at

    def _read(self, settings: Mapping[str, object]) -> None:
        """Read what the parts are; an incomplete last line is cut off."""
        self._log.seek(0)
        first = _line(self._log)
        if not first.endswith(b"\n"):
            self._log.truncate(0)
            self._say({"schema": SCHEMA, "settings": settings})
            return
        entry = self._entry(first)
        if entry.get("schema") != SCHEMA:
            raise UsageError(f"{self._beside} exists already, and was not written by this command", _OTHER)
        self._check_settings(entry.get("settings", {}), settings)
        at = self._log.tell()
        while line := _line(self._log):
            if not line.endswith(b"\n"):
                self._log.truncate(at)
                return
            self._follow(self._entry(line), at)
            at += len(line)

    def _entry(self, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise UsageError(f"{self._beside} is damaged", "remove it and the file of the rows, or " + _OTHER)
        return entry

    def _follow(self, entry: Mapping[str, Any], at: int) -> None:
        if "about_to" in entry:
            self._about_to = int(entry["about_to"])
        elif "cut" in entry:
            kept = sum(part.end <= entry["cut"] for part in self.parts)
            self._dropped += self.parts[kept:]
            del self.parts[kept:]
        else:
            self.parts.append(Part(at, self._end, int(entry["end"]), int(entry["n"]), int(entry["crc"])))
            self._about_to = 0

    def _check_settings(self, before: Mapping[str, object], now: Mapping[str, object]) -> None:
        for key in {**before, **now}:
            if before.get(key) != now.get(key):
                raise UsageError(
                    f"{self.path} was begun with other settings: {key} was {_shown(before.get(key))} and is "
                    f"{_shown(now.get(key))}",
                    "repeat the call with the settings it was begun with, or " + _OTHER,
                )

    def _check(self) -> None:
        """Check that the file holds what it should, and cut off what is incomplete."""
        size = self._file.seek(0, os.SEEK_END)
        changed = UsageError(f"{self.path} was changed since its rows were written", _OTHER)
        self._file.seek(0)
        if not self._head.startswith(self._file.read(len(self._head)) or b""):
            raise changed
        whole = 0
        for part in self.parts:
            if part.end > size:  # the machine, not only the process, was stopped
                break
            if _checksum(self._file, part) != part.crc:
                raise changed
            whole += 1
        if whole == len(self.parts) and size > max(self._end, self._about_to):
            raise changed
        self.cut(whole)
        self._file.truncate(self._end if self.parts else 0)
        if not self.parts:
            _write(self._file, self._head)


class _Index:
    """Where the result of a text is, by its digest; 16 bytes for each."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        keys, places = [], []
        for number, texts in enumerate(parts):
            digests = np.frombuffer(texts, dtype=np.uint64).reshape(-1, DIGEST // 8)
            keys.append(digests[:, 0])
            places.append(np.arange(len(digests), dtype=np.uint64) + np.uint64(number << 32))
        order = np.argsort(np.concatenate(keys), kind="stable")
        self._keys, self._places = np.concatenate(keys)[order], np.concatenate(places)[order]

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Return the number of the part, and the position in it; ``None`` if the text is in none."""
        key = np.frombuffer(digest, dtype=np.uint64)[0]
        at = int(np.searchsorted(self._keys, key))
        if at == len(self._keys) or self._keys[at] != key:
            return None
        place = int(self._places[at])
        return place >> 32, place & 0xFFFFFFFF


def _line(stream: IO[bytes]) -> bytes:
    """The next line of a file without a buffer."""
    parts = []
    at = stream.tell()
    while part := stream.read(_READ_AT_ONCE):
        end = part.find(b"\n") + 1
        parts.append(part[: end or None])
        if end:
            break
    line = b"".join(parts)
    stream.seek(at + len(line))
    return line


def _write(stream: IO[bytes], content: bytes) -> None:
    """Write all of it at the end of a file without a buffer."""
    written = 0
    while written < len(content):
        written += stream.write(content[written:])


def _checksum(stream: IO[bytes], part: Part) -> int:
    stream.seek(part.start)
    left, total = part.end - part.start, 0
    while left and (content := stream.read(min(left, _READ_AT_ONCE))):
        total, left = zlib.crc32(content, total), left - len(content)
    return total


def _shown(value: object) -> str:
    text = dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
