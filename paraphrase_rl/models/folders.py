"""The files of a model folder: whether they are a whole model, and what digest identifies them."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from paraphrase_rl import files
from paraphrase_rl.errors import ModelError

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def folder_digest(folder: Path) -> str:
    """``sha256:...`` over the names and bytes of the files a model is loaded from, pooling modules included.

    Each file is read once per process as long as its size and time stay the same.
    """
    found = {path for pattern in MODEL_FILES for path in folder.glob(pattern)}
    found |= {
        path for pattern in ("config.json", "*.safetensors") for path in folder.glob(f"[0-9]*_*/{pattern}")
    }
    total = hashlib.sha256()
    for path in sorted(found):
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def file_digest(path: Path) -> str:
    """Hex sha256 of a file, remembered in the process until its size or time changes."""
    try:
        state = path.stat()
        return _file_digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error


@lru_cache(maxsize=512)
def _file_digest(path: Path, modified: int, size: int) -> str:  # noqa: ARG001 - the key of the memory
    return files.sha256_file(path)


def checked(folder: Path) -> Path:
    """The folder, when it holds a whole model in safetensors.

    Raises:
        ModelError: it does not; the message says what is wrong with it.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a model folder", "name the folder that holds config.json")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{folder} is an adapter, not a whole model", "merge it into its base model first"
            )
        raise ModelError(
            f"{folder} is not a model: it has no config.json",
            "name the folder written by save_pretrained, a hub id, or package:NAME",
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted({name for name in _shards(index) if not (folder / name).is_file()})
        if missing:
            raise ModelError(f"{folder} is incomplete: {missing[0]} is missing", "copy or download it again")
    elif not (folder / "model.safetensors").is_file():
        pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
        if pickles:
            raise ModelError(
                f"{folder} holds its weights only as a pickle ({pickles[0]}), which can run code when loaded",
                "convert it to safetensors where you trust it: save_pretrained(FOLDER) writes them",
            )
        raise ModelError(
            f"{folder} has no weights: model.safetensors is missing",
            "copy or download it again; what a hub repository holds only as pickles is not fetched: convert it",
        )
    return folder


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{index} is damaged: {first_line(error)}", "copy or download it again") from error


def first_line(error: BaseException) -> str:
    """First line of an error, or its name when it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
