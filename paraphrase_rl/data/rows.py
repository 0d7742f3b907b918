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
_ROWS_AT_ONCE = 1000
_BLANKS = " \t\n\r"
_DECODER = json.JSONDecoder()
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
        content: the file that holds its bytes, if they are not at ``name``.
    """

    name: str
    form: Form
    encoding: str = "utf-8"
    delimiter: str = ","
    content: Path | None = None

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
        """Yield the rows of a table; a row that cannot be read has a ``problem``. Memory does not grow with the table.

        Raises:
            DataError: the rest of the table cannot be read; or two columns have the same name.
        """
        if self.form in ("parquet", "arrow"):
            with read_errors(self.name), _stream(self.name, self.content) as stream:
                yield from _arrow_rows(stream, self.name, self.form)
            return
        newline = "" if self.form == "csv" else None
        with (
            read_errors(self.name, self._whole),
            _stream(self.name, self.content) as stream,
            io.TextIOWrapper(stream, self.encoding, newline=newline) as text,
        ):
            if self.form == "csv":
                yield from _csv_lines(text, self.name, self.delimiter)
            elif self.form == "jsonl":
                yield from _json_lines(text)
            else:
                yield from _array_rows(text, self.name)

    def _whole(self) -> bytes:
        with read_errors(self.name), _stream(self.name, self.content) as stream:
            return stream.read()


def open_source(
    name: str,
    content: Path | None = None,
    input_format: Form | None = None,
    column: str | None = None,
) -> Source:
    """Find out the form of a file from its name and its beginning.

    Args:
        name: path of the file.
        content: the file that holds its bytes, if they are not at ``name``.
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
def _stream(name: str, content: Path | None) -> Iterator[IO[bytes]]:
    with (content or Path(name)).open("rb") as file, unpacked(file) as stream:
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


def _array_rows(text: IO[str], where: str) -> Iterator[Row]:
    """Rows of a JSON array, object by object."""
    for number, row in enumerate(_array(text, where)):
        if isinstance(row, dict):
            yield Row(number, row)
        else:
            yield Row(
                number,
                {},
                f"not an object but {row!r:.60}",
                'write each text as an object, such as {"text": "..."}',
            )


def _array(text: IO[str], where: str) -> Iterator[object]:
    """Values of a JSON array.

    Raises:
        DataError: the file is not JSON, or holds something else than an array.
    """
    window = _Window(text)
    try:
        if window.next() != "[":
            json.loads(window.rest())
            raise DataError(
                f"{where}: not an array of objects",
                'write the texts as an array of objects, such as [{"text": "..."}]',
            )
        separator = window.take("[")
        while separator != "]":
            if separator == "[" and window.next() == "]":
                window.take("]")
                break
            yield window.value()
            separator = window.take(",]")
        if window.next():
            window.take("")
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: not JSON: {error}", "the file may be incomplete: copy or download it again"
        ) from error


class _Window:
    """What has been read of a JSON text and not yet been used."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._held, self._at, self._ended = "", 0, False

    def next(self) -> str:
        """Return the next character that is not a blank; an empty string at the end."""
        while True:
            while self._held[self._at : self._at + 1] in _BLANKS and self._at < len(self._held):
                self._at += 1
            if self._at < len(self._held) or self._ended:
                return self._held[self._at : self._at + 1]
            self._read()

    def take(self, expected: str) -> str:
        """Use the next character, which is one of those expected."""
        found = self.next()
        if not found or found not in expected:
            wanted = f"Expecting {' or '.join(map(repr, expected))}" if expected else "Extra data"
            raise json.JSONDecodeError(wanted, self._held, self._at)
        self._at += 1
        return found

    def value(self) -> object:
        """Use the next value. If it does not end in what is held, as much again is read."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except ValueError:
                if self._ended:
                    raise
            else:
                if end < len(self._held) or self._ended:  # a number may go on
                    self._at = end
                    return value
            self._read()

    def rest(self) -> str:
        """Use everything that is left."""
        return self._held[self._at :] + self._text.read()

    def _read(self) -> None:
        part = self._text.read(max(_START, len(self._held) - self._at))
        self._held, self._at, self._ended = self._held[self._at :] + part, 0, not part


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


def _arrow_rows(stream: IO[bytes], where: str, form: Form) -> Iterator[Row]:
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
        if form == "parquet":
            file = parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_START)
            batches = file.iter_batches(batch_size=_ROWS_AT_ONCE)
        else:
            is_file = stream.read(6) == b"ARROW1"
            stream.seek(0)
            opened = ipc.open_file(stream) if is_file else ipc.open_stream(stream)
            batches = (opened.get_batch(i) for i in range(opened.num_record_batches)) if is_file else opened
        number = 0
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                for values in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
                    yield Row(number, {key: _plain(value) for key, value in values.items()})
                    number += 1
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{where}: not {form}: {' '.join(str(error).split())[:200]}", "copy or download the file again"
        ) from error
