"""Detectors of an evaluation, built and calibrated on held-out human texts; some of them form the ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paraphrase_rl.detection.calibration import Calibration, CalibrationSet
from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.detection.ensemble import COMBINED, CalibratedEnsemble, Member, build_calibrated
from paraphrase_rl.detection.fitting import (
    BuiltDetector,
    build_detector,
    calibrate_each,
    combine_members,
    disagreement,
)
from paraphrase_rl.detection.labels import check_labels
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.training_record import Training, training_of
from paraphrase_rl.errors import CalibrationError, EvaluationError, PrlError, one_line
from paraphrase_rl.evaluation.cache import Cache
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.evaluation.results import DetectorInfo
from paraphrase_rl.evaluation.score_table import ScoreTable
from paraphrase_rl.evaluation.seen import mark_seen
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.schema import Component, Weighted
from paraphrase_rl.types import Scores

_WITHOUT_RUN = "evaluate without the run, on a new calibration, with --config and --out"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One detector of the panel.

    Attributes:
        info: description in the tables; its ``failure`` says why the other attributes are ``None``.
        built: the detector.
        of_run: calibration of the detector in the run that is evaluated.
        member: the calibrated detector.
    """

    info: DetectorInfo
    built: BuiltDetector | None = None
    of_run: Calibration | None = None
    member: Member | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The detectors of an evaluation.

    Attributes:
        columns: detectors trained against, in the order of the recipe, then the others.
        table: scores by the detectors that could be calibrated.
        ensemble: ensemble of the detectors trained against, with thresholds; if ``None``, ``combined.failure`` says
            why.
        combined: description of the ensemble in the tables.
        notes: what a reader of the results must know.
        trainings: what is known of the training of those other detectors that are trained; a text that one of them was
            trained on has no score by it. Texts that the ensemble's detectors were trained on are left out before.
        seen: record of the calibration texts.
        fixed: detectors, the ensemble among them, whose thresholds are those of a calibration of other texts:
            resamples do not set them again.
    """

    columns: tuple[Column, ...]
    table: ScoreTable
    ensemble: CalibratedEnsemble | None
    combined: DetectorInfo
    notes: tuple[str, ...]
    trainings: Mapping[str, Training]
    seen: SeenTexts
    fixed: frozenset[str] = frozenset()

    @property
    def infos(self) -> list[DetectorInfo]:
        """All detectors, the ensemble last."""
        return [*(column.info for column in self.columns), self.combined]

    @property
    def ensemble_identity(self) -> object:
        """Plain data that says what the ensemble's P(AI) depends on; ``None`` without an ensemble."""
        if self.ensemble is None:
            return None
        members = [
            (m.name, m.weight, m.calibration.options, m.calibration.provenance, m.calibration.probability)
            for m in self.ensemble.members
        ]
        return self.ensemble.combine, [(*plain, curve and curve.model_dump()) for *plain, curve in members]

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """Calibrations of all detectors that could be calibrated, the ensemble included."""
        found = {column.info.name: column.member.calibration for column in self.columns if column.member}
        if self.ensemble is not None and self.ensemble.combined is not None:
            found[COMBINED] = self.ensemble.combined
        return found

    def score(self, texts: Sequence[str], what: str) -> dict[str, Scores]:
        """Score texts with each detector, shape (N,); P(AI) for the ensemble. Detectors that failed are left out."""
        found = self.table.score(texts, what)
        if self.ensemble is not None:
            found[COMBINED] = self.ensemble.probabilities_of(found)[1]
        return found

    def to_file(self, path: Path, precision: Precision | None) -> None:
        """Save the calibrations; held-out detectors have weight 0, so that they do not count in the ensemble.

        Args:
            path: the file.
            precision: precision of the products that scores came from; ``None`` = the device's usual.
        """
        members = [column.member for column in self.columns if column.member]
        if members:
            CalibrationSet(
                calibrations=tuple(m.calibration for m in members),
                weights=tuple(
                    c.member.weight if c.info.trained_against else 0.0 for c in self.columns if c.member
                ),
                combine=self.ensemble.combine if self.ensemble is not None else "mean",
                combined=self.ensemble.combined if self.ensemble is not None else None,
                seen=self.seen,
                precision=precision,
            ).write(path)


