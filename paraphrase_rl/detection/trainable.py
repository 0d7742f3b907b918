"""Detectors that are trained on labelled texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paraphrase_rl.detection.ensemble import CalibratedEnsemble, Member
from paraphrase_rl.detection.training_record import check_place, write_training_record
from paraphrase_rl.errors import UsageError
from paraphrase_rl.files import copy_folder, fitted_folder
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.types import Document

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


def train_detector(
    registry: Registry, detector: str, options: Any, documents: Sequence[Document], folder: Path
) -> None:
    """Train a detector, and record in its folder which texts it was trained on.

    Args:
        registry: where the detector comes from.
        detector: its name.
        options: its options, validated.
        documents: texts to train on; those without a label are not used.
        folder: folder to save the detector in.

    Raises:
        UsageError, PluginError, MissingDependencyError: see :func:`trainer_of`.
        DataError: the texts cannot be trained on, or the folder holds a file of somebody else.
    """
    train = trainer_of(registry, detector)
    check_place(folder)
    train(options, documents, folder)
    write_training_record(folder, (d.text for d in documents if d.label is not None))


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

    members = [saved(member) for member in ensemble.members]
    return CalibratedEnsemble(members, ensemble.combine, ensemble.combined, ensemble.seen, ensemble.precision)
