"""Texts from Hugging Face `datasets`: the hub, local Parquet, JSON, CSV or Arrow files, or a saved folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from paraphrase_rl.plugin import (
    Context,
    DataError,
    DatasetSpec,
    Document,
    TableOptions,
    by_split,
    dataset_documents,
    hookimpl,
)

if TYPE_CHECKING:
    import datasets


class HuggingFaceOptions(TableOptions):
    """Options of ``huggingface``."""

    name: str = Field(description="hub id, a folder, or a format (parquet, json, csv, arrow) with data_files")
    config: str | None = Field(None, description="configuration of the data set, where it has several")
    split: str | None = Field(None, description="one split or slice, such as train[:10%]; null = all splits")
    revision: str | None = Field(
        None, description="commit, tag or branch on the hub; give a commit to repeat a run"
    )
    data_files: str | list[str] | dict[str, str | list[str]] | None = Field(
        None, description="files or patterns; a mapping names their splits"
    )


@hookimpl
def register_datasets() -> Iterable[DatasetSpec]:
    return [
        DatasetSpec(
            name="huggingface",
            summary="Hugging Face datasets: from the hub, local files, or a saved folder",
            factory=HuggingFace,
            options=HuggingFaceOptions,
            extra="datasets",
            modules=("datasets",),
        )
    ]


class HuggingFace:
    """Rows of all splits, or of the one given as an option.

    Splits called train, test, calibration, validation or dev are used as such; a slice such as
    ``train[:10%]`` is split by the core. Loading scripts are never run.
    """

    def __init__(self, options: HuggingFaceOptions, context: Context) -> None:  # noqa: ARG002
        self._options = options
        self._tables: Mapping[str, datasets.Dataset] | None = None
        self._notes: list[str] = []

    def documents(self) -> Iterator[Document]:
        self._notes = []
        return dataset_documents(self._load(), self._options, self._options.name, self._notes)

    def notes(self) -> list[str]:
        return self._notes

    def description(self) -> str:
        wanted = self._options
        table = next(iter(self._load().values()))
        said = " ".join((table.info.description or "").split())
        parts = [
            f"Hugging Face data set {wanted.name}"
            + (f", configuration {wanted.config}" if wanted.config else "")
            + (f", files {wanted.data_files}" if wanted.data_files else ""),
            f"revision {commit(table.info) or wanted.revision or 'not pinned'}",
            f"licence {table.info.license or 'not stated'}",
        ]
        return "; ".join(parts) + "." + (f" {said}" if said else "")

    def _load(self) -> Mapping[str, datasets.Dataset]:
        if self._tables is None:
            self._tables = by_split(_load(self._options), self._options.split or "rows")
        return self._tables


def commit(info: Any) -> str | None:
    """Return the hub commit that a data set was read from; ``None`` if `datasets` did not record it."""
    for url in info.download_checksums or {}:
        if found := re.search(r"@([0-9a-f]{40})/", url):
            return found[1]
    return None


def _load(options: HuggingFaceOptions) -> Any:
    import datasets

    folder = Path(options.name).expanduser()
    saved = folder / "dataset_dict.json", folder / "state.json"
    try:
        if any(file.is_file() for file in saved):
            loaded = datasets.load_from_disk(str(folder))
            return loaded[options.split] if options.split else loaded
        return datasets.load_dataset(
            str(folder) if folder.exists() else options.name,
            options.config,
            split=options.split,
            revision=options.revision,
            data_files=options.data_files,
        )
    except Exception as error:  # `datasets` raises errors of many libraries
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"data set {options.name} cannot be loaded: {lines[0]}",
            "check name, config, split and revision; without a network, save it on another machine "
            "(Dataset.save_to_disk) and give the folder, or give local files in data_files",
        ) from error
