"""Detectors that are trained on labelled texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from paraphrase_rl.detection.ensemble import CalibratedEnsemble, Member
from paraphrase_rl.errors import UsageError
from paraphrase_rl.files import copy_folder, fitted_folder
from paraphrase_rl.plugin.registry import Registry

Fit = Callable[[Any, Any, Path], None]
"""``fit(options, documents, folder)``, see :class:`paraphrase_rl.plugin.specs.DetectorSpec`."""


def trainer_of(registry: Registry, detector: str) -> Fit:
    """Return the function that trains a detector, after checking that its packages are installed.

    Raises:
        UsageError: the detector is not trainable; the hint names those that are.
        PluginError, MissingDependencyError: there is no such detector, or it lacks a package.
    """
    fit = registry.spec("detectors", detector).fit
    if fit is None:
        trainable = [e.spec.name for e in registry.entries("detectors") if getattr(e.spec, "fit", None)]
        raise UsageError(
            f"detector {detector} needs no training",
            f"trainable detectors: {', '.join(trainable)}",
        )
    registry.require("detectors", detector)
    return fit


def keep_fitted(
    ensemble: CalibratedEnsemble,
    registry: Registry,
    folder: Path,
    copy_folder: Callable[[Path, Path], None] = copy_folder,
) -> CalibratedEnsemble:
    """Copy the trained detectors of an ensemble into ``folder``; training them again does not change the copies.

    Args:
        ensemble: the ensemble.
        registry: where its detectors come from.
        folder: folder in which a copy of each is saved.
        copy_folder: function that copies a folder to a new place.

    Returns:
        The same ensemble; its calibrations have the folders of the copies.
    """

    def saved(member: Member) -> Member:
        if registry.spec("detectors", member.name).fit is None:
            return member
        name = member.name.rpartition("/")[2]
        source = fitted_folder(name, member.calibration.options.get("folder"))
        copy = folder.resolve() / member.name.replace(
            "/", "--"
        )  # two distributions may have one of that name
        copy_folder(source, copy)
        return replace(member, calibration=member.calibration.model_copy(update={"fitted": str(copy)}))

    return CalibratedEnsemble([saved(m) for m in ensemble.members], ensemble.combine, ensemble.combined)
