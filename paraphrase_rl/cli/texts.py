"""Texts for a command: literal ones, files, folders, standard input; plain, JSONL or CSV."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from paraphrase_rl.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

INPUT_FORMATS = ("text", "jsonl", "csv")
STDIN = "-"
_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_IN_FOLDERS = (".txt", ".md")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def text_options(function: _Function) -> _Function:
    """``PATH...``, ``--text``, ``--input-format`` and ``--column``: what :func:`read_items` takes.

    They arrive as paths, texts, input_format, column.
    """
    for option in (
        click.option(
            "--column", default="text", show_default=True, help="Of JSONL and CSV: where the text is."
        ),
        click.option(
            "--input-format",
            type=click.Choice(INPUT_FORMATS),
            help="Of the paths and of standard input.  [default: by the file's name, else text]",
        ),
        click.option(
            "--text", "texts", multiple=True, metavar="TEXT", help="A text itself; may be repeated."
        ),
        click.argument("paths", nargs=-1, metavar="[PATH]..."),
    ):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text with what it is called, or why there is none (``kind`` and ``problem``)."""

    id: str
    text: str = ""
    kind: str = ""
    problem: str = ""


def read_items(
    paths: Sequence[str], texts: Sequence[str], input_format: str | None, column: str
) -> list[Item]:
    """Literal texts first, then the paths in order; standard input where neither is given.

    One text that cannot be read is an :class:`Item` with its problem; a table that cannot be read is an error.

    Args:
        paths: files, folders (their ``.txt`` and ``.md`` files, with all folders inside) and ``-``.
        texts: literal texts.
        input_format: of every path; ``None`` = by the end of the file's name, else text.
        column: of JSONL and CSV, where the text is.

    Raises:
        UsageError: a path that does not exist, or nothing given at all.
        DataError: a folder without texts, a malformed table, or one without the column.
    """
    if not paths and not texts:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("no texts given", "name files or folders, use --text TEXT, or pipe a text in")
        paths = [STDIN]
    items = [_item(f"text-{i}", text) for i, text in enumerate(texts, start=1)]
    for path in paths:
        for name in _expanded(path):
            items += _read(name, input_format or _BY_SUFFIX.get(Path(name).suffix.lower(), "text"), column)
    return items


def _expanded(path: str) -> list[str]:
    if path == STDIN:
        return [path]
    place = Path(path)
    try:
        exists, is_folder = place.exists(), place.is_dir()
    except (OSError, ValueError):  # a name too long, or with a NUL: a text, not a path
        exists, is_folder = False, False
    if not exists:
        shown = path if len(path) <= 60 else path[:59] + "…"
        raise UsageError(f"no file or folder at {shown!r}", "for a text itself use --text TEXT")
    if not is_folder:
        return [path]
    found = sorted(str(f) for f in place.rglob("*") if f.suffix.lower() in _IN_FOLDERS and f.is_file())
    if not found:
        raise DataError(
            f"no texts in {path}: it has no {' or '.join(_IN_FOLDERS)} files", "name the files themselves"
        )
    return found


def _read(name: str, input_format: str, column: str) -> list[Item]:
    from paraphrase_rl.data.rows import csv_rows, decoded, json_rows

    try:
        content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        return [Item(id=name, kind="unreadable", problem=f"cannot be read: {error.strerror or error}")]
    if input_format == "text":
        if b"\0" in content:
            return [Item(id=name, kind="not-text", problem="has NUL bytes: a binary file, or UTF-16")]
        try:
            return [_item(name, decoded(content, name))]
        except DataError as error:
            return [Item(id=name, kind="not-text", problem=error.message)]
    read = csv_rows if input_format == "csv" else json_rows
    rows = list(read(decoded(content, name), name))
    _check_column(name, rows, column)
    return [_cell(f"{name}:{line}", row.get(column)) for line, row in rows]


def _check_column(name: str, rows: Sequence[tuple[int, Mapping[str, object]]], column: str) -> None:
    from paraphrase_rl.names import suggestion

    if not rows:
        raise DataError(f"no texts in {name}: it has no rows", "name another file")
    columns = dict.fromkeys(key for _, row in rows for key in row)
    if column not in columns:
        raise DataError(
            f"{name} has no column {column!r}", f"name one with --column; {suggestion(column, columns)}"
        )


def _cell(id: str, value: object) -> Item:
    if isinstance(value, str):
        return _item(id, value)
    found = "missing" if value is None else f"{value!r:.60}, not a string"
    return Item(id=id, kind="not-text", problem=f"the text is {found}")


def _item(id: str, text: str) -> Item:
    if not text.strip():
        return Item(id=id, kind="empty", problem="the text is empty")
    if "\0" in text:
        return Item(id=id, kind="not-text", problem="the text has NUL characters")
    return Item(id=id, text=text)
