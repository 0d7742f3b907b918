"""Names of the components used if a recipe or a command names none, from the packaged ``defaults.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import PrlError
from paraphrase_rl.recipe.yaml_positions import read_yaml

FILE = "defaults.yaml"
_PACKAGE = Path(__file__).resolve().parent.parent


def config_files() -> dict[str, Path]:
    """Find the packaged YAML files, by name without extension: in the wheel, else in the checkout."""
    for folder in (_PACKAGE / "_configs", _PACKAGE.parent / "configs"):
        if found := sorted(folder.glob("*.yaml")):
            return {path.stem: path for path in found}
    return {}


def packaged_calibration() -> Path | None:
    """Find the calibration that comes with the package; ``None`` if it comes with none."""
    found = config_files().get(Path(FILE).stem)
    path = None if found is None else found.with_name("calibration.json")
    return path if path is not None and path.is_file() else None


def default(key: str) -> Any:
    """Return the value of a key of ``defaults.yaml``.

    Raises:
        PrlError: the file is not there.
    """
    return _defaults()[key]


def default_backend() -> str:
    """Return the name of the backend that a run is trained on if none is named."""
    return str(default("backend"))


@functools.cache
def _defaults() -> Mapping[str, Any]:
    file = config_files().get(Path(FILE).stem)
    if file is None:
        raise PrlError(f"{FILE} is missing from this installation", "install paraphrase-rl again")
    found: Mapping[str, Any] = read_yaml(file.read_text(encoding="utf-8"), str(file)).value
    return found