def assemble(
    plan: Plan, held_out: Sequence[Component], context: Context, cache: Cache, report: Report
) -> Panel:
    """Build the detectors, score the calibration texts, and calibrate.

    Detectors of a run keep the run's calibration; the others are calibrated on the same texts. A detector that fails
    is a column with the reason. If a member of the ensemble fails, there is no ensemble: its P(AI) would be that of
    other detectors than those trained against.

    Raises:
        CalibrationError: the run's calibration cannot be read.
        EvaluationError: the texts are not those of the run's calibration.
    """
    documents = plan.corpus.select(split="calibration")
    described = CalibrationTexts.of(
        documents, source=plan.corpus.source, excerpt_words=plan.recipe.data.excerpt_words
    )
    saved = _calibration_of(plan, described)
    columns = [_build(entry, context, trained_against=True, saved=saved) for entry in plan.recipe.detectors]
    columns += [_build(entry, context, trained_against=False, saved=None) for entry in held_out]

    documents = [d for d in documents if d.label is not None]
    built = [column.built for column in columns if column.built]
    held_out_trainings = {
        column.info.name: column.built.training
        for column in columns
        if column.built and column.built.training and not column.info.trained_against
    }
    scores = mark_seen(
        ScoreTable(built, cache, report).score(
            [d.text for d in documents], f"calibrate ({', '.join(b.name for b in built)})"
        ),
        range(len(documents)),
        documents,
        held_out_trainings,
    )
    human, ai = (
        {
            name: found.take([i for i, d in enumerate(documents) if d.label == label])
            for name, found in scores.items()
        }
        for label in ("human", "ai")
    )
    of_run = {column.info.name: column.of_run for column in columns if column.of_run}
    members, failures = calibrate_each(built, human, ai, plan.target_fprs, described, of_run)
    check_labels(members.values())
    columns = [
        replace(
            column,
            info=column.info.model_copy(
                update={"failure": failures.get(column.info.name, column.info.failure)}
            ),
            member=members.get(column.info.name),
        )
        for column in columns
    ]
    against = [column for column in columns if column.info.trained_against]
    seen = SeenTexts.of(d.text for d in documents)
    if plan.deployed is not None and saved is not None and saved.seen is not None:
        seen = saved.seen
    ensemble, failure = None, next((c.info for c in against if c.info.failure), None)
    why = f"its member {failure.name} failed: {failure.failure}" if failure else None
    if failure is None:
        try:
            ensemble = combine_members(
                [c.member for c in against if c.member],
                human,
                ai,
                plan.recipe.ensemble.combine,
                saved,
                seen,
            )
        except CalibrationError as error:
            why = error.one_line
    return Panel(
        columns=tuple(columns),
        table=ScoreTable(
            [column.built for column in columns if column.built and column.member], cache, report
        ),
        ensemble=ensemble,
        combined=DetectorInfo(name=COMBINED, family=COMBINED, trained_against=True, failure=why),
        trainings=held_out_trainings,
        seen=seen,
        fixed=frozenset({*of_run, COMBINED}) if plan.deployed is not None else frozenset(),
        notes=(
            *((f"thresholds and P(AI) are those of {plan.deployed}",) if plan.deployed is not None else ()),
            *_seen_notes(scores),
            *(note for training in held_out_trainings.values() for note in training.notes),
            *(
                note
                for c in of_run.values()
                if plan.run is not None
                and c.detector in human
                and (note := disagreement(c, human[c.detector]))
            ),
            *(ensemble.warnings() if ensemble is not None else ()),
        ),
    )


def _seen_notes(scores: Mapping[str, Scores]) -> list[str]:
    """Say of how many calibration texts a detector has no score because it was trained on them."""
    counts = {name: sum(f.kind == "seen" for f in found.failures) for name, found in scores.items()}
    return [
        f"{name} was trained on {count} of {scores[name].values.size} calibration texts or on near duplicates of them: "
        "they count as failed for it"
        for name, count in counts.items()
        if count
    ]


def _calibration_of(plan: Plan, texts: CalibrationTexts) -> CalibrationSet | None:
    """The calibration that is used as it is; that of a run must be of the same texts."""
    run = plan.run
    if run is None:
        if plan.deployed is None:
            return None
        saved = CalibrationSet.read(plan.deployed)
        for calibration in saved.calibrations:
            calibration.point(plan.recipe.calibration.target_fpr)
        return saved
    try:
        saved = CalibrationSet.read(run / "calibration.json")
    except CalibrationError as error:  # `prl calibrate` would not mend a run
        raise CalibrationError(error.message, _WITHOUT_RUN) from error
    if texts.digest != saved.calibrations[0].texts.digest:
        raise EvaluationError(
            f"the calibration texts of {texts.source} are not those that {run} was calibrated on",
            f"restore the same texts, or {_WITHOUT_RUN}",
        )
    return saved


def _build(
    entry: Component,
    context: Context,
    *,
    trained_against: bool,
    saved: CalibrationSet | None,
) -> Column:
    """A detector by name, or as it was calibrated for a run."""
    built, calibration, failure = None, None, None
    weight = entry.weight if isinstance(entry, Weighted) and entry.weight is not None else 1.0
    try:
        if saved is None:
            built = build_detector(context.components(), context, entry.name, entry.options, weight)
        else:
            calibration = saved.of(entry.name)
            if dict(entry.options) != calibration.options:
                raise CalibrationError(f"it was calibrated with other options: {calibration.options}")
            detector = build_calibrated(calibration, context.components(), context)
            built = BuiltDetector(
                name=entry.name,
                detector=detector,
                options=entry.options,
                weight=1.0 if weight is None else weight,
                training=training_of(context.components(), entry.name, calibration.built_with),
            )
    except PrlError as error:
        of_run = saved is not None and isinstance(error, CalibrationError)
        failure = f"{error.message}; {_WITHOUT_RUN}" if of_run else error.one_line
    except Exception as error:
        failure = one_line(error)
    try:
        family = context.components().spec("detectors", entry.name).family
    except PrlError:
        family = "unknown"
    info = DetectorInfo(
        name=entry.name,
        family=family,
        trained_against=trained_against,
        options=entry.options,
        provenance=dict(built.detector.provenance()) if built else {},
        failure=failure,
    )
    return Column(info=info, built=built, of_run=calibration)
