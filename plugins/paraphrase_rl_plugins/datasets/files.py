"""Texts from tables in files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from paraphrase_rl.plugin import Context, DatasetSpec, TableFiles, TableOptions, hookimpl


class FilesOptions(TableOptions):
    """Options of ``files``."""

    path: str | list[str] = Field(description="a file, a pattern such as essays/*.jsonl, or a list of them")
    input_format: Literal["csv", "jsonl", "json", "parquet", "arrow"] | None = Field(
        None, description="form of the files; null = by their names and contents"
    )


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="files",
            summary="Tables in files: CSV, TSV, JSON, JSONL, Parquet, Arrow",
            factory=_build,
            options=FilesOptions,
        )
    ]


def _build(options: FilesOptions, context: Context) -> TableFiles:  # noqa: ARG001
    paths = [options.path] if isinstance(options.path, str) else options.path
    return TableFiles(paths, options, options.input_format)
