"""Documents from tables: files, data frames, tables of `datasets`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from paraphrase_rl.data.bad_rows import BadRow, BadRowList, leave_out
from paraphrase_rl.data.columns import SPLITS, TableOptions, UnknownValue
from paraphrase_rl.data.file_texts import Hashes, holds, sorted_hashes, used_twice
from paraphrase_rl.data.forms import TableFormat
from paraphrase_rl.data.rows import Source, open_source
from paraphrase_rl.errors import DataError
from paraphrase_rl.files import expanded
from paraphrase_rl.types import Document, Split

if TYPE_CHECKING:
    import datasets
    import pandas


_FRAME_ROWS = 1000


class TableFiles:
    """Rows of tables in files: CSV, TSV, JSON lines, JSON arrays, Parquet, Arrow, each also with gzip.

    The id of a row without one is ``FILE:LINE``; an id that several files use has the file's name in front.

    Args:
        paths: files, or patterns such as ``essays/*.jsonl``.
        options: options for reading the columns.
        input_format: form of every file; ``None`` = found by its name and content.

    Raises:
        DataError: there is no such file, or its form is not known.
    """

    def __init__(
        self, paths: Sequence[str | Path], options: TableOptions, input_format: TableFormat | None = None
    ) -> None:
        self._options = options
        files = dict.fromkeys(file for path in paths for file in _expand(str(path)))
        self._sources = [_table(file, input_format) for file in files]
        self._notes: list[str] = []

    @property
    def title(self) -> str:
        """Names of the files, the first three."""
        names = [Path(source.name).name for source in self._sources]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    def documents(self) -> Iterator[Document]:
        """Make a document of each row.

        Raises:
            DataError: a table is malformed or lacks a required column, or rows cannot be used.
        """
        notes = [note for source in self._sources for note in self._check(source)]
        shared = self._shared_ids()
        rows = (row for source in self._sources for row in self._rows(source))
        for file, document in _documents(rows, self._options, notes):
            several = shared.size and holds(shared, hash(document.id))
            yield replace(document, id=f"{file}:{document.id}") if several else document
        self._notes = [source.described for source in self._sources] + list(dict.fromkeys(notes))

    def description(self) -> str:
        """Name the files."""
        names = ", ".join(source.name for source in self._sources)
        return f"Texts from {names}; their origin and licence are not stated."

    def notes(self) -> list[str]:
        """Return notes on the form of each file, columns not used, and rows left out, after :meth:`documents`."""
        return self._notes

    def _check(self, source: Source) -> list[str]:
        """Notes on the columns of a table, which is read for them: objects of JSON may have any."""
        columns: dict[str, None] = {}
        for row in source.rows():
            if row.values.keys() != columns.keys():
                columns.update(dict.fromkeys(row.values))
        return self._options.check_columns(columns, source.name) if columns else []

    def _shared_ids(self) -> Hashes:
        """Hashes of the ids that several tables use."""
        if len(self._sources) < 2:
            return used_twice([])
        ids = (
            sorted_hashes(hash(self._options.id_of(row.values) or row.id) for row in self._rows(source))
            for source in self._sources
        )
        return used_twice(list(ids))

    def _rows(self, source: Source) -> Iterator[_Row]:
        title = Path(source.name).name
        if [Path(other.name).name for other in self._sources].count(title) > 1:
            title = source.name
        for row in source.rows():
            where = f"{source.name}:{row.line}"
            yield _Row(title, where, f"{title}:{row.line}", row.values, None, row.problem, row.hint)


class _Row(NamedTuple):
    """A row of any table, with what it is called in errors and as a document."""

    table: str
    where: str
    id: str
    values: Mapping[str, object]
    split: Split | None = None
    problem: str = ""
    hint: str = ""


def _documents(
    rows: Iterable[_Row], options: TableOptions, notes: list[str]
) -> Iterator[tuple[str, Document]]:
    """Documents with the table they are of, as they come; at the end, adds to the notes what was left out.

    Raises:
        DataError: labels or splits that are unknown, or rows that cannot be used, all of them at once, at the end.
    """
    bad = BadRowList()
    unknown: Counter[UnknownValue] = Counter()
    first: dict[UnknownValue, str] = {}
    total = 0
    for row in rows:
        total += 1
        if row.problem:
            bad.add(BadRow(row.where, row.problem, row.hint))
            continue
        found = options.document(row.values, id=row.id, split=row.split)
        if isinstance(found, UnknownValue):
            unknown[found] += 1
            first.setdefault(found, row.where)
        elif isinstance(found, str):
            bad.add(BadRow(row.where, found))
        else:
            yield row.table, found
    if unknown:
        raise options.refusal(unknown, next(iter(first.values())))
    notes += leave_out(bad, total, options.bad_rows)


def frame_documents(frame: pandas.DataFrame, options: TableOptions, notes: list[str]) -> Iterator[Document]:
    """Make a document of each row of a data frame; ids are its index if there is no column of ids.

    Raises:
        DataError: a required column is missing, or rows cannot be used.
    """
    if not frame.columns.is_unique:
        raise DataError("the data frame has two columns with the same name", "give each column its own name")
    notes += options.check_columns(map(str, frame.columns), "the data frame")
    rows = (
        _Row(
            "the data frame",
            f"the data frame, row {index}",
            str(index),
            {str(key): None if _is_nan(value) else value for key, value in row.items()},
        )
        for start in range(0, len(frame), _FRAME_ROWS)
        for index, row in zip(
            frame.index[start : start + _FRAME_ROWS],
            frame.iloc[start : start + _FRAME_ROWS].to_dict("records"),
            strict=True,
        )
    )
    yield from (document for _, document in _documents(rows, options, notes))


def by_split(
    loaded: datasets.Dataset | datasets.DatasetDict, name: str = "rows"
) -> Mapping[str, datasets.Dataset]:
    """Group tables of `datasets` by the name of their split; a table without a split is named ``name``.

    Raises:
        DataError: there are several splits, and the meaning of the name of one is not known.
    """
    if not isinstance(loaded, Mapping):
        return {name: loaded}
    unknown = [name for name in loaded if name not in SPLITS]
    if unknown and len(loaded) > 1:
        raise DataError(
            f"the data has unknown splits: {', '.join(unknown)}",
            f"name the splits from: {', '.join(SPLITS)}; or give one split alone",
        )
    return dict(loaded)


def dataset_documents(
    tables: Mapping[str, datasets.Dataset], options: TableOptions, name: str, notes: list[str]
) -> Iterator[Document]:
    """Make a document of each row of the tables of :func:`by_split`; a row without an id gets ``SPLIT-NUMBER``.

    Args:
        tables: tables by the name of their split; a name that is known (see ``SPLITS``) becomes the split of the
            documents.
        options: options for reading the columns.
        name: name of the data set in errors.
        notes: list to which notes on columns not used and rows left out are added.

    Raises:
        DataError: a required column is missing, or rows cannot be used.
    """
    yield from (
        document for _, document in _documents(_dataset_rows(tables, options, name, notes), options, notes)
    )


def _dataset_rows(
    tables: Mapping[str, datasets.Dataset], options: TableOptions, name: str, notes: list[str]
) -> Iterator[_Row]:
    for split, table in tables.items():
        notes += options.check_columns(table.column_names, f"{name}, split {split}")
        label = options.column("label")
        names = getattr(table.features.get(label), "names", None)
        meaning: Split | None = SPLITS.get(split)
        for number, row in enumerate(table):
            if names is not None:  # a ClassLabel: a number for a name, -1 for none
                row[label] = None if row[label] in (None, -1) else names[row[label]]
            yield _Row(split, f"{name}, split {split}, row {number}", f"{split}-{number}", row, meaning)


def _is_nan(value: Any) -> bool:
    return (isinstance(value, float) and value != value) or repr(value) in ("<NA>", "NaT")


def _expand(pattern: str) -> list[Path]:
    named = expanded(pattern)
    if named.is_dir():
        raise DataError(f"{named} is a folder", f"give its files, such as {named}/*.jsonl")
    matches = sorted(glob(str(named), recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = [named] if named.is_file() else [Path(match) for match in matches]
    if not found:
        raise DataError(
            f"no file at {pattern}",
            "check the path (relative: from the current folder); `prl data build` makes the data of the recipe",
        )
    return found


def _table(file: Path, input_format: TableFormat | None) -> Source:
    source = open_source(str(file), input_format=input_format)
    if source.form == "text":
        raise DataError(
            f"{file} is one text, not a table of labelled texts",
            "put the texts into a table, one a row: CSV, TSV, JSON, JSONL or Parquet",
        )
    return source
