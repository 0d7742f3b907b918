"""Scores of every detector for a comparison; those that need training are trained inside the folds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.comparison.figures import CrossFitted
from paraphrase_rl.comparison.folds import Folds
from paraphrase_rl.detection.fitting import build_detector
from paraphrase_rl.detection.trainable import train_detector
from paraphrase_rl.errors import PrlError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.schema import Component
from paraphrase_rl.types import Document, FloatArray


def ready_detectors(registry: Registry) -> list[Component]:
    """List every installed detector whose packages are there."""
    return [
        Component(name=registry.name_of(entry))
        for entry in registry.entries("detectors")
        if not entry.missing_modules()
    ]


def cross_fitted(
    registry: Registry,
    context: Context,
    chosen: Sequence[Component],
    documents: Sequence[Document],
    folds: Folds,
    report: Report,
    *,
    asked_for: bool,
) -> list[CrossFitted]:
    """Score all texts with every detector.

    Args:
        registry: where the detectors come from.
        context: device of their models.
        chosen: the detectors; one that has an option ``folder`` set is used as it was trained, without the texts that
            it was trained on.
        documents: N labelled texts.
        folds: their folds.
        report: function that shows one line of progress.
        asked_for: whether the user named the detectors: one that cannot be built is then an error, else it is left out
            with its reason.

    Raises:
        PrlError: a detector that was asked for cannot be built.
    """
    found: list[CrossFitted] = []
    for component in chosen:
        report(f"scoring {len(documents)} texts with {component.name}")
        started = time.process_time()
        try:
            one = _scored(registry, context, component, documents, folds)
        except PrlError as error:
            if asked_for:
                raise
            found.append(
                CrossFitted(component.name, np.full((folds.count, len(documents)), np.nan), reason=str(error))
            )
            continue
        found.append(replace(one, seconds=time.process_time() - started))
    return _shared_evenly(found, {c.name: registry.models("detectors", c.name, c.options) for c in chosen})


def _scored(
    registry: Registry, context: Context, component: Component, documents: Sequence[Document], folds: Folds
) -> CrossFitted:
    name, options = component.name, component.options
    trains = registry.spec("detectors", name).fit is not None and options.get("folder") is None
    texts = [document.text for document in documents]
    if not trains:
        built = build_detector(registry, context, name, options)
        scores = built.detector.score(texts)
        values = scores.values.copy()
        if built.training is not None and built.training.texts is not None:
            values[np.array(built.training.texts.holds(texts), dtype=bool)] = np.nan
        return CrossFitted(
            name,
            np.tile(values, (folds.count, 1)),
            failures=int((~np.isfinite(values)).sum()),
            truncated=len(scores.truncated),
        )
    truncated: set[int] = set()
    table = np.full((folds.count, len(documents)), np.nan)
    for fold in range(folds.count):
        table[fold], cut = _trained(registry, context, name, options, documents, folds, fold)
        truncated |= cut
    tested = table[folds.of, np.arange(len(documents))]
    return CrossFitted(
        name, table, trained=True, failures=int((~np.isfinite(tested)).sum()), truncated=len(truncated)
    )


def _trained(
    registry: Registry,
    context: Context,
    name: str,
    options: Mapping[str, Any],
    documents: Sequence[Document],
    folds: Folds,
    fold: int,
) -> tuple[FloatArray, set[int]]:
    """Scores of the texts tested or calibrated on in a fold, by a detector trained on the others; else NaN.

    Also which of them were not read whole.
    """
    with tempfile.TemporaryDirectory(prefix="prl-compare-") as temporary:
        folder = Path(temporary) / "detector"
        folder.mkdir()
        given = {**options, "folder": str(folder)}
        training = [d for d, used in zip(documents, folds.training(fold).tolist(), strict=True) if used]
        train_detector(registry, name, registry.options("detectors", name, given), training, folder)
        detector = registry.build("detectors", name, given, context)
        where = np.flatnonzero(~folds.training(fold))
        values = np.full(len(documents), np.nan)
        scores = detector.score([documents[i].text for i in where.tolist()])
        values[where] = scores.values
    return values, {int(where[cut.index]) for cut in scores.truncated}


def _shared_evenly(found: list[CrossFitted], models: Mapping[str, Sequence[str]]) -> list[CrossFitted]:
    """Divide the seconds of detectors that share a model's pass evenly: the first of them would have it all."""
    groups: dict[tuple[str, ...], list[CrossFitted]] = {}
    for one in found:
        if models[one.name] and not one.reason:
            groups.setdefault(tuple(models[one.name]), []).append(one)
    mean = {
        one.name: sum(o.seconds for o in group) / len(group) for group in groups.values() for one in group
    }
    return [replace(one, seconds=mean.get(one.name, one.seconds)) for one in found]
