"""Texts from JSON lines and CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path

from pydantic import Field

from paraphrase_rl import hookimpl
from paraphrase_rl.data.columns import TableOptions
from paraphrase_rl.data.rows import csv_rows, decoded, json_rows
from paraphrase_rl.errors import DataError
from paraphrase_rl.plugin.specs import Context, DatasetSpec
from paraphrase_rl.types import Document

_JSONL = (".jsonl", ".ndjson")


class JsonlOptions(TableOptions):
    """Options of ``jsonl``."""

    path: str | list[str] = Field(description="a file, a pattern such as essays/*.jsonl, or a list of them")


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="jsonl",
            summary="JSON lines and CSV files with columns text, label, group, domain, pair, split",
            factory=Jsonl,
            options=JsonlOptions,
        )
    ]


class Jsonl:
    """Rows of ``.jsonl``, ``.ndjson`` and ``.csv`` files; ids are ``FILE:LINE`` where there is no id."""

    def __init__(self, options: JsonlOptions, context: Context) -> None:  # noqa: ARG002
        self._options = options
        patterns = [options.path] if isinstance(options.path, str) else options.path
        self._files = [file for pattern in patterns for file in _expand(pattern)]

    def documents(self) -> Iterator[Document]:
        names = [file.name for file in self._files]
        for file in self._files:
            title = file.name if names.count(file.name) == 1 else str(file)
            rows = _rows(file)
            if rows:
                self._options.check_columns(dict.fromkeys(key for _, row in rows for key in row), str(file))
            for line, row in rows:
                yield self._options.document(row, where=f"{file}:{line}", id=f"{title}:{line}")

    def description(self) -> str:
        return f"Texts from {', '.join(map(str, self._files))}; their origin and licence are not stated."


def _expand(pattern: str) -> list[Path]:
    named = Path(pattern).expanduser()
    if named.is_dir():
        raise DataError(f"{named} is a folder", f"name its files, such as {named}/*.jsonl")
    matches = sorted(glob(str(named), recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = [named] if named.is_file() else [Path(match) for match in matches]
    if not found:
        raise DataError(
            f"no file at {pattern}",
            "paths are relative to where prl is called; the recipe's data is made by: prl data build",
        )
    for file in found:
        if file.suffix.lower() not in (*_JSONL, ".csv"):
            raise DataError(f"{file}: not a kind of file that is read here", f"{', '.join(_JSONL)} or .csv")
    return found


def _rows(file: Path) -> list[tuple[int, Mapping[str, object]]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    read = csv_rows if file.suffix.lower() == ".csv" else json_rows
    return list(read(decoded(content, str(file)), str(file)))
