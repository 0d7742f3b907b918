"""Payload on stdout in one of four formats; messages on stderr."""

from __future__ import annotations

import csv
import io
import math
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

FORMATS = ("table", "json", "jsonl", "csv")
_WIDEST = 80
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_Function = TypeVar("_Function", bound=Callable[..., Any])

Row = Mapping[str, object]


def format_option(function: _Function) -> _Function:
    """``--format``; arrives as the argument ``format_``."""
    option = click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print the result on stdout.",
    )
    return option(function)


def say(message: str = "") -> None:
    """A message for the person, on stderr."""
    click.echo(message, err=True)


def this_command() -> str:
    """The command as it was typed, for a hint to repeat it."""
    return shlex.join(["prl", *sys.argv[1:]])


def emit(
    rows: Sequence[Row],
    *,
    format_: str,
    schema: str,
    columns: Sequence[str] | None = None,
    meta: Row | None = None,
) -> None:
    """Print a command's result on stdout.

    Args:
        rows: one mapping a row; a key that a row lacks is empty there.
        format_: one of :data:`FORMATS`. Table: floats to 4 significant digits, nothing as ``-``, long cells
            cut. JSON and JSONL: NaN and infinities as null. CSV: nothing as an empty field, lists as JSON.
        schema: name of the payload, stands in the JSON.
        columns: which keys the table shows, in order; the other formats carry all.
        meta: what holds for all rows; stands in the JSON beside them, not in the other formats.
    """
    from paraphrase_rl.files import dumps  # here: `prl --help` comes by this module and needs none of it

    if format_ == "table":
        text = _table(rows, _keys(rows) if columns is None else columns)
    elif format_ == "csv":
        text = _csv(rows, _keys(rows) or columns or [])
    elif format_ == "jsonl":
        text = "".join(dumps(row) + "\n" for row in rows)
    else:
        text = dumps({"schema": schema, **(meta or {}), "rows": list(rows)}) + "\n"
    click.echo(text, nl=False)


def _keys(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    import tabulate

    def numeric(key: str) -> bool:
        values = [row.get(key) for row in rows if row.get(key) is not None]
        return bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)

    return (
        tabulate.tabulate(
            [[cell(row.get(key)) for key in columns] for row in rows],
            headers=list(columns),
            tablefmt="simple",
            disable_numparse=True,
            colalign=["right" if numeric(key) else "left" for key in columns] if rows else None,
        )
        + "\n"
    )


def cell(value: object, widest: int | None = _WIDEST) -> str:
    """A value as a person reads it in a table: on one line, no control characters, cut at ``widest``."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        value = ", ".join(cell(part, None) for part in value) or "-"
    text = " ".join(_CONTROL.sub(" ", str(value)).split())
    return text if widest is None or len(text) <= widest else text[: widest - 1] + "…"


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_field(row.get(key)) for key in columns] for row in rows)
    return stream.getvalue()


def _field(value: object) -> object:
    from paraphrase_rl.files import dumps

    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, (list, tuple, Mapping)):
        return dumps(value)
    return value


def emit_records(rows: Sequence[Row], *, format_: str, schema: str, meta: Row | None = None) -> None:
    """Like :func:`emit`, for few rows of many or long values: the table is a block a row, nothing cut."""
    if format_ != "table":
        emit(rows, format_=format_, schema=schema, meta=meta)
        return
    click.echo("\n".join(_block(row) for row in rows), nl=False)


def _block(row: Row) -> str:
    width = max(map(len, row), default=0)
    lines = []
    for key, value in row.items():
        first, *more = _lines(value) or ["-"]
        lines += [f"{key:<{width}}  {first}", *(" " * (width + 2) + line for line in more)]
    return "".join(_CONTROL.sub(" ", line).rstrip() + "\n" for line in lines)


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    if isinstance(value, (list, tuple)):
        return [cell(part, None) for part in value]
    return [cell(value, None)]
