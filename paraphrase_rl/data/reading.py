"""Texts from wherever they come: Python values, data frames, files and folders; plain, JSONL or CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from paraphrase_rl.errors import DataError, UsageError
from paraphrase_rl.names import suggestion
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.types import Document

InputFormat = Literal["text", "jsonl", "csv"]
INPUT_FORMATS: tuple[InputFormat, ...] = ("text", "jsonl", "csv")
TEXT_COLUMN = "text"
_BY_SUFFIX: Mapping[str, InputFormat] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_IN_FOLDERS = (".txt", ".md")
_ACCEPTED = (
    "texts are a string, a list of strings or Documents, a pathlib.Path of a file or folder, "
    "or a data frame or datasets.Dataset with column=NAME"
)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text with what it is called, or why there is none (``kind`` and ``problem``)."""

    id: str
    text: str = ""
    kind: str = ""
    problem: str = ""

    @property
    def failure(self) -> str | None:
        """``kind: problem``; ``None`` where there is a text."""
        return f"{self.kind}: {self.problem}" if self.kind else None


class DataFrame(Protocol):
    """A ``pandas.DataFrame``, known by what is asked of it: pandas need not be installed."""

    @property
    def columns(self) -> Any: ...
    @property
    def index(self) -> Any: ...
    def to_dict(self, *args: Any, **kwargs: Any) -> Any: ...


class Dataset(Protocol):
    """A ``datasets.Dataset``, ``IterableDataset`` or ``DatasetDict``, known by what is asked of it."""

    @property
    def column_names(self) -> Any: ...


class Array(Protocol):
    """A column of a data frame, or an array of strings."""

    def tolist(self) -> Any: ...


OneText: TypeAlias = str | Document | Path | Item
Texts: TypeAlias = OneText | Iterable[OneText] | DataFrame | Dataset | Array


def items_of(texts: Texts, column: str = TEXT_COLUMN) -> list[Item]:
    """Every text with an id: ``text-1`` … for strings, that of a Document, ``FILE`` or ``FILE:LINE`` of a file,
    the index of a data frame, the row number (from 0) of a data set.

    A single text that cannot be used (empty, not a string, with NUL characters) is an :class:`Item` with its
    problem; anything that leaves no texts at all is an error.

    Args:
        texts: a string, a :class:`Document`, a path, an iterable of these, a data frame or a ``datasets.Dataset``.
        column: where the text is in a data frame, a data set, a JSONL or CSV file.

    Raises:
        UsageError: something else, or a path that does not exist.
        DataError: a folder without texts, a malformed table, or one without the column.
    """
    if isinstance(texts, (str, Document, Path, Item)):
        return _of_several([texts], column)
    if _is_frame(texts):
        return _of_frame(texts, column)
    if hasattr(texts, "column_names"):
        return _of_dataset(texts, column)
    if hasattr(texts, "tolist"):  # a column of a data frame, or an array
        texts = texts.tolist()
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise UsageError(f"cannot read texts from {type(texts).__name__}", _ACCEPTED)
    return _of_several(texts, column)


def read_file(
    name: str,
    content: bytes | None = None,
    input_format: InputFormat | None = None,
    column: str = TEXT_COLUMN,
) -> list[Item]:
    """The texts of one file: the whole of it, or one a row.

    Args:
        name: its path, and what its texts are called.
        content: its bytes, where they were read already.
        input_format: ``None`` = by the end of the name, else text.
        column: of JSONL and CSV, where the text is.

    Raises:
        DataError: a malformed table, or one without the column.
    """
    from paraphrase_rl.data.rows import csv_rows, decoded, json_rows

    if content is None:
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            return [Item(id=name, kind="unreadable", problem=f"cannot be read: {error.strerror or error}")]
    input_format = input_format or _BY_SUFFIX.get(Path(name).suffix.lower(), "text")
    if input_format == "text":
        if b"\0" in content:
            return [Item(id=name, kind="not-text", problem="has NUL bytes: a binary file, or UTF-16")]
        try:
            return [_item(name, decoded(content, name))]
        except DataError as error:
            return [Item(id=name, kind="not-text", problem=error.message)]
    read = csv_rows if input_format == "csv" else json_rows
    rows = list(read(decoded(content, name), name))
    if not rows:
        raise DataError(f"no texts in {name}: it has no rows", "give another file")
    _check_column(name, dict.fromkeys(key for _, row in rows for key in row), column)
    return [_cell(f"{name}:{line}", row.get(column)) for line, row in rows]


