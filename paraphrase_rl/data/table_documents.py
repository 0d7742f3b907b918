"""Documents from tables: JSON lines and CSV files, data frames, tables of `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paraphrase_rl.data.columns import SPLITS, TableOptions
from paraphrase_rl.data.rows import csv_rows, decoded, json_rows
from paraphrase_rl.errors import DataError
from paraphrase_rl.files import expanded
from paraphrase_rl.types import Document, Split

if TYPE_CHECKING:
    import datasets
    import pandas

_JSONL = (".jsonl", ".ndjson")


class TableFiles:
    """Rows of ``.jsonl``, ``.ndjson`` and ``.csv`` files; ids are ``FILE:LINE`` where there is no id.

    Args:
        paths: files, or patterns such as ``essays/*.jsonl``.
        options: how the columns are read.

    Raises:
        DataError: there is no such file, or one that is not read here.
    """

    def __init__(self, paths: Sequence[str | Path], options: TableOptions) -> None:
        self._options = options
        self._files = [file for path in paths for file in _expand(str(path))]

    def documents(self) -> Iterator[Document]:
        """Make a document of each row.

        Raises:
            DataError: a malformed table, one without a needed column, or a row without a text.
        """
        names = [file.name for file in self._files]
        for file in self._files:
            title = file.name if names.count(file.name) == 1 else str(file)
            rows = _rows(file)
            if rows:
                self._options.check_columns(dict.fromkeys(key for _, row in rows for key in row), str(file))
            for line, row in rows:
                yield self._options.document(row, where=f"{file}:{line}", id=f"{title}:{line}")

    def description(self) -> str:
        """Says which files they are."""
        return f"Texts from {', '.join(map(str, self._files))}; their origin and licence are not stated."


def frame_documents(frame: pandas.DataFrame, options: TableOptions) -> Iterator[Document]:
    """Make a document of each row of a data frame; ids are its index where there is no column for them.

    Raises:
        DataError: a column that is needed is not there, or a row without a text.
    """
    if not frame.columns.is_unique:
        raise DataError("the data frame has two columns with the same name", "give each column its own name")
    options.check_columns(map(str, frame.columns), "the data frame")
    for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
        known = {str(key): None if _is_nan(value) else value for key, value in row.items()}
        yield options.document(known, where=f"the data frame, row {index}", id=str(index))


def by_split(
    loaded: datasets.Dataset | datasets.DatasetDict, name: str = "rows"
) -> Mapping[str, datasets.Dataset]:
    """Tables of `datasets` by split; a single one is called ``name``.

    Raises:
        DataError: several splits, of which one has a name without a meaning here.
    """
    if not isinstance(loaded, Mapping):
        return {name: loaded}
    unknown = [name for name in loaded if name not in SPLITS]
    if unknown and len(loaded) > 1:
        raise DataError(f"splits {', '.join(unknown)} are not among {', '.join(SPLITS)}", "choose one split")
    return dict(loaded)


def dataset_documents(
    tables: Mapping[str, datasets.Dataset], options: TableOptions, name: str
) -> Iterator[Document]:
    """Make a document of each row of the tables of :func:`by_split`; ids are ``SPLIT-NUMBER`` where it has none.

    Args:
        tables: by the name of their split; one with a meaning here is kept (see ``SPLITS``).
        options: how the columns are read.
        name: what errors call the data set.

    Raises:
        DataError: a column that is needed is not there, or a row without a text.
    """
    for split, table in tables.items():
        options.check_columns(table.column_names, f"{name}, split {split}")
        label = options.columns.get("label", "label")
        names = getattr(table.features.get(label), "names", None)
        meaning: Split | None = SPLITS.get(split)
        for number, row in enumerate(table):
            if names is not None:  # a ClassLabel: a number for a name, -1 for none
                row[label] = None if row[label] in (None, -1) else names[row[label]]
            where = f"{name}, split {split}, row {number}"
            yield options.document(row, where=where, id=f"{split}-{number}", split=meaning)


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
            "relative paths start at the current folder; the recipe's data is made by: prl data build",
        )
    for file in found:
        if file.suffix.lower() not in (*_JSONL, ".csv"):
            raise DataError(f"{file}: this kind of file is not supported", f"{', '.join(_JSONL)} or .csv")
    return found


def _rows(file: Path) -> list[tuple[int, Mapping[str, object]]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    read = csv_rows if file.suffix.lower() == ".csv" else json_rows
    return list(read(decoded(content, str(file)), str(file)))
