"""The detectors of an evaluation: built, calibrated on clean held-out human texts, some of them an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paraphrase_rl.detection.calibration import (
    Calibration,
    CalibrationSet,
    CalibrationTexts,
    fit_calibration,
)
from paraphrase_rl.detection.ensemble import (
    COMBINED,
    CalibratedEnsemble,
    Member,
    build_calibrated,
    calibrate_combined,
)
from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.errors import CalibrationError, EvaluationError, PrlError, one_line
from paraphrase_rl.evaluation.cache import Cache, CachedDetector, key_of
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.evaluation.results import DetectorInfo
from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Pace, Report
from paraphrase_rl.recipe.schema import Component
from paraphrase_rl.types import Scores

_WITHOUT_RUN = "without the run an evaluation makes its own calibration: --config and --out"
CHUNK = 64
"""Texts scored by every detector before the next are, so that those on one language model share its pass."""
AGREEMENT = 1e-3
"""Thresholds of the run and of the evaluation may differ by so much of the human scores' spread."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One detector; ``member`` is ``None`` where ``info.failure`` says why."""

    info: DetectorInfo
    member: Member | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The detectors of an evaluation.

    Attributes:
        columns: those trained against in the order of the recipe, then the others.
        ensemble: of those trained against, with thresholds; ``None`` where ``combined.failure`` says why.
        combined: what the tables say about it.
        notes: what a reader of the results must know.
    """

    columns: tuple[Column, ...]
    ensemble: CalibratedEnsemble | None
    combined: DetectorInfo
    notes: tuple[str, ...]

    @property
    def infos(self) -> list[DetectorInfo]:
        """All detectors, the ensemble last."""
        return [*(column.info for column in self.columns), self.combined]

    @property
    def ensemble_key(self) -> str:
        """Digest of what the ensemble's P(AI) depends on; empty without an ensemble."""
        if self.ensemble is None:
            return ""
        members = [
            (m.name, m.weight, m.calibration.options, m.calibration.provenance, m.calibration.probability)
            for m in self.ensemble.members
        ]
        return key_of(
            self.ensemble.combine, [(*plain, curve and curve.model_dump()) for *plain, curve in members]
        )

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """Of all that could be calibrated, the ensemble among them."""
        found = {column.info.name: column.member.calibration for column in self.columns if column.member}
        if self.ensemble is not None and self.ensemble.combined is not None:
            found[COMBINED] = self.ensemble.combined
        return found

    def scores(self, texts: Sequence[str], report: Report) -> dict[str, Scores]:
        """Scores by detector, each of shape (N,); P(AI) for the ensemble. Those that failed are left out."""
        members = [column.member for column in self.columns if column.member]
        warm([member.detector for member in members], texts, report)
        found = {member.name: member.detector.score(texts) for member in members}
        if self.ensemble is not None:
            found[COMBINED] = self.ensemble.probabilities_of(found)[1]
        return found

    def uncached(self) -> CalibratedEnsemble | None:
        """The ensemble for rewriters that ask it about countless drafts, which are not worth remembering."""
        if self.ensemble is None:
            return None
        members = [
            replace(m, detector=m.detector.detector) if isinstance(m.detector, CachedDetector) else m
            for m in self.ensemble.members
        ]
        return CalibratedEnsemble(members, self.ensemble.combine, self.ensemble.combined)

    def to_file(self, path: Path) -> None:
        """Keep the calibrations; held-out detectors have weight 0, which is no vote in the ensemble."""
        members = [column.member for column in self.columns if column.member]
        if members:
            CalibrationSet(
                calibrations=tuple(m.calibration for m in members),
                weights=tuple(
                    c.member.weight if c.info.trained_against else 0.0 for c in self.columns if c.member
                ),
                combine=self.ensemble.combine if self.ensemble is not None else "mean",
                combined=self.ensemble.combined if self.ensemble is not None else None,
            ).write(path)


def known(detectors: Sequence[Detector], texts: Sequence[str]) -> int:
    """How many scores of the texts are in the cache already."""
    return sum(detector.known(texts) for detector in detectors if isinstance(detector, CachedDetector))


def warm(detectors: Sequence[Detector], texts: Sequence[str], report: Report) -> None:
    """Score texts chunk by chunk, all detectors on each; the scores are in the cache afterwards."""
    pace = Pace(report)
    for start in range(0, len(texts), CHUNK):
        for detector in detectors:
            detector.score(texts[start : start + CHUNK])
        done = start + CHUNK
        pace.at(done, len(texts), f"{done} of {len(texts)} texts scored")


