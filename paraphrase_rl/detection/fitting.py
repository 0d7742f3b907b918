"""Fitting calibrations: detectors built and scored on held-out texts become an ensemble with thresholds and P(AI)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from paraphrase_rl.detection.calibration import Calibration, CalibrationSet
from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Population
from paraphrase_rl.detection.ensemble import (
    COMBINED,
    CalibratedEnsemble,
    Combine,
    Member,
    combine_probabilities,
)
from paraphrase_rl.detection.labels import check_labels
from paraphrase_rl.detection.outside import Profile, profile_of
from paraphrase_rl.detection.probability import ProbabilityMap, fit_probability
from paraphrase_rl.detection.scoring import score_documents
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.threshold import OperatingPoint, operating_point, operating_points
from paraphrase_rl.detection.training_record import Training, training_of
from paraphrase_rl.detection.unseen import leave_out_seen, require_unseen
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.plugin.protocols import Components, Detector
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.stored import select
from paraphrase_rl.types import Document, FloatArray, Scores

FOLDS = 5
"""Folds that the P(AI) of an ensemble is fitted by."""
MOST_OF_A_KIND = 2_000
"""Texts of a kind that a profile is fitted on, at most."""
AGREEMENT = 1e-3
"""Largest difference allowed between a saved threshold and a new one, as a share of the human scores' spread."""


@dataclass(frozen=True, kw_only=True)
class BuiltDetector:
    """A detector to calibrate: its name, options and models, its weight in the mean, and its training if it has one."""

    name: str
    detector: Detector
    options: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    training: Training | None = None


def build_detector(
    registry: Components,
    context: Context,
    name: str,
    options: Mapping[str, Any],
    weight: float | None = None,
) -> BuiltDetector:
    """Build a detector by name; a weight of ``None`` counts as 1.

    Raises:
        PluginError, MissingDependencyError: there is no such detector, or it lacks a package.
        PrlError: its factory raised an error.
    """
    detector = registry.build("detectors", name, options, context)
    return BuiltDetector(
        name=name,
        detector=detector,
        options=options,
        weight=1.0 if weight is None else weight,
        training=training_of(registry, name, options),
    )


def calibrate(
    detectors: Sequence[BuiltDetector],
    documents: Sequence[Document],
    rates: Sequence[float],
    *,
    source: str,
    excerpt_words: int | None = None,
    combine: Combine = "mean",
    needs_probability: bool = True,
    precision: Precision | None = None,
    populations: Sequence[str] | None = None,
) -> CalibratedEnsemble:
    """Score texts with each detector, and fit thresholds and P(AI) of each and of their combination.

    Texts that a detector was trained on, and near duplicates of these, are left out for all detectors. The texts are
    read in parts; what is kept of each is its scores, and its record in what the calibration has seen.

    Args:
        detectors: at least one, names unique.
        documents: held-out texts; those without a label count in the digest alone.
        rates: false positive rates to set thresholds for, the target rate first;
            see :func:`paraphrase_rl.detection.threshold.usual_rates`.
        source: name of the data set that the texts are from.
        excerpt_words: number of words that the texts were cut to; ``None`` = whole texts.
        combine: how P(AI) of the detectors are combined: ``mean`` or ``worst-case``.
        needs_probability: refuse an ensemble without a combined P(AI); False if thresholds are enough.
        precision: precision that the detectors were built with, for the record.
        populations: population of each document, where they are of several: each has thresholds of its own, and the
            highest of them is deployed.

    Raises:
        CalibrationError: too few human texts, also because a detector was trained on them; a rate outside (0, 1), or
            no P(AI) where it is needed.
        DataError: the labels look swapped.
    """
    unseen, trained_on = leave_out_seen(documents, [built.training for built in detectors])
    require_unseen(unseen, documents, trained_on, rates[0], source)
    human, ai = select(unseen, label="human"), select(unseen, label="ai")
    names = _populations_of(unseen, documents, populations, source)
    people, machines = (
        [name for document, name in zip(unseen, names, strict=True) if document.label == label]
        for label in ("human", "ai")
    )
    if needs_probability and not ai:
        raise CalibrationError(
            f"{source} has no AI texts in its calibration split: P(AI) cannot be fitted",
            "use data with texts of both labels",
        )
    texts = CalibrationTexts.of(
        unseen, source=source, excerpt_words=excerpt_words, left_out=len(documents) - len(unseen)
    )
    scorers = {built.name: built.detector for built in detectors}
    human_scores, ai_scores = score_documents(scorers, human), score_documents(scorers, ai)
    kinds = [
        _some(document.text for document, name in zip(some, names, strict=True) if name == population)
        for some, names in ((human, people), (ai, machines))
        for population in dict.fromkeys(names)
    ]
    members = [
        calibrate_detector(
            built,
            human_scores[built.name],
            ai_scores[built.name],
            rates,
            texts,
            people,
            profile_of(built.detector, kinds),
        )
        for built in detectors
    ]
    check_labels(members)
    seen = SeenTexts.of(document.text for part in (human, ai) for document in part)
    ensemble = calibrate_combined(members, human_scores, ai_scores, combine, seen, people)
    ensemble.precision = precision
    if needs_probability:
        ensemble.require_probability()
    return ensemble


