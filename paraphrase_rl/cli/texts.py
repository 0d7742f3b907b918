"""Texts of a command: arguments, files, folders, standard input; one text each, or tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from paraphrase_rl.cli.output import say
from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.data.forms import Form
    from paraphrase_rl.data.items import Item

_Function = TypeVar("_Function", bound=Callable[..., Any])


bad_rows_option = click.option(
    "--bad-rows",
    type=click.Choice(("refuse", "skip")),
    default="refuse",
    show_default=True,
    help="What to do about rows without a usable text: refuse all, or leave them out and count them.",
)


def text_options(function: _Function) -> _Function:
    """``PATH...``, ``--text``, ``--input-format``, ``--column`` and ``--bad-rows``.

    They are passed as the arguments paths, texts, input_format, column and bad_rows; the first four are what
    :func:`inputs_of` and :func:`read_items` take.
    """
    for option in (
        bad_rows_option,
        click.option("--column", metavar="NAME", help="Column of the text in a table.  [default: text]"),
        click.option(
            "--input-format",
            type=click.Choice(("text", "csv", "jsonl", "json", "parquet", "arrow")),
            help="Format of the paths and of standard input.  [default: by the file's name and content]",
        ),
        click.option("--text", "texts", multiple=True, metavar="TEXT", help="Text to use; may be repeated."),
        click.argument("paths", nargs=-1, metavar="[PATH]..."),
    ):
        function = option(function)
    return function


def inputs_of(paths: Sequence[str], texts: Sequence[str]) -> list[str | Path | IO[bytes]]:
    """Return what a verb reads: literal texts first, then the paths in order; standard input where neither is given.

    A file that is named twice is read once.

    Args:
        paths: files, folders (their ``.txt`` and ``.md`` files, with all folders inside) and ``-``.
        texts: literal texts.

    Raises:
        UsageError: a path that does not exist, or nothing given at all.
        DataError: a folder without texts.
    """
    from paraphrase_rl.data.forms import STDIN
    from paraphrase_rl.data.reading import files_at

    if not paths and not texts:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "no texts given", "give files or folders, use --text TEXT, or pipe a text to standard input"
            )
        paths = [STDIN]
    names = dict.fromkeys(name for path in paths for name in ([path] if path == STDIN else files_at(path)))
    return [*texts, *(sys.stdin.buffer if name == STDIN else Path(name) for name in names)]


def read_items(
    paths: Sequence[str], texts: Sequence[str], input_format: Form | None, column: str | None
) -> list[Item]:
    """Read what :func:`inputs_of` returns into memory. A line on stderr says as which form a table is read.

    Args:
        paths: see :func:`inputs_of`.
        texts: see :func:`inputs_of`.
        input_format: form of every file; ``None`` = found by name and content.
        column: name of the text column of a table; ``None`` = ``text``.

    Raises:
        UsageError: see :func:`inputs_of`.
        DataError: no known form, a malformed table, or one without the column.
    """
    from paraphrase_rl.data.reading import items_of

    return items_of(inputs_of(paths, texts), column, say, input_format)
