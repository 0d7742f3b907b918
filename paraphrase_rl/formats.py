"""Rows as lines of CSV and of JSON; what is written here, :mod:`paraphrase_rl.data.rows` reads."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from paraphrase_rl.errors import DataError
from paraphrase_rl.files import dumps

Row = Mapping[str, object]
LineFormat = Literal["jsonl", "csv"]


class RowFormat(Protocol):
    """A format with a line for each row."""

    def header(self) -> str:
        """Return what stands before the first row."""
        ...

    def lines(self, rows: Iterable[Row]) -> str:
        """Return rows as lines, each with its line end."""
        ...


def row_format(name: LineFormat, columns: Sequence[str]) -> RowFormat:
    """Return a format by name; ``columns`` are those of all rows, which CSV names in its first line."""
    return Csv(columns) if name == "csv" else JsonLines()


def json_parts(meta: Row, blocks: Iterable[Sequence[Row]]) -> Iterator[str]:
    """Yield one JSON object in parts: the fields of ``meta``, and ``rows``, an array of all rows."""
    yield f'{dumps(meta).removesuffix("}")}, "rows": ['
    first = True
    for block in blocks:
        if block:
            yield ("" if first else ", ") + ", ".join(map(dumps, block))
            first = False
    yield "]}\n"


def gathered(blocks: Iterable[Sequence[Row]], n: int) -> Iterator[Sequence[Row]]:
    """Join blocks of rows until each has ``n`` or more; yields at least one, which may be empty."""
    held: list[Row] = []
    first = True
    for block in blocks:
        held += block
        if len(held) >= n:
            yield held
            held, first = [], False
    if held or first:
        yield held


class JsonLines:
    """Format of one object a line. NaN and infinities are ``null``."""

    def header(self) -> str:
        """Return an empty string."""
        return ""

    def lines(self, rows: Iterable[Row]) -> str:
        """Return rows as lines, each with its line end."""
        return "".join(dumps(row) + "\n" for row in rows)


class Csv:
    """CSV. A missing value is an empty field, a list is JSON.

    Args:
        columns: columns, in order; a column that a row lacks is empty in this row.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns, self._known = columns, frozenset(columns)
        self._lines: list[str] = []
        # this line end makes the writer quote fields with either of its characters
        self._writer = csv.writer(_Lines(self._lines), lineterminator="\r\n")

    def header(self) -> str:
        """Return the line of the column names."""
        self._writer.writerow(self._columns)
        return self._written()

    def lines(self, rows: Iterable[Row]) -> str:
        """Return rows as lines, each with its line end.

        Raises:
            DataError: a row has a column that the header does not name.
        """
        for row in rows:
            if not row.keys() <= self._known:
                raise DataError(
                    f"a row has the columns {', '.join(k for k in row if k not in self._known)}, "
                    "which the rows before did not have",
                    "write JSON lines, whose rows may have different columns: --format jsonl",
                )
            self._writer.writerow([_field(row.get(key)) for key in self._columns])
        return self._written()

    def _written(self) -> str:
        text = "".join(line.removesuffix("\r\n") + "\n" for line in self._lines)
        self._lines.clear()
        return text


class _Lines:
    """File that holds each row as one string."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _field(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, (list, tuple, Mapping)):
        return dumps(value)
    return value