def files_at(path: str | Path) -> list[str]:
    """The file itself, or the ``.txt`` and ``.md`` files of a folder, with all folders inside, sorted.

    Raises:
        UsageError: there is no such file or folder.
        DataError: a folder without such files.
    """
    place = Path(path)
    try:
        exists, is_folder = place.exists(), place.is_dir()
    except (OSError, ValueError):  # a name too long, or with a NUL: a text, not a path
        exists, is_folder = False, False
    if not exists:
        shown = str(path) if len(str(path)) <= 60 else str(path)[:59] + "…"
        raise UsageError(
            f"no file or folder at {shown!r}",
            "check the path; for a text itself use --text TEXT (in Python: a str)",
        )
    if not is_folder:
        return [str(path)]
    found = sorted(str(f) for f in place.rglob("*") if f.suffix.lower() in _IN_FOLDERS and f.is_file())
    if not found:
        raise DataError(
            f"no texts in {path}: it has no {' or '.join(_IN_FOLDERS)} files", "give the files themselves"
        )
    return found


def named_like_files(items: Sequence[Item]) -> list[str]:
    """Texts given as such that are the name of a file here: most likely a path was meant."""
    return [
        item.text
        for item in items
        if item.text != item.id and len(item.text) < 256 and "\n" not in item.text and _is_file(item.text)
    ]


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _of_several(texts: Iterable[Any], column: str) -> list[Item]:
    items: list[Item] = []
    for number, one in enumerate(texts, start=1):
        if isinstance(one, Item):
            items.append(one)
        elif isinstance(one, Document):
            items.append(_cell(one.id, one.text))
        elif isinstance(one, Path):
            for name in files_at(one):
                items += read_file(name, column=column)
        else:
            items.append(_cell(f"text-{number}", one))
    return items


def _is_frame(texts: Any) -> bool:
    return hasattr(texts, "columns") and hasattr(texts, "index") and hasattr(texts, "to_dict")


def _of_frame(frame: Any, column: str) -> list[Item]:
    _check_column("the data frame", frame.columns, column)
    cells = frame[column]
    if getattr(cells, "ndim", 1) != 1:
        raise DataError(f"the data frame has several columns {column!r}", "give each column one name")
    return [_cell(str(index), value) for index, value in zip(frame.index, cells, strict=True)]


def _of_dataset(table: Any, column: str) -> list[Item]:
    names = table.column_names
    if isinstance(names, Mapping):
        raise UsageError(
            f"the data set has several splits: {', '.join(map(str, names))}",
            "choose one, such as data['test']",
        )
    rows: Iterator[Mapping[str, object]] = iter(table)
    if names is not None:
        _check_column("the data set", names, column)
    return [_cell(str(number), row.get(column)) for number, row in enumerate(rows)]


def _check_column(where: str, columns: Iterable[object], column: str) -> None:
    known = [str(name) for name in columns]
    if column not in known:
        raise DataError(
            f"{where} has no column {column!r}", f"give the column of the texts; {suggestion(column, known)}"
        )


def _cell(id: str, value: object) -> Item:
    if isinstance(value, str):
        return _item(id, value)
    found = "missing" if _is_missing(value) else f"{value!r:.60}, not a string"
    return Item(id=id, kind="not-text", problem=f"the text is {found}")


def _is_missing(value: object) -> bool:
    """Tell whether a value stands for a missing text: None, NaN, pandas.NA."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or repr(value) in ("<NA>", "NaT")


def _item(id: str, text: str) -> Item:
    text = canonical(text)
    if not text:
        return Item(id=id, kind="empty", problem="the text is empty")
    if "\0" in text:
        return Item(id=id, kind="not-text", problem="the text has NUL characters")
    return Item(id=id, text=text)
