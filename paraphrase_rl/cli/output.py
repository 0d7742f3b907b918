"""Output of commands: results on stdout in one of four formats, messages on stderr."""

from __future__ import annotations

import itertools
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paraphrase_rl.cli.streams import STDERR, silence
from paraphrase_rl.text.terminal import terminal_safe

if TYPE_CHECKING:
    from paraphrase_rl.progress import Progress

_TABLE_ROWS = 5000
FORMATS = ("table", "json", "jsonl", "csv")
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
        help="How to print the result on stdout.",
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


def show_coloured(pieces: Iterable[tuple[str, str | None]]) -> None:
    """Print stretches of one text, each with the colour of its characters, or none."""
    safe = ((terminal_safe(text), colour) for text, colour in pieces)
    click.echo("".join(click.style(text, fg=colour) if colour else text for text, colour in safe))


def terminal_width() -> int:
    """Return the width that lines of prose are broken at, in characters; at least 60."""
    return max(60, shutil.get_terminal_size().columns)


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Break a text into lines that fit the terminal, at spaces only; ``first`` and ``rest`` begin the lines."""
    return textwrap.fill(
        text,
        terminal_width(),
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
    """Print a command's result on stdout, see :func:`emit_blocks`."""
    from paraphrase_rl.tables import keys

    found = keys(rows) if rows or columns is None else columns
    emit_blocks([rows], format_=format_, schema=schema, fields=found, columns=columns, meta=meta)


def emit_blocks(
    blocks: Iterable[Sequence[Row]],
    *,
    format_: str,
    schema: str,
    fields: Sequence[str],
    columns: Sequence[str] | None = None,
    meta: Row | None = None,
) -> None:
    """Print a command's result on stdout block by block, as the rows come; a table as soon as it has enough rows.

    Args:
        blocks: rows, mappings of column names to values; a column that a row lacks is empty in this row.
        format_: one of :data:`FORMATS`. Table: floats to 4 significant digits, a missing value as ``-``, fitted to
            the terminal (80 characters where there is none). JSON and JSONL: NaN and infinities as null. CSV: a
            missing value as an empty field, lists as JSON.
        schema: name of the kind of result, in the JSON.
        fields: columns of all rows, in order.
        columns: columns that the table shows, in order; ``None`` = all.
        meta: fields about all rows together; in the JSON only.
    """
    from paraphrase_rl.formats import gathered, json_parts, row_format  # here: `prl --help` needs none of it
    from paraphrase_rl.tables import text_table

    rest = iter(blocks)
    blocks = itertools.chain([next(rest, [])], rest)  # nothing is printed if the first block is an error
    if format_ == "table":
        width = shutil.get_terminal_size().columns
        for held in gathered(blocks, _TABLE_ROWS):
            show(text_table(held, fields if columns is None else columns, width), nl=False)
    elif format_ == "json":
        for part in json_parts({"schema": schema, **(meta or {})}, blocks):
            click.echo(part, nl=False)
    else:
        form = row_format("csv" if format_ == "csv" else "jsonl", fields)
        click.echo(form.header(), nl=False)
        for block in blocks:
            click.echo(form.lines(block), nl=False)


def emit_records(rows: Sequence[Row], *, format_: str, schema: str, meta: Row | None = None) -> None:
    """Print few rows with many or long values as :func:`emit` does, but with one block per row and nothing cut."""
    if format_ != "table":
        emit(rows, format_=format_, schema=schema, meta=meta)
        return
    from paraphrase_rl.tables import text_blocks

    show(text_blocks(rows), nl=False)
