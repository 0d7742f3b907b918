"""Rows of tables, each with the line it begins on; every command and plug-in reads files with this module."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from paraphrase_rl.data.encoding import beginning, decoded, encoding_of, read_errors, unpacked
from paraphrase_rl.data.forms import TEXT_COLUMN, Form, delimiter_of, describe, form_of
from paraphrase_rl.errors import DataError, MissingDependencyError

Values = Mapping[str, object]
Rows = Iterator[tuple[int, Values]]
_LARGEST_FIELD = 2**31 - 1
_START = 1 << 20
"""Bytes that a form is found out from."""
_QUOTING = "quote fields that hold delimiters or line ends"
_ONE_OBJECT = 'write one object per line: {"text": "..."}'


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        line: line that the row begins on, from 1; in formats without lines, the number of the row, from 0.
        values: values by the name of the column.
        problem: why the row cannot be read and what to do; an empty string if it can be read.
    """

    line: int
    values: Values
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Source:
    """A file whose form is known.

    Attributes:
        name: name of the file; ``-`` = standard input.
        form: see :data:`paraphrase_rl.data.forms.Form`.
        encoding: encoding of the file.
        delimiter: delimiter of a CSV.
        content: bytes of the source, if it is not a file that can be opened again.
    """

    name: str
    form: Form
    encoding: str = "utf-8"
    delimiter: str = ","
    content: bytes | None = None

    @property
    def described(self) -> str:
        """Sentence that says as which form the file is read."""
        return describe(self.name, self.form, self.delimiter, self.encoding)

    def text(self) -> str:
        """Read the whole file as one text.

        Raises:
            DataError: the file cannot be read, or is in no Unicode encoding.
        """
        return decoded(self._whole(), self.name)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of a table; a row that cannot be read has a ``problem``. CSV and JSON lines are streamed.

        Raises:
            DataError: the rest of the table cannot be read; or two columns have the same name.
        """
        if self.form in ("csv", "jsonl"):
            with read_errors(self.name, self._whole), _stream(self.name, self.content) as stream:
                lines = io.TextIOWrapper(stream, self.encoding, newline="" if self.form == "csv" else None)
                if self.form == "csv":
                    yield from _csv_lines(lines, self.name, self.delimiter)
                else:
                    yield from _json_lines(lines)
        elif self.form == "json":
            yield from _array_rows(self.text(), self.name)
        else:
            yield from _arrow_rows(self._whole(), self.name, self.form)

    def _whole(self) -> bytes:
        with read_errors(self.name), _stream(self.name, self.content) as stream:
            return stream.read()


def open_source(
    name: str,
    content: bytes | None = None,
    input_format: Form | None = None,
    column: str | None = None,
) -> Source:
    """Find out the form of a file from its name and its beginning.

    Args:
        name: path of the file.
        content: bytes of the file, if they were read already.
        input_format: form of the file; ``None`` = found by name and content.
        column: name of the column of texts, if one was asked for; then the file must be a table.

    Raises:
        DataError: the file cannot be read, or has no known form.
    """
    if input_format == "text" and column is not None:
        raise DataError(
            f"{name} is read as one text, which has no column {column!r}",
            "leave out the column, or the input format text",
        )
    with read_errors(name), _stream(name, content) as stream:
        start = stream.read(_START)
    form = input_format or form_of(name, start, column)
    if form in ("parquet", "arrow"):
        return Source(name, form, content=content)
    delimiter = delimiter_of(beginning(start), column or TEXT_COLUMN) if form == "csv" else ","
    return Source(name, form, encoding_of(start), delimiter, content)


@contextmanager
def _stream(name: str, content: bytes | None) -> Iterator[IO[bytes]]:
    with (
        io.BytesIO(content) if content is not None else Path(name).open("rb") as file,
        unpacked(file) as stream,
    ):
        yield stream


def file_rows(file: Path) -> Rows:
    """Yield the rows of a table in any known form; a row that cannot be read is an error.

    Raises:
        DataError: the file cannot be read, is in no Unicode encoding, or has not the form that its name says.
    """
    source = open_source(str(file))
    if source.form == "text":
        raise DataError(f"{file} is one text, and a table is needed", "use the file as the set publishes it")
    for row in source.rows():
        if row.problem:
            raise DataError(f"{file}:{row.line}: {row.problem}", row.hint)
        yield row.line, row.values


def _array_rows(text: str, where: str) -> Iterator[Row]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: not JSON: {error}", "the file may be incomplete: copy or download it again"
        ) from error
    if not isinstance(rows, list):
        raise DataError(
            f"{where}: not an array of objects",
            'write the texts as an array of objects, such as [{"text": "..."}]',
        )
    for number, row in enumerate(rows):
        if isinstance(row, dict):
            yield Row(number, row)
        else:
            yield Row(
                number,
                {},
                f"not an object but {row!r:.60}",
                'write each text as an object, such as {"text": "..."}',
            )


def _json_lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        line = line.removesuffix("\n")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(number, {}, f"not JSON: {error}", f"write one object per line; found {line[:60]!r}")
            continue
        if isinstance(row, dict):
            yield Row(number, row)
        else:
            yield Row(number, {}, f"not an object but {line[:60]!r}", _ONE_OBJECT)


def _csv_lines(lines: Iterable[str], where: str, delimiter: str) -> Iterator[Row]:
    """Rows under the names of the header; empty lines are none, nor is a line of blanks where rows have several."""
    csv.field_size_limit(_LARGEST_FIELD)  # the default of 128 KiB refuses a long text
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    start = 1
    header: list[str] = []
    try:
        for fields in reader:
            number, start = start, reader.line_num + 1
            if not fields or (len(header) != 1 and len(fields) == 1 and not fields[0].strip()):
                continue
            if not header:
                header = fields
                if twice := sorted({name for name in header if header.count(name) > 1}):
                    raise DataError(
                        f"{where}: two columns are called {twice[0]!r}", "give each column a name of its own"
                    )
            elif len(fields) == len(header):
                yield Row(number, dict(zip(header, fields, strict=True)))
            else:
                counted = f"{len(fields)} fields, the header has {len(header)}: {', '.join(header)}"
                yield Row(number, {}, counted, _QUOTING)
    except csv.Error as error:
        raise DataError(f"{where}:{start}: not CSV: {error}", _QUOTING) from error


def _plain(value: object) -> object:
    """What JSON can hold; dates, decimals and bytes as they are written."""
    return value if value is None or isinstance(value, (str, int, float, list, dict)) else str(value)


def _arrow_rows(content: bytes, where: str, form: Form) -> Iterator[Row]:
    """Rows of Parquet and Arrow, batch by batch."""
    try:
        import pyarrow as arrow
        from pyarrow import ipc, parquet
    except ImportError as error:
        raise MissingDependencyError(
            f"{where}: reading {form} needs pyarrow, which is not installed",
            "pip install 'paraphrase-rl[datasets]'",
        ) from error
    try:
        buffer = arrow.BufferReader(content)
        if form == "parquet":
            batches = parquet.ParquetFile(buffer).iter_batches()
        else:
            is_file = content.startswith(b"ARROW1")
            opened = ipc.open_file(buffer) if is_file else ipc.open_stream(buffer)
            batches = (opened.get_batch(i) for i in range(opened.num_record_batches)) if is_file else opened
        number = 0
        for batch in batches:
            for values in batch.to_pylist():
                yield Row(number, {key: _plain(value) for key, value in values.items()})
                number += 1
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{where}: not {form}: {' '.join(str(error).split())[:200]}", "copy or download the file again"
        ) from error
