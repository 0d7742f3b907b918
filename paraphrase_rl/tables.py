"""Base of the results of the verbs: frozen, typed rows that print as a table and convert to pandas."""

from __future__ import annotations

import html
import math
import re
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from paraphrase_rl.errors import MissingDependencyError
from paraphrase_rl.text.terminal import terminal_safe

if TYPE_CHECKING:
    import pandas

Row = TypeVar("Row", covariant=True)
WIDTH = 80
"""Width of a ``repr``, in characters."""
SHOWN_ROWS = 20
SPREAD: Mapping[str, object] = {"spread": True}
"""Metadata of a dataclass field that holds further columns of the row."""
_WIDEST_CELL = 120
_NARROWEST_CELL = 28
_GAP = 2
_WITH_INTERVAL = re.compile(r"([-+]?[0-9.]+) (\[.*\]|\(.*\))")
"""A number with its interval, or with why it has none."""


@dataclass(frozen=True, repr=False)
class Table(Generic[Row]):
    """Rows of one type, in order. Subclasses are ``@dataclass(frozen=True, repr=False)`` and may add fields.

    Attributes:
        rows: frozen dataclasses or pydantic records, all of one type.
        notes: notes on the rows, one line each.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    columns: ClassVar[tuple[str, ...]] = ()
    """Fields of a row that ``repr`` shows, in order; empty = all."""

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return f"{type(self).__name__}: {len(self.rows)} {'row' if len(self.rows) == 1 else 'rows'}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines that follow the table: the notes, each beginning with "note"."""
        return tuple(f"note: {note}" for note in self.notes)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def to_pandas(self) -> pandas.DataFrame:
        """Convert to a data frame with a column for each field of a row; ``None`` becomes a missing value.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingDependencyError(
                "to_pandas needs pandas, which is not installed", "pip install pandas"
            ) from None
        records = [record(row) for row in self.rows]
        return pandas.DataFrame(records, columns=keys(records) or list(self.columns))

    def __repr__(self) -> str:
        shown, columns, more = self._shown()
        lines = [_wrapped(self.title), *(text_table(shown, columns, WIDTH).splitlines() if columns else ())]
        if more:
            lines.append(f"… {more} more")
        return "\n".join([*lines, *(_wrapped(cell(remark, None)) for remark in self.remarks)])

    def _repr_html_(self) -> str:
        shown, columns, more = self._shown()
        return html_table(self.title, shown, columns, len(shown) + more, self.remarks)

    def _shown(self) -> tuple[Sequence[Mapping[str, object]], Sequence[str], int]:
        """The rows that are shown, their columns, and how many more rows there are."""
        records = [record(row) for row in self.rows[:SHOWN_ROWS]]
        return records, self.columns or keys(records), len(self.rows) - len(records)


@dataclass(frozen=True, repr=False)
class Titled(Table[Mapping[str, object]]):
    """Table of values formatted for display, under a title.

    Attributes:
        heading: the title.
    """

    heading: str = ""

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return self.heading


class Tabular(ABC):
    """Base of results that consist of several tables; ``repr`` and ``to_pandas`` show one of them."""

    @abstractmethod
    def flat_rows(self) -> Sequence[Mapping[str, object]]:
        """Return the lines of the data frame, each a mapping of column names to plain values."""

    @abstractmethod
    def _shown(self) -> Table[object]:
        """Return the table that ``repr`` shows."""

    def to_pandas(self) -> pandas.DataFrame:
        """Convert to a data frame with a line for each of :meth:`flat_rows`; ``None`` becomes a missing value.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return Table(tuple(self.flat_rows())).to_pandas()

    def __repr__(self) -> str:
        return repr(self._shown())

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()


def record(row: object) -> Mapping[str, object]:
    """Return the fields of a row (a dataclass, a pydantic record or a mapping) by name; values are not copied.

    A mapping in a field marked with :data:`SPREAD` is spread over columns of its own; a name that is taken becomes
    ``input_NAME``.
    """
    if isinstance(row, Mapping):
        return row
    if is_dataclass(row) and not isinstance(row, type):
        own, spread = _fields(type(row))
        found = {name: getattr(row, name) for name in own}
        for name in spread:
            for key, value in getattr(row, name).items():
                found[spread_name(key, own)] = value
        return found
    names = getattr(type(row), "model_fields", None)
    if names is None:
        raise TypeError(f"a row is a dataclass or a pydantic record, not {type(row).__name__}")
    return {name: getattr(row, name) for name in names}


def spread_name(key: object, own: Collection[str]) -> str:
    """Return the name that a further column of a row gets next to the row's own fields."""
    return f"input_{key}" if key in own else str(key)


def field_names(row: type) -> tuple[str, ...]:
    """Return the names of the fields of a class of rows, without those that are spread."""
    return _fields(row)[0]


