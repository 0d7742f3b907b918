"""Calibrations as a verb is given them: a result, a file, a run, or the default file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from paraphrase_rl.api.text_results import CalibrationResult
from paraphrase_rl.detection.calibration import CalibrationSet, default_path
from paraphrase_rl.errors import UsageError
from paraphrase_rl.files import is_file_or_folder
from paraphrase_rl.recipe.defaults import packaged_calibration

SavedCalibration: TypeAlias = CalibrationResult | str | os.PathLike[str]


def read_calibration(given: SavedCalibration | None) -> tuple[CalibrationSet | None, Path | None]:
    """Return the calibration that was given, or else the default one; and the file it is in.

    The default one is in the default file of `prl calibrate`, if there is one; else it comes with the package.
    """
    if isinstance(given, CalibrationResult):
        return given.records, given.path
    if given is not None and not isinstance(given, (str, os.PathLike)):
        raise UsageError(
            f"cannot read a calibration from {type(given).__name__}",
            "give what prl.calibrate returned, or a file that `prl calibrate` wrote",
        )
    path = calibration_file(Path(given) if given is not None else default_path())
    if given is None and not path.exists():
        packaged = packaged_calibration()
        return (None, path) if packaged is None else (CalibrationSet.read(packaged), packaged)
    return CalibrationSet.read(path), path


def calibration_file(path: Path) -> Path:
    """Return the file of a calibration, given it or a run that has one."""
    return path / "calibration.json" if is_file_or_folder(path) and path.is_dir() else path
