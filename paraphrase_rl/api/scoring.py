"""The verb score."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from paraphrase_rl.api.common import check_rate, device_for, named_detectors, registry_or_default
from paraphrase_rl.api.text_results import CalibrationResult, ScoreResult, ScoreRow
from paraphrase_rl.data.reading import Item, items_of, named_like_files, usable
from paraphrase_rl.detection.calibration import CalibrationSet, default_path
from paraphrase_rl.errors import CalibrationError, UsageError
from paraphrase_rl.files import is_file_or_folder
from paraphrase_rl.progress import OnProgress, reporter
from paraphrase_rl.recipe.schema import Component, Recipe

if TYPE_CHECKING:
    from paraphrase_rl.api.common import Detectors
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.data.reading import Texts
    from paraphrase_rl.detection.decision import Decision
    from paraphrase_rl.detection.ensemble import CalibratedEnsemble
    from paraphrase_rl.plugin.protocols import Detector
    from paraphrase_rl.plugin.registry import Registry

    SavedCalibration: TypeAlias = CalibrationResult | str | os.PathLike[str]


def score(
    texts: Texts,
    *,
    detectors: Detectors | None = None,
    calibration: SavedCalibration | None = None,
    fpr: float | None = None,
    column: str | None = None,
    bad_rows: BadRows = "refuse",
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> ScoreResult:
    """Score texts: raw score, P(AI), and verdict at a false positive rate, by detector and for their ensemble.

    Args:
        texts: N texts: a string, a list of strings or Documents, a :class:`pathlib.Path` of a file or folder, a
            data frame or ``datasets.Dataset`` with ``column``. A ``str`` is always a text, never a path.
        detectors: names, names with options, or what :func:`detector` returned; ``None`` = those of the calibration,
            else those of the default recipe.
        calibration: what :func:`calibrate` returned or saved, or a run that has one; ``None`` = the default file of
            `prl calibrate`, if there is one. The texts are cut as those of the calibration were.
        fpr: false positive rate of the verdicts, in (0, 1), a rate that was calibrated; ``None`` = the target rate.
        column: name of the text column of a table; ``None`` = ``text``.
        bad_rows: ``refuse`` or ``skip`` rows without a usable text: empty, not a string, not valid Unicode.
        device: torch device.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        N times D rows for D detectors, and N more for the ensemble if two or more are calibrated. A text that
        cannot be read has one row, with ``failure``.

    Raises:
        UsageError, DataError: ``texts`` cannot be read as texts.
        CalibrationError: there is no such calibration or rate, or a detector has changed since.
        PluginError, RecipeError, MissingDependencyError, ModelError: a detector cannot be built.

    Example:
        >>> found = prl.score(["The council voted on the new bridge."], detectors="tfidf")
        >>> found.rows[0].detector, found.rows[0].verdict
        ('tfidf', None)
    """
    from paraphrase_rl.detection.applicability import without_verdict_notes
    from paraphrase_rl.detection.decision import decide, length_notes
    from paraphrase_rl.text.length import count_words

    registry = registry_or_default(registry)
    report = reporter(progress)
    given = items_of(texts, column, report)
    items, notes = usable(given, bad_rows)
    saved, path = read_calibration(calibration)
    if fpr is not None:
        check_rate(fpr, "fpr")
    ensemble, uncalibrated = chosen_detectors(saved, detectors, device, registry)
    if ensemble is None and fpr is not None:
        at = f" at {path}" if path is not None else ""
        raise CalibrationError(
            f"no calibration of {', '.join(uncalibrated)}{at}: there is no threshold for this false positive rate",
            "calibrate these detectors (`prl calibrate`), or leave out --fpr (fpr=)",
        )
    used = ensemble.calibrations if ensemble is not None else None
    notes += [
        f"the text {name!r:.60} is the name of a file; give the file as pathlib.Path({name!r:.60})"
        for name in named_like_files(items)
    ]
    items, cut = cut_as_calibrated(items, saved)
    notes += cut
    readable = [item.text for item in items]
    names = [*(ensemble.names if ensemble is not None else ()), *uncalibrated]
    report(f"scoring {len(readable)} texts with {', '.join(names)}")
    rows = list(_score_rows(items, decide(readable, ensemble, uncalibrated, fpr)))
    withheld = {row.id: row.no_verdict.partition(":")[0] for row in rows if row.no_verdict is not None}
    notes += without_verdict_notes(Counter(withheld.values()), len(items))
    explanation: list[str] = []
    if used is not None:
        where = f"{path}, " if path is not None else ""
        explanation = [
            f"calibration: {where}fitted on {used.records[0].texts.describe()}; "
            "its thresholds are valid only for texts of this kind"
        ]
        explanation += [record.describe(fpr) for record in used.records]
        notes += [line for record in used.records for line in record.warnings(fpr)]
        notes += length_notes([count_words(text) for text in readable], used.records[0])
    if uncalibrated:
        notes.append(
            f"no calibration of {', '.join(uncalibrated)}: scores without verdicts; calibrate with `prl calibrate`"
        )
    return ScoreResult(
        tuple(rows),
        tuple(notes),
        n_texts=len(items),
        left_out=len(given) - len(items),
        calibration=path if used is not None else None,
        texts=used.records[0].texts if used is not None else None,
        target_fpr=used.records[0].point(fpr).target_fpr if used is not None else None,
        explanation=tuple(explanation),
    )


def read_calibration(given: SavedCalibration | None) -> tuple[CalibrationSet | None, Path | None]:
    """Return the calibration that was given, or else the default one if there is one; and the file it is in."""
    if isinstance(given, CalibrationResult):
        return given.records, given.path
    if given is not None and not isinstance(given, (str, os.PathLike)):
        raise UsageError(
            f"cannot read a calibration from {type(given).__name__}",
            "give what prl.calibrate returned, or a file that `prl calibrate` wrote",
        )
    path = Path(given) if given is not None else default_path()
    if is_file_or_folder(path) and path.is_dir():
        path = path / "calibration.json"
    if given is None and not path.exists():
        return None, path
    return CalibrationSet.read(path), path


def chosen_detectors(
    saved: CalibrationSet | None, wanted: Detectors | None, device: str | None, registry: Registry
) -> tuple[CalibratedEnsemble | None, dict[str, Detector]]:
    """Return the calibrated detectors asked for, and those of which there is no calibration."""
    from paraphrase_rl.detection.ensemble import build_ensemble
    from paraphrase_rl.plugin.specs import Context

    calibrated = {c.detector: c for c in saved.calibrations} if saved is not None else {}
    chosen: Sequence[Component] = []
    if wanted is not None:
        chosen, registry = named_detectors(wanted, registry)
    else:
        chosen = [Component(name=name) for name in calibrated] or Recipe().detectors
    by_name = {component.name: component for component in chosen}
    if not by_name:
        raise UsageError(
            "no detectors given",
            "give at least one detector, or leave out the argument to use the default detectors",
        )
    for name in calibrated.keys() & by_name.keys():
        if by_name[name].options and by_name[name].options != calibrated[name].options:
            raise CalibrationError(
                f"{name} was calibrated with other options: {calibrated[name].options}",
                "leave out the options of the detector, or calibrate the detector again",
            )
    context = Context(device=device_for(device, registry, by_name))
    known = [name for name in calibrated if name in by_name]
    ensemble = build_ensemble(saved, registry, context, known) if saved is not None and known else None
    return ensemble, {
        name: registry.build("detectors", name, component.options, context)
        for name, component in by_name.items()
        if name not in known
    }


def cut_as_calibrated(items: Sequence[Item], saved: CalibrationSet | None) -> tuple[list[Item], list[str]]:
    """Cut texts as those of a calibration were, and say so: a score depends on length, and so does a threshold."""
    from dataclasses import replace

    from paraphrase_rl.text.excerpts import excerpt

    words = saved.calibrations[0].texts.excerpt_words if saved is not None else None
    if words is None:
        return list(items), []
    note = f"texts are cut to their first sentences, at most {words} words, as in the calibration"
    return [replace(item, text=excerpt(item.text, words)) for item in items], [note]


def _score_rows(items: Sequence[Item], decisions: Sequence[Decision]) -> Iterator[ScoreRow]:
    found: list[list[Decision]] = [[] for _ in items]
    for decision in decisions:
        found[decision.index].append(decision)
    for item, of_item in zip(items, found, strict=True):
        for decision in of_item:
            failure = decision.failure
            yield ScoreRow(
                id=item.id,
                detector=decision.detector,
                score=decision.score,
                p_ai=decision.p_ai,
                threshold=decision.threshold,
                verdict=None
                if decision.flagged is None
                else "flagged"
                if decision.flagged
                else "not flagged",
                failure=f"{failure.kind}: {failure.message}" if failure is not None else None,
                no_verdict=decision.no_verdict,
                input=item.columns,
            )