@cache
def _fields(row: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fields of a dataclass, and of those that are spread."""
    known = fields(row)
    return tuple(f.name for f in known if not f.metadata), tuple(f.name for f in known if f.metadata)


def keys(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """List the column names of all rows, in the order they first occur."""
    return list(dict.fromkeys(key for row in rows for key in row))


def cell(value: object, widest: int | None = _WIDEST_CELL) -> str:
    """Format a value for a table: on one line, no control characters, cut at ``widest``."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        value = ", ".join(cell(part, None) for part in value) or "-"
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {cell(part, None)}" for key, part in value.items()) or "-"
    return cut(terminal_safe(" ".join(str(value).split())), widest)


def text_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str], width: int | None = None) -> str:
    """Format rows as a table of plain text, numbers aligned to the right.

    Args:
        rows: mappings of column names to values; a column that a row lacks is empty in this row.
        columns: names of the columns to show, in order.
        width: width of the terminal in characters; ``None`` = no limit. To fit, headers are folded, then intervals
            put under their numbers, then long cells continued on further lines, then columns left out and named below:
            first those without a value, then the last.

    Returns:
        Lines that each end in a line end.
    """
    cells = {key: [[cell(row.get(key))] for row in rows] for key in columns}
    headers = {key: key.split("\n") for key in columns}
    left_out = _fit(headers, cells, width) if width is not None else []
    shown = [key for key in columns if key not in left_out]
    tallest = max((len(headers[key]) for key in shown), default=0)
    heights = [max((len(cells[key][i]) for key in shown), default=0) for i in range(len(rows))]
    drawn = []
    for key in shown:
        wide = _width(headers[key], cells[key])
        above = [""] * (tallest - len(headers[key])) + headers[key]
        below = [
            line
            for value, height in zip(cells[key], heights, strict=True)
            for line in value + [""] * (height - len(value))
        ]
        right = _numeric(rows, key)
        drawn.append(
            [line.rjust(wide) if right else line.ljust(wide) for line in (*above, "-" * wide, *below)]
        )
    lines = [(" " * _GAP).join(parts).rstrip() for parts in zip(*drawn, strict=True)]
    if left_out:
        lines += _wrapped(f"… also: {', '.join(left_out)}").splitlines()
    return "".join(f"{line}\n" for line in lines)


def text_blocks(rows: Sequence[Mapping[str, object]]) -> str:
    """Format rows as blocks with a line for each column and nothing cut; for few rows with long values."""
    return "\n".join(_block(row) for row in rows)


def html_table(
    title: str,
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    total: int,
    remarks: Sequence[str] = (),
) -> str:
    """Format rows as an HTML table, all text escaped; ``total`` is the number of rows, those not shown included."""
    head = "".join(f"<th>{html.escape(key)}</th>" for key in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell(row.get(key)))}</td>' for key in columns)}</tr>"
        for row in rows
    )
    more = f"<p>… {total - len(rows)} more</p>" if total > len(rows) else ""
    lines = "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks)
    caption = f"<caption>{html.escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}{lines}"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _fit(headers: dict[str, list[str]], cells: dict[str, list[list[str]]], width: int) -> list[str]:
    """Fold headers and cells in place until the table fits; returns the columns that must be left out."""
    shown = list(headers)
    whole = {key: [value for (value,) in cells[key]] for key in shown}
    widths = {key: max(map(len, whole[key]), default=0) for key in shown}
    narrowest = min(_NARROWEST_CELL, width)

    def excess(widest_cell: int | None = None) -> int:
        cell_widths = [widths[key] if widest_cell is None else min(widest_cell, widths[key]) for key in shown]
        drawn = [max(wide, _width(headers[key])) for key, wide in zip(shown, cell_widths, strict=True)]
        return sum(drawn) + _GAP * (len(shown) - 1) - width

    for key in sorted(shown, key=len, reverse=True):
        if excess() > 0:
            headers[key] = _folded(key)
    if excess() > 0:  # all at once: a table in which some are folded reads badly
        for key in shown:
            if any(_WITH_INTERVAL.fullmatch(value) for value in whole[key]):
                cells[key] = [_interval_below(value) for value in whole[key]]
                widths[key] = max(len(line) for lines in cells[key] for line in lines)
    while len(shown) > 1 and excess(narrowest) > 0:
        empty = [key for key in shown if all(value == "-" for value in whole[key])]
        shown.remove((empty or shown)[-1])
    while excess() > 0:
        widest = max(shown, key=lambda key: widths[key])
        if widths[widest] <= narrowest:
            break
        widths[widest] = max(narrowest, widths[widest] - max(1, min(excess(), widths[widest] // 4)))
        cells[widest] = [_continued(value, widths[widest]) for value in whole[widest]]
    return [key for key in headers if key not in shown]


def _interval_below(text: str) -> list[str]:
    found = _WITH_INTERVAL.fullmatch(text)
    return [text] if found is None else [found[1], found[2]]


def _continued(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [text]


def _folded(header: str) -> list[str]:
    """A header on lines that break behind underscores, each as short as its longest word allows."""
    first, *more = header.replace("_", "_\n").split("\n")
    longest = max(map(len, (first, *more)))
    lines = [first]
    for word in more:
        if len(lines[-1]) + len(word) <= longest:
            lines[-1] += word
        else:
            lines.append(word)
    return lines


def _width(header: Sequence[str], cells: Sequence[Sequence[str]] = ()) -> int:
    return max((len(line) for lines in (header, *cells) for line in lines), default=0)


def cut(text: str, widest: int | None) -> str:
    """Cut a text at ``widest`` characters, ``None`` = never; an ellipsis shows that it was cut."""
    return text if widest is None or len(text) <= widest else text[: widest - 1] + "…"


def _numeric(rows: Sequence[Mapping[str, object]], key: str) -> bool:
    values = [row.get(key) for row in rows if row.get(key) is not None]
    return bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _block(row: Mapping[str, object]) -> str:
    width = max(map(len, row), default=0)
    lines = []
    for key, value in row.items():
        first, *more = _lines(value) or ["-"]
        lines += [f"{key:<{width}}  {first}", *(" " * (width + 2) + line for line in more)]
    return "".join(terminal_safe(line).rstrip() + "\n" for line in lines)


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    if isinstance(value, (list, tuple)):
        return [cell(part, None) for part in value]
    return [cell(value, None)]
