"""Texts of one file: it is read once to check them, and again each time they are iterated over."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from gzip import BadGzipFile
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.data.bad_rows import BadRow, BadRowList, unusable
from paraphrase_rl.data.forms import TEXT_COLUMN, Form, suffix
from paraphrase_rl.data.items import Item, check_column, item_of
from paraphrase_rl.data.rows import Source, open_source
from paraphrase_rl.errors import DataError

ID_COLUMN = "id"
Told: TypeAlias = Callable[[str], None]
Hashes: TypeAlias = NDArray[np.int64]


class Held(Protocol):
    """A file that holds what was read from elsewhere."""

    @property
    def path(self) -> Path: ...


class FileTexts:
    """The texts of one file: the whole file, or one text for each row of a table. Memory does not grow with the file.

    The id of a row is the value of its column ``id``, if every row has one and no two share it; else ``FILE:LINE``.

    Args:
        name: path of the file, from which ids are made.
        content: the file that holds its bytes, if they are not at ``name``.
        input_format: form of the file; ``None`` = found by name and content.
        column: name of the text column of a table; ``None`` = ``text``.
        told: called with a line that says as which form a table, or a file whose name does not say it, is read.

    Attributes:
        n: number of texts and of rows without one.
        bad: rows without a text.
        columns: other columns of its rows, in order.
        ids: hashes of the ids, sorted, each once; to find ids that several files use.
        taken: those of them that other files use; such an id gets the file's name in front.

    Raises:
        DataError: no known form, a malformed table, or one without the column.
    """

    def __init__(
        self,
        name: str,
        content: Held | None = None,
        input_format: Form | None = None,
        column: str | None = None,
        told: Told = lambda _line: None,
    ) -> None:
        self.name = name
        self.bad = BadRowList()
        self.n = 0
        self.columns: tuple[str, ...] = ()
        self.taken: Hashes = np.empty(0, dtype=np.int64)
        self._own_ids = False
        self._column = column or TEXT_COLUMN
        self._held = content  # a temporary file is removed with the object that made it
        self._source, self._unread = _opened(name, content, input_format, column)
        if self._source is not None and (self._source.form != "text" or not suffix(name)):
            told(self._source.described)
        if self._source is None or self._source.form == "text":
            self.ids = self._check_whole()
        else:
            self.ids = self._check_table(self._source)

    @property
    def is_table(self) -> bool:
        """Return whether the file has rows."""
        return self._source is not None and self._source.form != "text"

    def __iter__(self) -> Iterator[Item]:
        for item in self._items():
            if self.taken.size and item.id != self.name and holds(self.taken, hash(item.id)):
                yield replace(item, id=f"{self.name}:{item.id}")
            else:
                yield item

    def _items(self) -> Iterator[Item]:
        if self._source is None or self._source.form == "text":
            yield self._whole()
            return
        left = (self._column, ID_COLUMN) if self._own_ids else (self._column,)
        for row in self._source.rows():
            where = f"{self.name}:{row.line}"
            if row.problem:
                yield Item(id=where, problem=row.problem, hint=row.hint, where=where)
                continue
            others = {key: value for key, value in row.values.items() if key not in left}
            id = str(row.values.get(ID_COLUMN)) if self._own_ids else where
            yield item_of(id, row.values.get(self._column), where, others)

    def _whole(self) -> Item:
        if self._source is None:
            return self._unread
        try:
            return item_of(self.name, self._source.text())
        except DataError as error:
            return Item(id=self.name, problem=error.message, hint=error.hint)

    def _check_whole(self) -> Hashes:
        item = self._whole()
        self.n = 1
        if item.problem:
            self.bad.add(BadRow(self.name, item.problem, item.hint))
        return sorted_hashes([hash(item.id)])

    def _check_table(self, source: Source) -> Hashes:
        columns: dict[str, None] = {}
        own, places = array("q"), array("q")
        every_row_has_an_id = self._column != ID_COLUMN
        for row in source.rows():
            self.n += 1
            where = f"{self.name}:{row.line}"
            if row.problem:
                self.bad.add(BadRow(where, row.problem, row.hint))
                continue
            if columns.keys() != row.values.keys():
                columns.update(dict.fromkeys(row.values))
            if problem := unusable(row.values.get(self._column)):
                self.bad.add(BadRow(where, problem))
            id = row.values.get(ID_COLUMN)
            every_row_has_an_id &= id is not None and str(id) != ""
            own.append(hash(str(id)))
            places.append(hash(where))
        if not self.n:
            raise DataError(f"no texts in {self.name}: it has no rows", "give another file")
        if own:
            check_column(self.name, columns, self._column)
        ids = sorted_hashes(own)
        self._own_ids = every_row_has_an_id and ids.size == len(own)
        left = (self._column, ID_COLUMN) if self._own_ids else (self._column,)
        self.columns = tuple(name for name in columns if name not in left)
        return ids if self._own_ids else sorted_hashes(places)


def used_twice(ids: Sequence[Hashes]) -> Hashes:
    """Return, sorted, the hashes that occur in more than one array; no array may hold a hash twice."""
    if len(ids) < 2:
        return np.empty(0, dtype=np.int64)
    found, counts = np.unique(np.concatenate(ids), return_counts=True)
    return found[counts > 1]


def sorted_hashes(hashes: Iterable[int]) -> Hashes:
    """Return hashes as an array, sorted, each once."""
    held = hashes if isinstance(hashes, array) else array("q", hashes)
    return np.unique(np.frombuffer(held, dtype=np.int64)) if held else np.empty(0, dtype=np.int64)


def holds(hashes: Hashes, wanted: int) -> bool:
    """Return whether a hash is among sorted ones."""
    place = int(np.searchsorted(hashes, wanted))
    return place < hashes.size and int(hashes[place]) == wanted


def _opened(
    name: str, content: Held | None, input_format: Form | None, column: str | None
) -> tuple[Source | None, Item]:
    """The source, or the item that says why the file cannot be read."""
    try:
        held = content.path if content is not None else None
        return open_source(name, held, input_format, column), Item(id=name)
    except DataError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, BadGzipFile):
            return None, Item(id=name, problem=error.message)
        raise
