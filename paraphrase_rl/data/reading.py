"""Reading of texts from Python values, data frames, files and folders; a file is one text or a table of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from paraphrase_rl.data.bad_rows import BadRow, BadRows, leave_out, unusable
from paraphrase_rl.data.forms import TEXT_COLUMN, Form, suffix
from paraphrase_rl.data.rows import Source, open_source
from paraphrase_rl.errors import DataError, UsageError
from paraphrase_rl.files import expanded
from paraphrase_rl.names import suggestion
from paraphrase_rl.text.canonical import canonical
from paraphrase_rl.types import Document

ID_COLUMN = "id"
_IN_FOLDERS = (".txt", ".md")
_ACCEPTED = (
    "texts are a string, a list of strings or Documents, a pathlib.Path of a file or folder, "
    "or a data frame or datasets.Dataset with column=NAME"
)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text with its id, or the reason why there is no text (``problem``).

    Attributes:
        id: id of the text in results.
        text: the text in canonical form, see :mod:`paraphrase_rl.text.canonical`.
        problem: why there is no text.
        hint: what to do about it.
        where: file and line that the text comes from; an empty string if that is the ``id``.
        columns: all other columns of the text's row.
    """

    id: str
    text: str = ""
    problem: str = ""
    hint: str = ""
    where: str = ""
    columns: Mapping[str, object] = field(default_factory=dict)


class DataFrame(Protocol):
    """A ``pandas.DataFrame``, recognised by its methods, so that pandas need not be installed."""

    @property
    def columns(self) -> Any: ...
    @property
    def index(self) -> Any: ...
    def to_dict(self, *args: Any, **kwargs: Any) -> Any: ...


class Dataset(Protocol):
    """A ``datasets.Dataset``, ``IterableDataset`` or ``DatasetDict``, recognised by its methods."""

    @property
    def column_names(self) -> Any: ...


class Array(Protocol):
    """A column of a data frame, or an array of strings."""

    def tolist(self) -> Any: ...


Told: TypeAlias = Callable[[str], None]
OneText: TypeAlias = str | Document | Path | Item
Texts: TypeAlias = OneText | Iterable[OneText] | DataFrame | Dataset | Array


def items_of(texts: Texts, column: str | None = None, told: Told = lambda _line: None) -> list[Item]:
    """Read every text with an id.

    Ids are ``text-1`` … for strings, that of a Document, those of :func:`read_file` for files, the index of a data
    frame, and the row number (from 0) of a ``datasets.Dataset``.

    A single text that cannot be used (empty, not a string, with NUL characters) is an :class:`Item` with its
    problem; anything that leaves no texts at all is an error. See :func:`usable`.

    Args:
        texts: a string, a :class:`Document`, a path, an iterable of these, a data frame or a ``datasets.Dataset``.
        column: name of the text column of a table; ``None`` = ``text``.
        told: called with a line that says as which form a file is read.

    Raises:
        UsageError: ``texts`` is none of these, or a path does not exist.
        DataError: a folder without texts, a malformed table, or one without the column.
    """
    if isinstance(texts, (str, Document, Path, Item)):
        return _of_several([texts], column, told)
    if _is_frame(texts):
        return _of_frame(texts, column or TEXT_COLUMN)
    if hasattr(texts, "column_names"):
        return _of_dataset(texts, column or TEXT_COLUMN)
    if hasattr(texts, "tolist"):  # a column of a data frame, or an array
        texts = texts.tolist()
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise UsageError(f"cannot read texts from {type(texts).__name__}", _ACCEPTED)
    return _of_several(texts, column, told)


def usable(items: Sequence[Item], policy: BadRows) -> tuple[list[Item], list[str]]:
    """Return the items that have a text, and notes on the items left out.

    Raises:
        DataError: some items have no text, and the policy is to refuse; see
            :func:`paraphrase_rl.data.bad_rows.leave_out`.
    """
    bad = [BadRow(item.where or item.id, item.problem, item.hint) for item in items if item.problem]
    return [item for item in items if not item.problem], leave_out(bad, len(items), policy)


def read_file(
    name: str,
    content: bytes | None = None,
    input_format: Form | None = None,
    column: str | None = None,
    told: Told = lambda _line: None,
) -> list[Item]:
    """Read the texts of one file: the whole file, or one text for each row of a table.

    The id of a row is the value of its column ``id``, if there is one and no two rows share an id; else ``FILE:LINE``.

    Args:
        name: path of the file, from which ids are made.
        content: bytes of the file, if they were read already.
        input_format: form of the file; ``None`` = found by name and content.
        column: name of the text column of a table; ``None`` = ``text``.
        told: called with a line that says as which form a table, or a file whose name does not say it, is read.

    Raises:
        DataError: no known form, a malformed table, or one without the column.
    """
    try:
        source = open_source(name, content, input_format, column)
    except DataError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, BadGzipFile):
            return [Item(id=name, problem=error.message)]
        raise
    if source.form != "text" or not suffix(name):
        told(source.described)
    if source.form == "text":
        try:
            return [_cell(name, source.text())]
        except DataError as error:
            return [Item(id=name, problem=error.message, hint=error.hint)]
    return _of_table(source, column or TEXT_COLUMN)


