"""Choice of the detectors and calibration that texts are scored with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paraphrase_rl.api.common import device_for, named_detectors
from paraphrase_rl.api.saved_calibration import read_calibration
from paraphrase_rl.detection.packaged import holding
from paraphrase_rl.detection.scorer import ScorerSettings
from paraphrase_rl.errors import CalibrationError, UsageError
from paraphrase_rl.recipe.defaults import packaged_calibration
from paraphrase_rl.recipe.schema import Component, Recipe

if TYPE_CHECKING:
    from paraphrase_rl.api.common import Detectors
    from paraphrase_rl.api.saved_calibration import SavedCalibration
    from paraphrase_rl.detection.calibration import CalibrationSet
    from paraphrase_rl.plugin.registry import Registry

NO_CALIBRATION = "none"
"""Given as a calibration: raw scores."""


@dataclass(frozen=True, kw_only=True)
class DetectorChoice:
    """Detectors to score with, and the calibration that holds for them.

    Attributes:
        settings: of the scorer.
        registry: where the detectors come from.
        path: file of the calibration, if it is in one; the file that there is none at, if there is none.
        packaged: whether it is the calibration that comes with the package.
        excerpt_words: number of words that texts are cut to, as those of the calibration were.
        notes: what a reader of the scores must know.
    """

    settings: ScorerSettings
    registry: Registry
    path: Path | None
    packaged: bool
    excerpt_words: int | None
    notes: tuple[str, ...] = ()

    @property
    def cut_note(self) -> str:
        """Say that texts are cut; only where they are."""
        return f"texts are cut to their first sentences, at most {self.excerpt_words} words, as in the calibration"

    def cut(self, text: str) -> str:
        """Cut a text as those of the calibration were: a score depends on length, and so does a threshold."""
        from paraphrase_rl.text.excerpts import excerpt

        return text if self.excerpt_words is None else excerpt(text, self.excerpt_words)

    @property
    def origin(self) -> str:
        """Name of the calibration in messages, followed by a comma; empty for one that is in no file."""
        if self.packaged:
            return "that of the package, "
        return f"{self.path}, " if self.path is not None else ""


def choose_detectors(
    wanted: Detectors | None,
    calibration: SavedCalibration | None,
    fpr: float | None,
    device: str | None,
    registry: Registry,
    force: bool = False,
) -> DetectorChoice:
    """Choose detectors and calibration.

    Args:
        wanted: detectors asked for; ``None`` = those of the calibration, else those of the default recipe.
        calibration: calibration asked for, ``none`` for raw scores; ``None`` = the default file of `prl calibrate`,
            else the packaged calibration, which is used only for detectors that are as they were when it was made.
        fpr: false positive rate of the verdicts; ``None`` = the target rate.
        device: torch device.
        registry: where detectors come from.
        force: give a verdict on texts that are outside, too.

    Raises:
        CalibrationError: there is no such calibration, or it is of other options.
        UsageError, PluginError, RecipeError, MissingDependencyError, ModelError: no such detector.
    """
    raw = isinstance(calibration, (str, os.PathLike)) and os.fspath(calibration) == NO_CALIBRATION
    saved, path = (None, None) if raw else read_calibration(calibration)
    packaged = calibration is None and saved is not None and path == packaged_calibration()
    chosen: Sequence[Component]
    if wanted is not None:
        chosen, registry = named_detectors(wanted, registry)
    elif saved is not None:
        used = saved.default or [c.detector for c in saved.calibrations]
        chosen = [
            Component(name=c.detector, options=c.options) for c in saved.calibrations if c.detector in used
        ]
    else:
        chosen = Recipe().detectors
    options = {component.name: component.options for component in chosen}
    if not options:
        raise UsageError(
            "no detectors given",
            "give at least one detector, or leave out the argument to use the default detectors",
        )
    notes: list[str] = []
    if packaged and saved is not None:
        saved, notes = holding(saved, options, registry)
    elif saved is not None:
        _check_options(saved, options)
    held = saved.only(options) if saved is not None else None
    calibrated = tuple(c.detector for c in held.calibrations) if held is not None else ()
    settings = ScorerSettings(
        calibrated=calibrated,
        saved=held,
        uncalibrated={name: dict(given) for name, given in options.items() if name not in calibrated},
        target_fpr=fpr,
        force=force,
        device=device_for(device, registry, options),
    )
    if (
        packaged and held is not None and not settings.device.startswith(("cpu", "mps"))
    ):  # single precision there
        notes.append(
            f"the calibration of the package was made in single precision on a CPU; on {settings.device} scores are "
            "computed in half precision and differ a little"
        )
    return DetectorChoice(
        settings=settings,
        registry=registry,
        path=path,
        packaged=packaged,
        excerpt_words=saved.calibrations[0].texts.excerpt_words if saved is not None else None,
        notes=tuple(notes),
    )


def _check_options(saved: CalibrationSet, options: Mapping[str, Mapping[str, object]]) -> None:
    for calibration in saved.calibrations:
        given = options.get(calibration.detector)
        if given and given != calibration.options:
            raise CalibrationError(
                f"{calibration.detector} was calibrated with other options: {calibration.options}",
                "leave out the options of the detector, or calibrate the detector again",
            )
