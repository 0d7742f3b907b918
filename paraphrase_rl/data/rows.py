"""Rows of JSONL and CSV, with the line each began on; and text out of bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping

from paraphrase_rl.errors import DataError

_LARGEST_FIELD = 2**31 - 1
_QUOTING = "quote fields that hold commas or line ends"


def decoded(content: bytes, where: str) -> str:
    """UTF-8 as text, a byte order mark dropped.

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


def json_rows(text: str, where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Objects of JSON lines, each with its line number; empty lines are passed over.

    Raises:
        DataError: a line is not a JSON object.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}:{number}: not JSON: {error}", f"one object a line; found {line[:60]!r}"
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"{where}:{number}: not an object but {line[:60]!r}", 'one object a line: {"text": "..."}'
            )
        yield number, row


def csv_rows(text: str, where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Rows of CSV under the names of its header, each with the line it began on; empty lines are passed over.

    Raises:
        DataError: bad quoting, or a row with more or fewer fields than the header.
    """
    csv.field_size_limit(_LARGEST_FIELD)  # the default of 128 KiB refuses a long text
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
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
