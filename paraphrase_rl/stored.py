"""Documents whose texts lie on disk: a sequence of any length that takes little memory."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.errors import DataError
from paraphrase_rl.types import Document, Label, Split

Positions = NDArray[np.int64]
_COLUMNS = "id, text, label, population, domain, pair, split"
_CACHE_KIB = 32_000
_AT_ONCE = 100
"""Number of documents read in one query; a document may be a book."""


class _File:
    """The temporary file, closed with the last sequence that holds it."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self.connection.close)
        self.connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        columns = ", ".join(f"{name} BLOB" for name in _COLUMNS.split(", "))
        self.connection.execute(
            f"CREATE TABLE documents (position INTEGER PRIMARY KEY, line INTEGER, {columns})"
        )
        self.connection.execute("CREATE INDEX by_id ON documents (id)")


class StoredDocuments(Sequence[Document]):
    """Documents in a temporary SQLite file, which SQLite removes with the last object that uses it.

    The file has no name, and lies in memory until it outgrows SQLite's cache. Slices and :meth:`where` are views of it.

    Raises:
        DataError: the file cannot be written, such as on a full disk.
    """

    def __init__(self) -> None:
        self._held = _File()
        self._positions: Positions = np.empty(0, dtype=np.int64)

    @classmethod
    def of(cls, documents: Iterable[Document]) -> StoredDocuments:
        """Store documents, read once."""
        made = cls()
        made.extend((line, document) for line, document in enumerate(documents))
        return made

    def extend(self, documents: Iterable[tuple[int, Document]]) -> None:
        """Add documents, each with the number of its row in the source."""
        n = len(self._positions)

        def rows() -> Iterator[tuple[Any, ...]]:
            nonlocal n
            for line, document in documents:
                yield n, line, *map(_bytes, _values(document))
                n += 1

        with self._written():
            self._file.executemany(f"INSERT INTO documents VALUES (?, ?{', ?' * 7})", rows())
        self._positions = np.arange(n, dtype=np.int64)

    def repeated_ids(self) -> Iterator[tuple[int, str, int]]:
        """Yield each document whose id an earlier one has: its row in the source, the id, and that of the first."""
        query = (
            "SELECT d.line, d.id, f.line FROM documents d JOIN (SELECT id, MIN(position) AS first FROM documents "
            "GROUP BY id HAVING COUNT(*) > 1) g ON d.id = g.id JOIN documents f ON f.position = g.first "
            "WHERE d.position > g.first ORDER BY d.position"
        )
        for line, id, first in self._file.execute(query):
            yield line, str(_text(id)), first

    def assign(self, splits: Iterable[Split]) -> None:
        """Give each document a split, in order."""
        with self._written():
            self._file.executemany(
                "UPDATE documents SET split = ? WHERE position = ?",
                zip(map(_bytes, splits), self._positions.tolist(), strict=True),
            )

    def where(self, split: Split | None = None, label: Label | None = None) -> StoredDocuments:
        """Select the documents of a split and label, in order; ``None`` = any."""
        found = self._file.execute(
            "SELECT position FROM documents WHERE (?1 IS NULL OR split = ?1) AND (?2 IS NULL OR label = ?2)",
            (_bytes(split), _bytes(label)),
        )
        wanted = np.fromiter((row[0] for row in found), dtype=np.int64)
        return self._view(self._positions[np.isin(self._positions, wanted)])

    def at(self, rows: NDArray[np.int64]) -> StoredDocuments:
        """Select the documents at some positions."""
        return self._view(self._positions[rows])

    def contents(self) -> Iterator[str]:
        """Yield ``SPLIT TAB LABEL TAB GROUP TAB TEXT`` of each document, sorted by code point."""
        parts = (
            f"COALESCE(CAST({name} AS TEXT), 'None')" for name in ("split", "label", "population", "text")
        )
        whole = len(self._positions) == self._file.execute("SELECT COUNT(*) FROM documents").fetchone()[0]
        if not whole:
            yield from sorted(map(content_of, self))
            return
        key = f"CAST({' || char(9) || '.join(parts)} AS BLOB)"
        for (found,) in self._file.execute(f"SELECT {key} AS content FROM documents ORDER BY content"):
            yield str(_text(found))

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Document]:
        for start in range(0, len(self._positions), _AT_ONCE):
            yield from self._read(self._positions[start : start + _AT_ONCE].tolist())

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> StoredDocuments: ...
    def __getitem__(self, index: int | slice) -> Document | StoredDocuments:
        if isinstance(index, slice):
            return self._view(self._positions[index])
        return self._read([int(self._positions[index])])[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} documents>"

    def _view(self, positions: Positions) -> StoredDocuments:
        view = object.__new__(StoredDocuments)
        view._held, view._positions = self._held, positions
        return view

    @property
    def _file(self) -> sqlite3.Connection:
        return self._held.connection

    def _read(self, positions: list[int]) -> list[Document]:
        marks = ",".join("?" * len(positions))
        query = f"SELECT position, {_COLUMNS} FROM documents WHERE position IN ({marks})"
        found = {row[0]: _document(*row[1:]) for row in self._file.execute(query, positions)}
        return [found[position] for position in positions]

    @contextmanager
    def _written(self) -> Iterator[None]:
        self._file.execute("BEGIN")
        try:
            yield
            self._file.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise DataError(
                f"the texts cannot be held in a temporary file: {error}",
                "free some disk space, or set SQLITE_TMPDIR to a folder that has room",
            ) from error


def select(
    documents: Sequence[Document], split: Split | None = None, label: Label | None = None
) -> Sequence[Document]:
    """Select the documents of a split and label, in order; ``None`` = any. Stored ones are not read into memory."""
    if isinstance(documents, StoredDocuments):
        return documents.where(split, label)
    return [
        d for d in documents if (split is None or d.split == split) and (label is None or d.label == label)
    ]


def at(documents: Sequence[Document], rows: NDArray[np.int64]) -> Sequence[Document]:
    """Select documents by position. Stored ones are not read into memory."""
    return (
        documents.at(rows)
        if isinstance(documents, StoredDocuments)
        else [documents[i] for i in rows.tolist()]
    )


def content_of(document: Document) -> str:
    """Return what counts of a document for the digest of a data set."""
    return f"{document.split}\t{document.label}\t{document.group}\t{document.text}"


def contents(documents: Sequence[Document]) -> Iterable[str]:
    """Return the :func:`content_of` of all documents, sorted by code point."""
    return (
        documents.contents() if isinstance(documents, StoredDocuments) else sorted(map(content_of, documents))
    )


def _values(document: Document) -> tuple[str | None, ...]:
    return (
        document.id,
        document.text,
        document.label,
        document.group,
        document.domain,
        document.pair,
        document.split,
    )


def _document(id: bytes, text: bytes, *others: bytes | None) -> Document:
    label, group, domain, pair, split = map(_text, others)
    return Document(
        id=str(_text(id)),
        text=str(_text(text)),
        label=label,  # type: ignore[arg-type]
        group=group,
        domain=domain,
        pair=pair,
        split=split,  # type: ignore[arg-type]
    )


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode("utf-8", "surrogatepass")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogatepass")
