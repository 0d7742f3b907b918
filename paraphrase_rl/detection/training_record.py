"""Record of the texts that a detector was trained on, ``seen.json`` in the folder that it is loaded from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.errors import DataError
from paraphrase_rl.files import fitted_folder, json_text, sha256_file, write_text
from paraphrase_rl.plugin.protocols import Components

FILE = "seen.json"
SCHEMA: Literal["paraphrase-rl/seen/1"] = "paraphrase-rl/seen/1"


@dataclass(frozen=True, kw_only=True)
class Training:
    """Record of the training of a detector, or the lack of one.

    Attributes:
        detector: its name.
        texts: the texts it was trained on; ``None`` if there is no valid record of them.
    """

    detector: str
    texts: SeenTexts | None

    @property
    def notes(self) -> list[str]:
        """Say that there is no record, if there is none."""
        if self.texts is not None:
            return []
        return [
            f"{self.detector}: there is no record of the texts it was trained on, which may be among these; "
            f"train it again with `prl fit {self.detector}`"
        ]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["paraphrase-rl/seen/1"] = Field(SCHEMA, alias="schema")
    files: dict[str, str] = Field(description="SHA-256 of each file of the detector, by path in the folder")
    texts: SeenTexts


def check_place(folder: Path) -> None:
    """Refuse a folder whose ``seen.json`` is not a record of ours.

    Raises:
        DataError: it is somebody else's.
    """
    if os.path.lexists(folder / FILE) and _read(folder) is None:
        raise DataError(
            f"{folder / FILE} exists already, and is not the record of a trained detector",
            "choose another folder with --out, or move that file away",
        )


def write_training_record(folder: Path, texts: Iterable[str]) -> None:
    """Record the texts that the detector in a folder was just trained on.

    The record holds for the files that are there now: whatever is trained into the folder without a record makes it
    void.
    """
    record = _Record(schema=SCHEMA, files=file_digests(folder), texts=SeenTexts.of(texts))
    write_text(folder / FILE, json_text(record.model_dump(mode="json", by_alias=True)))


def training_of(registry: Components, detector: str, options: Mapping[str, Any]) -> Training | None:
    """Return what is known of a detector's training; ``None`` for one that is not trained.

    Args:
        registry: where the detector comes from.
        detector: its name.
        options: its options, ``folder`` among them.

    Raises:
        PluginError: there is no such detector.
    """
    if registry.spec("detectors", detector).fit is None:
        return None
    folder = fitted_folder(detector.rpartition("/")[2], options.get("folder"))
    if not folder.is_dir():
        return None
    record = _read(folder)
    if record is None or not record.files.items() <= file_digests(folder, set(record.files)).items():
        return Training(detector=detector, texts=None)
    return Training(detector=detector, texts=record.texts)


def _read(folder: Path) -> _Record | None:
    path = folder / FILE
    try:
        if not path.is_file():
            return None
        return _Record.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ValidationError):
        return None


def file_digests(folder: Path, names: set[str] | None = None) -> dict[str, str]:
    """Compute the digests of the files in a folder by their path in it, or of those among them that are named."""
    there = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path != folder / FILE
    }
    return {name: sha256_file(path) for name, path in there.items() if names is None or name in names}
