"""Output of commands: results on stdout in one of five formats, messages on stderr."""

from __future__ import annotations

import csv
import math
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paraphrase_rl.cli.streams import STDERR, silence
from paraphrase_rl.text.terminal import terminal_safe

if TYPE_CHECKING:
    from paraphrase_rl.progress import Progress

FORMATS = ("table", "wide", "json", "jsonl", "csv")
TABLES = ("table", "wide")
_Function = TypeVar("_Function", bound=Callable[..., Any])

Row = Mapping[str, object]


def format_option(function: _Function) -> _Function:
    """Option ``--format``; passed as the argument ``format_``."""
    option = click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print the result on stdout; wide: a table that may be wider than the terminal.",
    )
    return option(function)


def say(message: str = "") -> None:
    """Print a message for the user on stderr; if that is impossible, this one and all later ones are dropped."""
    try:
        click.echo(terminal_safe(message), err=True)
    except OSError:  # the reader or the terminal is gone, or the disk is full
        silence(STDERR)


def show(text: object = "", *, nl: bool = True) -> None:
    """Print a result for the user on stdout."""
    click.echo(terminal_safe(str(text)), nl=nl)


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Break a text into lines that fit the terminal, at spaces only; ``first`` and ``rest`` begin the lines."""
    return textwrap.fill(
        text,
        max(60, shutil.get_terminal_size().columns),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def show_progress(progress: Progress) -> None:
    """Print the progress of a verb as a line on stderr."""
    say(progress.message)


def this_command() -> str:
    """Return the command as it was typed, for a hint to repeat it."""
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
        rows: mappings of column names to values; a column that a row lacks is empty in this row.
        format_: one of :data:`FORMATS`. Table: floats to 4 significant digits, a missing value as ``-``, fitted to
            the terminal (80 characters where there is none). Wide: the same, as wide as it is. JSON and JSONL: NaN and
            infinities as null. CSV: a missing value as an empty field, lists as JSON.
        schema: name of the kind of result, in the JSON.
        columns: columns that the table shows, in order; the other formats have all.
        meta: fields about all rows together; in the JSON only.
    """
    from paraphrase_rl.files import dumps  # here: `prl --help` comes by this module and needs none of it
    from paraphrase_rl.tables import keys, text_table

    if format_ in TABLES:
        width = None if format_ == "wide" else shutil.get_terminal_size().columns
        show(text_table(rows, keys(rows) if columns is None else columns, width), nl=False)
        return
    if format_ == "csv":
        text = _csv(rows, keys(rows) or columns or [])
    elif format_ == "jsonl":
        text = "".join(dumps(row) + "\n" for row in rows)
    else:
        text = dumps({"schema": schema, **(meta or {}), "rows": list(rows)}) + "\n"
    click.echo(text, nl=False)


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    lines: list[str] = []
    writer = csv.writer(
        _Lines(lines), lineterminator="\r\n"
    )  # which makes it quote fields with either character
    writer.writerow(columns)
    writer.writerows([_field(row.get(key)) for key in columns] for row in rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


class _Lines:
    """File that holds each row as one string."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


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
    """Print few rows with many or long values as :func:`emit` does, but with one block per row and nothing cut."""
    if format_ not in TABLES:
        emit(rows, format_=format_, schema=schema, meta=meta)
        return
    from paraphrase_rl.tables import text_blocks

    show(text_blocks(rows), nl=False)
