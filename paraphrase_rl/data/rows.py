"""Rows of JSONL, JSON and CSV files, each with the line it began on; and decoding of text files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from paraphrase_rl.errors import DataError

Rows = Iterator[tuple[int, Mapping[str, object]]]
_LARGEST_FIELD = 2**31 - 1
_QUOTING = "quote fields that hold commas or line ends"


def decoded(content: bytes, where: str) -> str:
    """Decode UTF-8; a byte order mark is dropped.

    Raises:
        DataError: not UTF-8; names the line and the byte.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}:{line}: not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}",
            f"convert it, for example: iconv -f latin1 -t utf-8 {where}",
        ) from error


def file_rows(file: Path) -> Rows:
    """Rows of a ``.csv``, ``.jsonl`` or ``.json`` file (an array of objects); the first two are streamed.

    Raises:
        DataError: it cannot be read, is not UTF-8, or its rows are not what the suffix says.
    """
    try:
        if file.suffix.lower() == ".json":
            yield from _array_rows(decoded(file.read_bytes(), str(file)), str(file))
            return
        comma = file.suffix.lower() == ".csv"
        with file.open(encoding="utf-8-sig", newline="" if comma else None) as lines:
            yield from (_csv_lines if comma else _json_lines)(lines, str(file))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8: {error.reason}", "convert it to UTF-8") from error


def _array_rows(text: str, where: str) -> Rows:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: not JSON: {error}", "the file may be incomplete: download it again"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{where}: not an array of objects", "use the file as the set publishes it")
    yield from enumerate(rows)


def json_rows(text: str, where: str) -> Rows:
    """Objects of JSON lines, each with its line number; empty lines are skipped.

    Raises:
        DataError: a line is not a JSON object.
    """
    return _json_lines(io.StringIO(text, newline=None), where)


def _json_lines(lines: Iterable[str], where: str) -> Rows:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}:{number}: not JSON: {error}",
                f"write one object per line; found {line.rstrip()[:60]!r}",
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"{where}:{number}: not an object but {line.rstrip()[:60]!r}",
                'write one object per line: {"text": "..."}',
            )
        yield number, row


def csv_rows(text: str, where: str) -> Rows:
    """Rows of CSV under the names of its header, each with the line it began on; empty lines are skipped.

    Raises:
        DataError: bad quoting, or a row with more or fewer fields than the header.
    """
    return _csv_lines(io.StringIO(text, newline=""), where)


def _csv_lines(lines: Iterable[str], where: str) -> Rows:
    csv.field_size_limit(_LARGEST_FIELD)  # the default of 128 KiB refuses a long text
    reader = csv.reader(lines, strict=True)
    start = 1
    header: list[str] = []
    try:
        for fields in reader:
            number, start = start, reader.line_num + 1
            if not fields:
                continue
            if not header:
                header = fields
            elif len(fields) != len(header):
                counted = f"{len(fields)} fields, the header has {len(header)}: {', '.join(header)}"
                raise DataError(f"{where}:{number}: {counted}", _QUOTING)
            else:
                yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(f"{where}:{start}: not CSV: {error}", _QUOTING) from error