def _populations_of(
    unseen: Sequence[Document], documents: Sequence[Document], populations: Sequence[str] | None, source: str
) -> list[str]:
    """Population of each text that is left, which are some of the documents in their order."""
    if populations is None:
        return [source] * len(unseen)
    named = iter(zip(documents, populations, strict=True))
    return [next(name for other, name in named if other == document) for document in unseen]


def _some(texts: Iterable[str]) -> list[str]:
    """Texts at equal distances, so that the profile of any number of texts is fitted in seconds."""
    found = list(texts)
    return found[:: -(-len(found) // MOST_OF_A_KIND) or 1]


def calibrate_detector(
    built: BuiltDetector,
    human: Scores,
    ai: Scores,
    rates: Sequence[float],
    texts: CalibrationTexts,
    populations: Sequence[str] | None = None,
    profile: Profile | None = None,
) -> Member:
    """Fit thresholds and P(AI) of one detector on scores that have been computed.

    Args:
        built: the detector.
        human: its scores of held-out human texts, shape (n,).
        ai: its scores of AI texts, shape (m,); if there are none, it gets no P(AI).
        rates: false positive rates to set thresholds for, the target rate first.
        texts: texts that were scored.
        populations: population of each human text, if they are of several.
        profile: what the texts are like.

    Raises:
        CalibrationError: fewer than two human scores, also of one population, or a rate outside (0, 1).
    """
    calibration = fit_calibration(
        human,
        ai,
        rates,
        detector=built.name,
        texts=texts,
        options=built.options,
        provenance=built.detector.provenance(),
        populations=populations,
        profile=profile,
    )
    return Member(
        name=built.name,
        detector=built.detector,
        calibration=calibration,
        weight=built.weight,
        training=built.training,
    )


def calibrate_each(
    detectors: Sequence[BuiltDetector],
    human: Mapping[str, Scores],
    ai: Mapping[str, Scores],
    rates: Sequence[float],
    texts: CalibrationTexts,
    saved: Mapping[str, Calibration],
) -> tuple[dict[str, Member], dict[str, str]]:
    """Calibrate detectors one by one, so that a detector that cannot be calibrated does not affect the others.

    Args:
        detectors: names unique.
        human: scores of the same held-out human texts, by detector.
        ai: scores of the same AI texts, by detector.
        rates: false positive rates to set thresholds for, the target rate first.
        texts: texts that were scored.
        saved: calibrations by detector that are used unchanged.

    Returns:
        The calibrated detectors by name, and, by name, why each of the others could not be calibrated.
    """
    members: dict[str, Member] = {}
    failures: dict[str, str] = {}
    for built in detectors:
        name = built.name
        if name in saved:
            members[name] = Member(
                name=name,
                detector=built.detector,
                calibration=saved[name],
                weight=built.weight,
                training=built.training,
            )
            continue
        try:
            members[name] = calibrate_detector(built, human[name], ai[name], rates, texts)
        except CalibrationError as error:
            failures[name] = error.one_line
    return members, failures


def combine_members(
    members: Sequence[Member],
    human_scores: Mapping[str, Scores],
    ai_scores: Mapping[str, Scores],
    combine: Combine,
    saved: CalibrationSet | None,
    seen: SeenTexts,
) -> CalibratedEnsemble:
    """Combine calibrated detectors into an ensemble that has a P(AI) and thresholds on it.

    Args:
        members: detectors calibrated on the same texts, for the same rates.
        human_scores: scores of the human texts among them, by detector.
        ai_scores: scores of the AI texts among them, likewise.
        combine: how P(AI) of the detectors are combined: ``mean`` or ``worst-case``.
        saved: an earlier calibration of the same detectors, whose combination is used unchanged.
        seen: record of the texts.

    Raises:
        CalibrationError: no member has power, or there are no thresholds.
    """
    if saved is None:
        ensemble = calibrate_combined(members, human_scores, ai_scores, combine, seen)
    else:
        ensemble = CalibratedEnsemble(members, saved.combine, saved.combined, seen)
    ensemble.require_probability()
    if ensemble.combined is None:
        raise CalibrationError("the calibration has no thresholds on the combined P(AI)")
    return ensemble


def calibrate_combined(
    members: Sequence[Member],
    human_scores: Mapping[str, Scores],
    ai_scores: Mapping[str, Scores],
    combine: Combine = "mean",
    seen: SeenTexts | None = None,
    populations: Sequence[str] | None = None,
) -> CalibratedEnsemble:
    """Combine calibrated detectors, with thresholds on their combination if any of them has power.

    A mean of P(AI) is no P(AI): it is too near to one half. The ensemble's own P(AI) is a curve of its combination,
    fitted on combinations of texts that the detectors' curves were not fitted on (five folds).

    The thresholds are set on the same human texts as the P(AI) curves (two numbers for each detector), so their
    interval is approximate, while that of a single detector is exact.

    Args:
        members: calibrated on the same texts, for the same rates.
        human_scores: of those texts' humans, by detector, each of shape (n,).
        ai_scores: of the AI texts among them, each of shape (m,).
        combine: how P(AI) of the detectors are combined: ``mean`` or ``worst-case``.
        seen: record of the texts.
        populations: population of each human text, if they are of several.

    Raises:
        CalibrationError: fewer than two human texts have a combined P(AI).
    """
    ensemble = CalibratedEnsemble(members, combine, seen=seen)
    if not ensemble.voting:
        return ensemble
    _, human = ensemble.probabilities_of(human_scores)
    first = members[0].calibration
    rates = [point.target_fpr for point in first.points]
    human = replace(human, truncated=())  # the detectors say so
    combined = fit_calibration(
        human, None, rates, detector=COMBINED, texts=first.texts, populations=populations
    )
    ai = ensemble.probabilities_of(ai_scores)[1].values
    known = ai[np.isfinite(ai)]
    if known.size:
        combined = combined.model_copy(
            update={
                "n_ai": known.size,
                "failed_ai": ai.size - known.size,
                "flagged_ai": int(np.count_nonzero(known > combined.target.threshold)),
                "probability": _combined_probability(ensemble, human_scores, ai_scores),
            }
        )
    return CalibratedEnsemble(members, combine, combined, seen)


def _combined_probability(
    ensemble: CalibratedEnsemble, human: Mapping[str, Scores], ai: Mapping[str, Scores]
) -> ProbabilityMap | None:
    """The curve of the combination, by cross-fitting; ``None`` if there are too few texts for it."""
    sides = [
        np.array([scores[m.name].values for m in ensemble.voting], dtype=np.float64) for scores in (human, ai)
    ]
    combined = [np.full(side.shape[1], np.nan) for side in sides]
    weights = np.array([m.weight for m in ensemble.voting])
    for fold in range(FOLDS):
        held = [np.arange(side.shape[1]) % FOLDS == fold for side in sides]
        votes: list[list[FloatArray]] = [[], []]
        for member in range(len(ensemble.voting)):
            kept = [side[member, ~out] for side, out in zip(sides, held, strict=True)]
            humans, ais = (scores[np.isfinite(scores)] for scores in kept)
            if not humans.size or not ais.size:
                return None
            curve = fit_probability(humans, ais)
            for of, side, out in zip(votes, sides, held, strict=True):
                of.append(curve(side[member, out]))
        for values, of, out in zip(combined, votes, held, strict=True):
            values[out] = combine_probabilities(np.array(of), weights, ensemble.combine)
    humans, ais = (values[np.isfinite(values)] for values in combined)
    return fit_probability(humans, ais) if humans.size and ais.size else None


def fit_calibration(
    human: Scores,
    ai: Scores | None,
    target_fprs: Sequence[float],
    *,
    detector: str,
    texts: CalibrationTexts,
    options: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None,
    populations: Sequence[str] | None = None,
    profile: Profile | None = None,
) -> Calibration:
    """Fit thresholds on human scores, and P(AI) on human and AI scores if there are AI scores.

    Texts that could not be scored are left out and counted.

    Args:
        human: scores of held-out human texts.
        ai: scores of AI texts, or ``None``.
        target_fprs: false positive rates, the target rate first.
        detector: its name.
        texts: description of the texts.
        options: the detector's options.
        provenance: revisions or digests of the detector's models.
        populations: population of each human text; with several, the threshold of each rate is the highest of those
            that the populations would have alone, so that none of them is flagged more often than asked for.
        profile: what the texts are like.

    Raises:
        CalibrationError: fewer than two human scores, also of one population, or a rate outside (0, 1).
    """
    human_scores = human.values[human.scored]
    ai_scores = ai.values[ai.scored] if ai is not None else np.empty(0)
    if human_scores.size < 2:
        first = f"; the first failure: {human.failures[0].message}" if human.failures else ""
        counted = f"{human_scores.size} of {human.values.size}"
        raise CalibrationError(
            f"{detector}: only {counted} human calibration texts have a score{first}",
            "calibrate on data with more human texts in its calibration split",
        )
    points = operating_points(human_scores, target_fprs)
    several: tuple[Population, ...] = ()
    if populations is not None and len(set(populations)) > 1:
        points, several = _of_populations(human, populations, target_fprs, detector)
    return Calibration(
        detector=detector,
        options=dict(options or {}),
        provenance=dict(provenance or {}),
        texts=texts,
        n_human=int(human_scores.size),
        n_ai=int(ai_scores.size),
        failed_human=len(human.failures),
        failed_ai=len(ai.failures) if ai is not None else 0,
        truncated=len(human.truncated) + (len(ai.truncated) if ai is not None else 0),
        flagged_ai=int(np.count_nonzero(ai_scores > points[0].threshold)) if ai_scores.size else None,
        points=points,
        probability=fit_probability(human_scores, ai_scores) if ai_scores.size else None,
        populations=several,
        profile=profile,
    )


def _of_populations(
    human: Scores, populations: Sequence[str], target_fprs: Sequence[float], detector: str
) -> tuple[tuple[OperatingPoint, ...], tuple[Population, ...]]:
    """The deployed operating points, and each population with its own."""
    own: dict[str, tuple[FloatArray, tuple[OperatingPoint, ...]]] = {}
    for name in dict.fromkeys(populations):
        among = np.array([population == name for population in populations]) & human.scored
        scores = human.values[among]
        if scores.size < 2:
            raise CalibrationError(
                f"{detector}: only {scores.size} human calibration texts of {name} have a score",
                "leave out this data set, or give more human texts of it",
            )
        own[name] = scores, operating_points(scores, target_fprs)
    deployed = tuple(
        max(points, key=lambda point: point.threshold)
        for points in zip(*(points for _, points in own.values()), strict=True)
    )
    return deployed, tuple(
        Population(
            name=name,
            n_human=int(scores.size),
            points=points,
            flagged=tuple(int(np.count_nonzero(scores > point.threshold)) for point in deployed),
        )
        for name, (scores, points) in own.items()
    )


def disagreement(saved: Calibration, human: Scores) -> str:
    """Return a note if a saved threshold differs from that of new scores of the same texts, else an empty string."""
    values = human.values[human.scored]
    if values.size < 2:
        return f"{saved.detector}: its calibration texts cannot be scored any more, so there are no intervals"
    here = operating_point(values, saved.target.target_fpr).threshold
    if abs(here - saved.target.threshold) <= AGREEMENT * max(float(values.std()), 1e-12):
        return ""
    return (
        f"{saved.detector}: its scores here set the threshold at {here:.6g}, those of the run at "
        f"{saved.target.threshold:.6g}, which is used; the device or the version of a library differs"
    )
