"""Texts of a command: arguments, files, folders, standard input; plain, JSONL or CSV."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paraphrase_rl.errors import UsageError

if TYPE_CHECKING:
    from paraphrase_rl.data.reading import InputFormat, Item

STDIN = "-"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def text_options(function: _Function) -> _Function:
    """``PATH...``, ``--text``, ``--input-format`` and ``--column``: what :func:`read_items` takes.

    They arrive as paths, texts, input_format, column.
    """
    for option in (
        click.option(
            "--column", default="text", show_default=True, help="Column of the text in JSONL and CSV."
        ),
        click.option(
            "--input-format",
            type=click.Choice(("text", "jsonl", "csv")),
            help="Format of the paths and of standard input.  [default: by the file's name, else text]",
        ),
        click.option("--text", "texts", multiple=True, metavar="TEXT", help="Text to use; may be repeated."),
        click.argument("paths", nargs=-1, metavar="[PATH]..."),
    ):
        function = option(function)
    return function


def read_items(
    paths: Sequence[str], texts: Sequence[str], input_format: InputFormat | None, column: str
) -> list[Item]:
    """Read literal texts first, then the paths in order; standard input where neither is given.

    Args:
        paths: files, folders (their ``.txt`` and ``.md`` files, with all folders inside) and ``-``.
        texts: literal texts.
        input_format: of every path; ``None`` = by the end of the file's name, else text.
        column: of JSONL and CSV, where the text is.

    Raises:
        UsageError: a path that does not exist, or nothing given at all.
        DataError: a folder without texts, a malformed table, or one without the column.
    """
    from paraphrase_rl.data.reading import files_at, items_of, read_file

    if not paths and not texts:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "no texts given", "give files or folders, use --text TEXT, or pipe a text to standard input"
            )
        paths = [STDIN]
    items = items_of(texts)
    for path in paths:
        if path == STDIN:
            items += read_file(STDIN, sys.stdin.buffer.read(), input_format, column)
            continue
        for name in files_at(path):
            items += read_file(name, None, input_format, column)
    return items
