"""Use of the calibration that comes with the package: only for what it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paraphrase_rl.detection.calibration import Calibration, CalibrationSet
from paraphrase_rl.models.references import resolve
from paraphrase_rl.plugin.registry import Registry


def holding(
    saved: CalibrationSet, detectors: Mapping[str, Mapping[str, Any]], registry: Registry
) -> tuple[CalibrationSet | None, list[str]]:
    """Return those packaged calibrations that hold for some detectors as they are here, and notes on the others.

    A detector with other options, or whose model is another revision here, is scored without a calibration.

    Args:
        saved: the packaged calibrations.
        detectors: options by name of the detectors that are used.
        registry: where detectors come from.

    Raises:
        PrlError: there is no such detector or model, or an option is wrong.
    """
    held: list[str] = []
    notes: list[str] = []
    for calibration in saved.calibrations:
        if calibration.detector not in detectors:
            continue
        if changed := _changed(calibration, detectors[calibration.detector], registry):
            notes.append(
                f"{calibration.detector}: the calibration of the package was made with {changed}, so it does not hold"
            )
        else:
            held.append(calibration.detector)
    return saved.only(held), notes


def _changed(calibration: Calibration, options: Mapping[str, Any], registry: Registry) -> str:
    """Say what a calibration was made with if the detector is another one here."""
    name = calibration.detector
    if registry.options("detectors", name, options) != registry.options(
        "detectors", name, calibration.options
    ):
        return "other options"
    current = {model: resolve(model).revision for model in registry.models("detectors", name, options)}
    return (
        ""
        if current == calibration.provenance
        else f"another revision of {', '.join(calibration.provenance)}"
    )
