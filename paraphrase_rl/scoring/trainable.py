"""Detectors that are trained on labelled texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import UsageError
from paraphrase_rl.registry import Registry

Fit = Callable[[Any, Any, Path], None]
"""``fit(options, documents, folder)``, see :class:`paraphrase_rl.specs.DetectorSpec`."""


def trainer_of(registry: Registry, detector: str) -> Fit:
    """What trains a detector. What it needs is installed.

    Raises:
        UsageError: it is not a trainable detector; the hint names those that are.
        PluginError, MissingDependencyError: there is no such detector, or it lacks a package.
    """
    fit = registry.spec("detectors", detector).fit
    if fit is None:
        trainable = [e.spec.name for e in registry.entries("detectors") if getattr(e.spec, "fit", None)]
        raise UsageError(
            f"detector {detector} is not trained: it works as it is", f"trainable: {', '.join(trainable)}"
        )
    registry.require("detectors", detector)
    return fit
