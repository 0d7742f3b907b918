"""Reading of texts from Python values, data frames, files and folders; a file is one text or a table of texts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from paraphrase_rl.data.bad_rows import BadRow, BadRowList, BadRows, leave_out
from paraphrase_rl.data.file_texts import FileTexts, Told, sorted_hashes, used_twice
from paraphrase_rl.data.forms import STDIN, TEXT_COLUMN, Form
from paraphrase_rl.data.items import Item, check_column, item_of
from paraphrase_rl.errors import DataError, UsageError
from paraphrase_rl.files import expanded
from paraphrase_rl.types import Document

_IN_FOLDERS = (".txt", ".md")
_COPIED = 1 << 20
_FRAME_ROWS = 1000
_LONGEST_NAME = 256
_ACCEPTED = (
    "texts are a string, a list of strings or Documents, a pathlib.Path of a file or folder, "
    "or a data frame or datasets.Dataset with column=NAME"
)


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


class ByteStream(Protocol):
    """A file open for reading bytes, such as ``sys.stdin.buffer``."""

    def read(self, size: int = ..., /) -> bytes: ...


OneText: TypeAlias = str | Document | Path | Item | ByteStream
Texts: TypeAlias = OneText | Iterable[OneText] | DataFrame | Dataset | Array


class TextSource:
    """Texts in order, each with an id; what they were checked for before the first is given out.

    Args:
        parts: the texts, in parts of which each can be read several times; or one iterator, which is read once.

    Attributes:
        n: number of texts and of rows without one; ``None`` for an iterator.
        bad: rows without a text; none yet of an iterator.
        columns: other columns of the texts' rows, in order; none yet of an iterator.
    """

    def __init__(
        self,
        parts: Sequence[Iterable[Item]],
        n: int | None,
        bad: BadRowList,
        columns: Iterable[str] = (),
    ) -> None:
        self._parts = parts
        self.n, self.bad, self.columns = n, bad, tuple(columns)

    def __iter__(self) -> Iterator[Item]:
        for part in self._parts:
            yield from part


def open_texts(
    texts: Texts,
    column: str | None = None,
    input_format: Form | None = None,
    told: Told = lambda _line: None,
) -> TextSource:
    """Check texts, and make them a source that gives them out one by one. Files are not kept in memory.

    Ids are ``text-1`` … for strings, that of a Document, those of :class:`FileTexts` for files, the index of a data
    frame, and the row number (from 0) of a ``datasets.Dataset``.

    A single text that cannot be used (empty, not a string, with NUL characters) is an :class:`Item` with its
    problem; anything that leaves no texts at all is an error. See :func:`usable`.

    Args:
        texts: a string, a :class:`Document`, a path, a file open for bytes, an iterable of these, a data frame or a
            ``datasets.Dataset``. An iterator is read once and not checked before.
        column: name of the text column of a table; ``None`` = ``text``.
        input_format: form of every file; ``None`` = found by name and content.
        told: called with a line that says as which form a file is read.

    Raises:
        UsageError: ``texts`` is none of these, or a path does not exist.
        DataError: a folder without texts, a malformed table, or one without the column.
    """
    if isinstance(texts, (str, Document, Path, Item)) or _is_stream(texts):
        return _of_several([texts], column, input_format, told)
    if _is_frame(texts):
        return _checked([_Again(lambda: _of_frame(texts, column or TEXT_COLUMN))])
    if hasattr(texts, "column_names"):
        return _checked([_Again(lambda: _of_dataset(texts, column or TEXT_COLUMN))])
    if hasattr(texts, "tolist"):  # a column of a data frame, or an array
        texts = texts.tolist()
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise UsageError(f"cannot read texts from {type(texts).__name__}", _ACCEPTED)
    if iter(texts) is texts:
        return TextSource([_as_they_come(texts, column, input_format, told)], None, BadRowList())
    return _of_several(list(texts), column, input_format, told)


def items_of(
    texts: Texts,
    column: str | None = None,
    told: Told = lambda _line: None,
    input_format: Form | None = None,
) -> list[Item]:
    """Read every text with an id into memory, see :func:`open_texts`."""
    if isinstance(texts, Iterator):
        texts = list(texts)
    return list(open_texts(texts, column, input_format, told))


def usable(items: Sequence[Item], policy: BadRows) -> tuple[list[Item], list[str]]:
    """Return the items that have a text, and notes on the items left out.

    Raises:
        DataError: some items have no text, and the policy is to refuse; see
            :func:`paraphrase_rl.data.bad_rows.leave_out`.
    """
    bad = BadRowList(map(bad_row, (item for item in items if item.problem)))
    return [item for item in items if not item.problem], leave_out(bad, len(items), policy)


def bad_row(item: Item) -> BadRow:
    """Describe an item that has no text."""
    return BadRow(item.where or item.id, item.problem, item.hint)


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


def named_like_file(item: Item) -> bool:
    """Return whether a text outside a table is the name of an existing file: most likely the file was meant."""
    text = item.text
    short = len(text) < _LONGEST_NAME and "\n" not in text
    return short and not item.where and text != item.id and _is_file(text)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


class _Again:
    """Items that a function gives each time they are asked for."""

    def __init__(self, items: Callable[[], Iterator[Item]]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        return self._items()


class _Stream:
    """Content of a stream of bytes, in a temporary file that is removed with this object."""

    def __init__(self, stream: ByteStream) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="prl-")  # noqa: SIM115 - it lives as long as the texts
        while part := stream.read(_COPIED):
            if not isinstance(part, bytes):
                raise UsageError("cannot read texts from a file open as text", "open it in the mode 'rb'")
            self._file.write(part)
        self._file.flush()
        self.path = Path(self._file.name)
        self.name = str(getattr(stream, "name", STDIN))
        if not isinstance(getattr(stream, "name", None), str) or self.name == "<stdin>":
            self.name = STDIN


def _of_several(
    texts: Sequence[Any], column: str | None, input_format: Form | None, told: Told
) -> TextSource:
    parts: list[Sequence[Item] | FileTexts] = []
    for number, one in enumerate(texts, start=1):
        if isinstance(one, Path) or _is_stream(one):
            parts += _files(one, column, input_format, told)
        elif parts and isinstance(parts[-1], list):
            parts[-1].append(_given(one, number))
        else:
            parts.append([_given(one, number)])
    files = [part for part in parts if isinstance(part, FileTexts)]
    given = [item for part in parts if not isinstance(part, FileTexts) for item in part]
    if column is not None and not any(file.is_table for file in files) and not any(i.where for i in given):
        raise UsageError(
            f"column {column!r} is given, and no table that could have it",
            "leave out the column, or give a table",
        )
    taken = used_twice([file.ids for file in files] + [sorted_hashes(hash(item.id) for item in given)])
    for file in files:
        file.taken = taken
    return _checked(parts)


def _files(
    one: Path | ByteStream, column: str | None, input_format: Form | None, told: Told
) -> list[FileTexts]:
    if isinstance(one, Path):
        return [FileTexts(name, None, input_format, column, told) for name in files_at(one)]
    held = _Stream(one)
    return [FileTexts(held.name, held, input_format, column, told)]


def _given(one: Any, number: int) -> Item:
    if isinstance(one, Item):
        return one
    if isinstance(one, Document):
        return item_of(str(one.id), one.text)
    return item_of(f"text-{number}", one)


def _as_they_come(
    texts: Iterable[Any], column: str | None, input_format: Form | None, told: Told
) -> Iterator[Item]:
    for number, one in enumerate(texts, start=1):
        if isinstance(one, Path) or _is_stream(one):
            for file in _files(one, column, input_format, told):
                yield from file
        else:
            yield _given(one, number)


def _checked(parts: Sequence[Iterable[Item]]) -> TextSource:
    n, bad = 0, BadRowList()
    columns: dict[str, None] = {}
    for part in parts:
        if isinstance(part, FileTexts):
            n += part.n
            bad.extend(part.bad)
            columns.update(dict.fromkeys(part.columns))
            continue
        for item in part:
            n += 1
            if item.problem:
                bad.add(bad_row(item))
            if item.columns.keys() - columns.keys():
                columns.update(dict.fromkeys(map(str, item.columns)))
    return TextSource(parts, n, bad, columns)


def _is_stream(texts: Any) -> bool:
    return hasattr(texts, "read") and not isinstance(texts, Path)


def _is_frame(texts: Any) -> bool:
    return hasattr(texts, "columns") and hasattr(texts, "index") and hasattr(texts, "to_dict")


def _of_frame(frame: Any, column: str) -> Iterator[Item]:
    check_column("the data frame", frame.columns, column)
    cells = frame[column]
    if getattr(cells, "ndim", 1) != 1:
        raise DataError(f"the data frame has several columns {column!r}", "give each column one name")
    others = frame.drop(columns=column)
    for start in range(0, len(frame), _FRAME_ROWS):
        rows = slice(start, start + _FRAME_ROWS)
        for index, value, rest in zip(
            frame.index[rows], cells.iloc[rows], others.iloc[rows].to_dict("records"), strict=True
        ):
            yield item_of(str(index), value, columns={str(key): cell for key, cell in rest.items()})


def _of_dataset(table: Any, column: str) -> Iterator[Item]:
    names = table.column_names
    if isinstance(names, Mapping):
        raise UsageError(
            f"the data set has several splits: {', '.join(map(str, names))}",
            "choose one split, such as data['test']",
        )
    if names is not None:
        check_column("the data set", names, column)
    rows: Iterator[Mapping[str, object]] = iter(table)
    for number, row in enumerate(rows):
        columns = {key: value for key, value in row.items() if key != column}
        yield item_of(str(number), row.get(column), columns=columns)