def _of_table(source: Source, column: str) -> list[Item]:
    rows = list(source.rows())
    if not rows:
        raise DataError(f"no texts in {source.name}: it has no rows", "give another file")
    readable = [row for row in rows if not row.problem]
    if readable:
        _check_column(source.name, dict.fromkeys(key for row in readable for key in row.values), column)
    ids = ["" if (value := row.values.get(ID_COLUMN)) is None else str(value) for row in readable]
    own = column != ID_COLUMN and all(ids) and len(set(ids)) == len(ids)
    items = []
    for row in rows:
        where = f"{source.name}:{row.line}"
        if row.problem:
            items.append(Item(id=where, problem=row.problem, hint=row.hint, where=where))
            continue
        left = (column, ID_COLUMN) if own else (column,)
        others = {key: value for key, value in row.values.items() if key not in left}
        cell = _cell(str(row.values[ID_COLUMN]) if own else where, row.values.get(column))
        items.append(replace(cell, where=where, columns=others))
    return items


def together(groups: Sequence[tuple[str, Sequence[Item]]], column: str | None) -> list[Item]:
    """Join the items of several files, in order; an id that two files use gets the file's name in front.

    Raises:
        UsageError: a column was asked for, and none of the files is a table.
    """
    if column is not None and not any(item.where for _, items in groups for item in items):
        raise UsageError(
            f"column {column!r} is given, and no table that could have it",
            "leave out the column, or give a table",
        )
    used = Counter(id for _, items in groups for id in {item.id for item in items})
    return [
        replace(item, id=f"{name}:{item.id}") if used[item.id] > 1 and item.id != name else item
        for name, items in groups
        for item in items
    ]


def files_at(path: str | Path) -> list[str]:
    """List the file itself, or the ``.txt`` and ``.md`` files of a folder and the folders inside it, sorted.

    Raises:
        UsageError: there is no such file or folder.
        DataError: a folder without such files.
    """
    place = expanded(path)
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
        return [str(place)]
    found = sorted(str(f) for f in place.rglob("*") if f.suffix.lower() in _IN_FOLDERS and f.is_file())
    if not found:
        raise DataError(
            f"no texts in {path}: it has no {' or '.join(_IN_FOLDERS)} files", "give the files themselves"
        )
    return found


def named_like_files(items: Sequence[Item]) -> list[str]:
    """Find texts that are the name of an existing file: most likely the caller meant the file."""
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


def _of_several(texts: Iterable[Any], column: str | None, told: Told) -> list[Item]:
    groups: list[tuple[str, list[Item]]] = []
    for number, one in enumerate(texts, start=1):
        if isinstance(one, Item):
            groups.append((one.id, [one]))
        elif isinstance(one, Document):
            groups.append((str(one.id), [_cell(str(one.id), one.text)]))
        elif isinstance(one, Path):
            groups += [(name, read_file(name, column=column, told=told)) for name in files_at(one)]
        else:
            groups.append((f"text-{number}", [_cell(f"text-{number}", one)]))
    return together(groups, column)


def _is_frame(texts: Any) -> bool:
    return hasattr(texts, "columns") and hasattr(texts, "index") and hasattr(texts, "to_dict")


def _of_frame(frame: Any, column: str) -> list[Item]:
    _check_column("the data frame", frame.columns, column)
    cells = frame[column]
    if getattr(cells, "ndim", 1) != 1:
        raise DataError(f"the data frame has several columns {column!r}", "give each column one name")
    others = frame.drop(columns=column).to_dict("records")
    return [
        replace(_cell(str(index), value), columns={str(key): cell for key, cell in rest.items()})
        for index, value, rest in zip(frame.index, cells, others, strict=True)
    ]


def _of_dataset(table: Any, column: str) -> list[Item]:
    names = table.column_names
    if isinstance(names, Mapping):
        raise UsageError(
            f"the data set has several splits: {', '.join(map(str, names))}",
            "choose one split, such as data['test']",
        )
    rows: Iterator[Mapping[str, object]] = iter(table)
    if names is not None:
        _check_column("the data set", names, column)
    return [
        replace(_cell(str(number), row.get(column)), columns={k: v for k, v in row.items() if k != column})
        for number, row in enumerate(rows)
    ]


def _check_column(where: str, columns: Iterable[object], column: str) -> None:
    known = [str(name) for name in columns]
    if column not in known:
        raise DataError(
            f"{where} has no column {column!r}", f"give the column of the texts; {suggestion(column, known)}"
        )


def _cell(id: str, value: object) -> Item:
    problem = unusable(value)
    return Item(id=id, problem=problem) if problem else Item(id=id, text=canonical(str(value)))
