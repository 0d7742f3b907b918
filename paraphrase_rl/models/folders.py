"""Files of a model folder: check that they are a complete model, and their digest."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

from paraphrase_rl import files
from paraphrase_rl.errors import ModelError

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja")
_SHARD = re.compile(r"[\w][\w.-]*\.safetensors", re.ASCII)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def folder_digest(folder: Path) -> str:
    """Compute ``sha256:...`` over the names and bytes of all files of a model, those of its pooling layers included.

    Each file is read once per process unless its size or modification time changes.
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
    """Compute the SHA-256 of a file, as hex digits, remembered until its size or modification time changes."""
    try:
        state = path.stat()
        return _file_digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error


@lru_cache(maxsize=512)
def _file_digest(path: Path, modified: int, size: int) -> str:  # noqa: ARG001 - the key of the memory
    return files.sha256_file(path)


def checked_folder(folder: Path) -> Path:
    """Check that a folder holds a complete model in safetensors, and return it.

    Raises:
        ModelError: the model is not complete; the message says what is wrong.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a model folder", "give the folder that holds config.json")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{folder} is an adapter, not a complete model", "merge the adapter into its base model first"
            )
        raise ModelError(
            f"{folder} is not a model: it has no config.json",
            "give the folder written by save_pretrained, a hub id, or package:NAME",
        )
    for path in sorted(path for pattern in MODEL_FILES for path in folder.glob(pattern)):
        if not path.is_file():  # reading a pipe would wait for ever
            raise ModelError(f"{path} is not a file", "copy or download the model again")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted({name for name in _shards(index) if not (folder / name).is_file()})
        if missing:
            raise ModelError(
                f"{folder} is incomplete: {missing[0]} is missing", "copy or download the model again"
            )
    elif not (folder / "model.safetensors").is_file():
        pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
        if pickles:
            raise ModelError(
                f"{folder} has its weights only as a pickle ({pickles[0]}), which can run code when it is loaded",
                "if you trust the file, convert the model to safetensors with save_pretrained(FOLDER)",
            )
        raise ModelError(
            f"{folder} has no weights: model.safetensors is missing",
            "copy or download the model again; weights that a hub repository has only as pickles are not downloaded",
        )
    return folder


def _shards(index: Path) -> set[str]:
    """Names of the weight files of an index: files of its own folder, in safetensors."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{index} is damaged: {first_line(error)}", "copy or download the model again"
        ) from error
    for name in sorted(names, key=str):
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise ModelError(
                f"{index} names {name!r} as a file of weights, which is not a safetensors file in that folder",
                "get the model from a source you trust, as safetensors",
            )
    return names


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if it has no message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