def assemble(
    plan: Plan,
    held_out: Sequence[Component],
    registry: Registry,
    cache: Cache,
    report: Report,
) -> Panel:
    """Build and calibrate the detectors.

    Those of a run keep its calibration; the others are calibrated on the same texts. What fails is a column with its
    reason. An ensemble of which a member failed is none: its P(AI) would be of other detectors than trained against.

    Raises:
        EvaluationError: the texts are not those of the run's calibration.
    """
    context = Context(device=plan.device, run=plan.run)
    try:
        kept = CalibrationSet.read(plan.run / "calibration.json") if plan.run is not None else None
    except CalibrationError as error:  # `prl calibrate` would not mend a run
        raise CalibrationError(error.message, _WITHOUT_RUN) from error
    calibration_texts = CalibrationTexts.of(
        plan.corpus.select(split="calibration"),
        source=plan.corpus.source,
        excerpt_words=plan.recipe.data.excerpt_words,
    )
    if kept is not None:
        _same_texts(plan, kept, calibration_texts)
    of_run = {c.detector: c for c in kept.calibrations} if kept is not None else {}
    columns: list[Column] = []
    detectors: dict[str, CachedDetector] = {}
    trained = len(plan.recipe.detectors)
    for position, entry in enumerate((*plan.recipe.detectors, *held_out)):
        trained_against = position < trained
        try:
            if trained_against and kept is not None:
                if entry.name not in of_run:
                    raise CalibrationError(f"{plan.run} has no calibration of {entry.name}")
                built = build_calibrated(of_run[entry.name], registry, context)
            else:
                built = registry.build("detectors", entry.name, entry.options, context)
            detectors[entry.name] = CachedDetector(entry.name, built, entry.options, cache)
            failure = None
        except PrlError as error:
            of_calibration = isinstance(error, CalibrationError) and kept is not None
            failure = f"{error.message}; {_WITHOUT_RUN}" if of_calibration else error.one_line
        except Exception as error:
            failure = one_line(error)
        columns.append(Column(info=_info(entry, trained_against, registry, detectors, failure)))
    texts = [d.text for d in plan.corpus.select(split="calibration") if d.label is not None]
    cached = known(list(detectors.values()), texts)
    report(
        f"calibrate: {len(texts)} texts x {len(detectors)} detectors ({', '.join(detectors)}), "
        f"{cached} of {len(texts) * len(detectors)} scores cached"
    )
    warm(list(detectors.values()), texts, report)
    columns = [_calibrated(plan, column, detectors, of_run, calibration_texts) for column in columns]
    notes = [note for column in columns if (note := _disagreement(plan, column, kept))]
    ensemble, failure = _ensemble(plan, columns[:trained], kept)
    combined = DetectorInfo(name=COMBINED, family=COMBINED, trained_against=True, failure=failure)
    if ensemble is not None:
        notes += ensemble.warnings()
    return Panel(columns=tuple(columns), ensemble=ensemble, combined=combined, notes=tuple(notes))


def _info(
    entry: Component,
    trained_against: bool,
    registry: Registry,
    detectors: Mapping[str, CachedDetector],
    failure: str | None,
) -> DetectorInfo:
    try:
        family = registry.spec("detectors", entry.name).family
    except PrlError:
        family = "unknown"
    provenance = detectors[entry.name].provenance() if entry.name in detectors else {}
    return DetectorInfo(
        name=entry.name,
        family=family,
        trained_against=trained_against,
        options=entry.options,
        provenance=dict(provenance),
        failure=failure,
    )


def _calibrated(
    plan: Plan,
    column: Column,
    detectors: Mapping[str, CachedDetector],
    of_run: Mapping[str, Calibration],
    texts: CalibrationTexts,
) -> Column:
    name = column.info.name
    if name not in detectors:
        return column
    entry = next((d for d in plan.recipe.detectors if d.name == name), None)
    weight = 1.0 if entry is None or entry.weight is None else entry.weight
    calibration = of_run.get(name) if column.info.trained_against else None
    if calibration is None:
        human, ai = (
            detectors[name].score([d.text for d in plan.corpus.select(split="calibration", label=label)])
            for label in ("human", "ai")
        )
        try:
            calibration = fit_calibration(
                human,
                ai,
                plan.target_fprs,
                detector=name,
                texts=texts,
                options=column.info.options,
                provenance=column.info.provenance,
            )
        except CalibrationError as error:
            return Column(info=column.info.model_copy(update={"failure": error.one_line}))
    return Column(
        info=column.info,
        member=Member(name=name, detector=detectors[name], calibration=calibration, weight=weight),
    )


def _ensemble(
    plan: Plan, columns: Sequence[Column], kept: CalibrationSet | None
) -> tuple[CalibratedEnsemble | None, str | None]:
    """The ensemble of the recipe's detectors, or why there is none."""
    if failed := [c.info for c in columns if c.info.failure]:
        return None, f"its member {failed[0].name} failed: {failed[0].failure}"
    members = [column.member for column in columns if column.member]
    try:
        if kept is not None:
            ensemble = CalibratedEnsemble(members, kept.combine, kept.combined)
        else:
            humans = [d.text for d in plan.calibration]
            scores = {member.name: member.detector.score(humans) for member in members}
            ensemble = calibrate_combined(members, scores, plan.recipe.ensemble.combine)
        ensemble.require_probability()
    except CalibrationError as error:
        return None, error.one_line
    if ensemble.combined is None:
        return None, "the calibration has no thresholds on the combined P(AI)"
    return ensemble, None


def _same_texts(plan: Plan, kept: CalibrationSet, texts: CalibrationTexts) -> None:
    if texts.digest != kept.calibrations[0].texts.digest:
        raise EvaluationError(
            f"the calibration texts of {plan.corpus.source} are not those that {plan.run} was calibrated on",
            f"bring the same texts back; {_WITHOUT_RUN}",
        )


def _disagreement(plan: Plan, column: Column, kept: CalibrationSet | None) -> str:
    """A note where the run's threshold is not that of the scores computed here."""
    if kept is None or column.member is None or not column.info.trained_against:
        return ""
    values = column.member.detector.score([d.text for d in plan.calibration]).values
    values = values[np.isfinite(values)]
    if values.size < 2:
        return (
            f"{column.info.name}: its calibration texts cannot be scored any more, so there are no intervals"
        )
    point = column.member.calibration.target
    here = operating_point(values, point.target_fpr).threshold
    if abs(here - point.threshold) <= AGREEMENT * max(float(values.std()), 1e-12):
        return ""
    return (
        f"{column.info.name}: its scores here set the threshold at {here:.6g}, those of the run at "
        f"{point.threshold:.6g}, which is used: another device or another version of a library"
    )
