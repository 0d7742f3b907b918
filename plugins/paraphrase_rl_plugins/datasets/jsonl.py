"""Texts from JSON lines and CSV files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path

from pydantic import Field

from paraphrase_rl import hookimpl
from paraphrase_rl.data.columns import TableOptions
from paraphrase_rl.errors import DataError
from paraphrase_rl.specs import Context, DatasetSpec
from paraphrase_rl.types import Document

_JSONL = (".jsonl", ".ndjson")
_LARGEST_FIELD = 2**31 - 1


class JsonlOptions(TableOptions):
    """Options of ``jsonl``."""

    path: str | list[str] = Field(description="a file, a pattern such as essays/*.jsonl, or a list of them")


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="jsonl",
            summary="JSON lines and CSV files with columns text, label, group, domain, pair, split",
            factory=Jsonl,
            options=JsonlOptions,
        )
    ]


class Jsonl:
    """Rows of ``.jsonl``, ``.ndjson`` and ``.csv`` files; ids are ``FILE:LINE`` where there is no id."""

    def __init__(self, options: JsonlOptions, context: Context) -> None:  # noqa: ARG002
        self._options = options
        patterns = [options.path] if isinstance(options.path, str) else options.path
        self._files = [file for pattern in patterns for file in _expand(pattern)]

    def documents(self) -> Iterator[Document]:
        names = [file.name for file in self._files]
        for file in self._files:
            title = file.name if names.count(file.name) == 1 else str(file)
            rows = list(_csv_rows(file) if file.suffix.lower() == ".csv" else _json_rows(file))
            if rows:
                self._options.check_columns(dict.fromkeys(key for _, row in rows for key in row), str(file))
            for line, row in rows:
                yield self._options.document(row, where=f"{file}:{line}", id=f"{title}:{line}")

    def description(self) -> str:
        return f"Texts from {', '.join(map(str, self._files))}; their origin and licence are not stated."


def _expand(pattern: str) -> list[Path]:
    named = Path(pattern).expanduser()
    if named.is_dir():
        raise DataError(f"{named} is a folder", f"name its files, such as {named}/*.jsonl")
    matches = sorted(glob(str(named), recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = [named] if named.is_file() else [Path(match) for match in matches]
    if not found:
        raise DataError(f"no file at {pattern}", "paths are relative to where prl is called")
    for file in found:
        if file.suffix.lower() not in (*_JSONL, ".csv"):
            raise DataError(f"{file}: not a kind of file that is read here", f"{', '.join(_JSONL)} or .csv")
    return found


def _read(file: Path) -> str:
    """The whole file as text, a byte order mark dropped."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{file}:{line}: not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}",
            f"convert it, for example: iconv -f latin1 -t utf-8 {file}",
        ) from error


def _json_rows(file: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(_read(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{file}:{number}: not JSON: {error}", f"one object a line; found {line[:60]!r}"
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"{file}:{number}: not an object but {line[:60]!r}", 'one object a line: {"text": "..."}'
            )
        yield number, row


def _csv_rows(file: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    csv.field_size_limit(_LARGEST_FIELD)  # the default of 128 KiB refuses a long text
    reader = csv.reader(io.StringIO(_read(file), newline=""), strict=True)
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
                raise DataError(
                    f"{file}:{number}: {len(fields)} fields, the header has {len(header)}",
                    f"columns: {', '.join(header)}; quote fields that hold commas or line ends",
                )
            else:
                yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{file}:{start}: not CSV: {error}", "quote fields that hold commas or line ends"
        ) from error
