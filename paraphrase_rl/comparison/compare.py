"""Figures of all detectors of a comparison, ranked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from paraphrase_rl.comparison import figures
from paraphrase_rl.comparison.figures import CrossFitted, Sample
from paraphrase_rl.comparison.folds import Folds, Mask
from paraphrase_rl.comparison.records import (
    By,
    Comparison,
    DetectorFigures,
    Gap,
    PartFigures,
    RateFigures,
    TestedScores,
)
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.detection.labels import ENOUGH, swapped_labels
from paraphrase_rl.detection.probability import ProbabilityMap
from paraphrase_rl.detection.roc import units_of
from paraphrase_rl.detection.threshold import allowed_above
from paraphrase_rl.statistics.bootstrap import Flags, resample, too_few_humans
from paraphrase_rl.statistics.fairness import groups_of
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.text.length import count_words
from paraphrase_rl.types import Document

RATES = (0.001, 0.01, 0.05)
"""False positive rates that are always shown, besides the asked one."""
LENGTHS = (50, 100, 200, 400)
"""Bounds of the bands of lengths, in words."""
FEWEST_OF_A_PART = 5
"""Groups, domains and bands with fewer human texts are left out, and counted in a note."""


def compare(
    scored: Sequence[CrossFitted],
    documents: Sequence[Document],
    folds: Folds,
    *,
    source: str,
    target_fpr: float,
    resamples: int,
    seed: int,
) -> Comparison:
    """Compute the figures of every detector and of the ensemble of those that have scores, and rank the detectors.

    Args:
        scored: scores of the detectors, from :func:`~paraphrase_rl.comparison.scoring.cross_fitted`.
        documents: N labelled texts.
        folds: their folds.
        source: name of the texts.
        target_fpr: rate that the ranking is at, in (0, 1).
        resamples: number of resamples of the intervals.
        seed: of the resamples.

    Raises:
        CalibrationError: a fold has fewer than two human texts with a score.
        DataError: a group of writers is called "all".
    """
    human = np.array([d.label == "human" for d in documents])
    sample = Sample(human, folds, resample(units_of(documents), resamples, seed))
    rates = tuple(dict.fromkeys((target_fpr, *RATES)))
    usable = [one for one in scored if not one.reason and np.isfinite(one.scores).any()]
    everyone = [*usable]
    maps = {one.name: figures.probability_maps(one, sample) for one in usable}
    if len(usable) > 1:
        everyone.append(figures.ensemble_of(usable, maps, sample, COMBINED))
        maps[COMBINED] = figures.probability_maps(everyone[-1], sample)
    flags = {one.name: {rate: figures.flags_at(one, sample, rate) for rate in rates} for one in everyone}
    at_target = {name: of[target_fpr][0] for name, of in flags.items()}
    found = [_figures(one, maps[one.name], sample, flags[one.name], rates) for one in everyone]
    best = max(found[: len(usable)], key=_rank).detector if usable else None
    found = [_to_best(one, best, at_target, sample) for one in sorted(found, key=_rank, reverse=True)]
    found += [_nothing(one) for one in scored if one not in usable]
    parts, notes = _parts(everyone, documents, sample, at_target)
    gaps = tuple(_gaps(parts, everyone, documents, sample, at_target, target_fpr))
    return Comparison(
        source=source,
        human=int(human.sum()),
        ai=int((~human).sum()),
        folds=folds.count,
        target_fpr=target_fpr,
        detectors=tuple(found),
        parts=tuple(parts),
        gaps=gaps,
        scores=tuple(_tested(one, sample) for one in everyone),
        notes=(*_notes(found, best), *notes, *_gaps_without_intervals(gaps, target_fpr)),
    )


def _rank(found: DetectorFigures) -> tuple[float, float]:
    """TPR at the asked rate, then AUROC."""
    return found.points[0].tpr.value or 0.0, found.auroc.value or 0.0


def _to_best(
    found: DetectorFigures, best: str | None, at_target: Mapping[str, Flags], sample: Sample
) -> DetectorFigures:
    if best is None or found.detector == best:
        return found
    to_best = figures.difference(at_target[found.detector], at_target[best], sample)
    return found.model_copy(update={"to_best": to_best})


def _figures(
    one: CrossFitted,
    maps: Sequence[ProbabilityMap | None],
    sample: Sample,
    flags: Mapping[float, tuple[Flags, int]],
    rates: Sequence[float],
) -> DetectorFigures:
    trust = figures.reliability(figures.tested_probabilities(one, maps, sample), sample.human)
    n = sample.human.size
    return DetectorFigures(
        detector=one.name,
        trained=one.trained,
        points=tuple(
            RateFigures(
                target_fpr=rate,
                tpr=found.share(~sample.human, sample.drawn),
                fpr=found.as_set.share(sample.human, sample.drawn),
                allowed=max(0, allowed_above(rate, fewest)),
                calibration_humans=fewest,
            )
            for rate, (found, fewest) in ((rate, flags[rate]) for rate in rates)
        ),
        auroc=figures.auroc_of(one, sample),
        brier=None if math.isnan(trust.brier) else trust.brier,
        ece=None if math.isnan(trust.ece) else trust.ece,
        bins=trust.bins,
        texts=n,
        failed=one.failures,
        truncated=one.truncated,
        seconds_per_1000=None if math.isnan(one.seconds) else 1000.0 * one.seconds / n,
    )


def _tested(one: CrossFitted, sample: Sample) -> TestedScores:
    values = one.scores[sample.folds.of, np.arange(sample.human.size)]
    known = np.isfinite(values)
    return TestedScores(
        detector=one.name,
        human=tuple(values[known & sample.human].tolist()),
        ai=tuple(values[known & ~sample.human].tolist()),
    )


def _nothing(one: CrossFitted) -> DetectorFigures:
    return DetectorFigures(
        detector=one.name,
        trained=one.trained,
        auroc=Estimate(value=None, n=0),
        texts=one.scores.shape[1],
        failed=one.scores.shape[1],
        reason=one.reason or "it has a score for no text",
    )


def _parts(
    everyone: Sequence[CrossFitted],
    documents: Sequence[Document],
    sample: Sample,
    flags: Mapping[str, Flags],
) -> tuple[list[PartFigures], list[str]]:
    found, small = [], 0
    for by, value, chosen in _members(documents):
        if int((chosen & sample.human).sum()) < FEWEST_OF_A_PART:
            small += 1
            continue
        found += [
            PartFigures(
                detector=one.name,
                by=by,
                value=value,
                fpr=flags[one.name].as_set.share(chosen & sample.human, sample.drawn),
                tpr=flags[one.name].share(chosen & ~sample.human, sample.drawn),
            )
            for one in everyone
        ]
    note = f"{small} groups, domains or lengths with under {FEWEST_OF_A_PART} human texts are not shown"
    return found, [note] if small else []


def _members(documents: Sequence[Document]) -> Iterator[tuple[By, str, Mask]]:
    for by, values in (
        ("group", [d.group for d in documents]),
        ("domain", [d.domain for d in documents]),
        ("length", [band(count_words(d.text)) for d in documents]),
    ):
        known = {value for value in values if value is not None}
        if len(known) > 1 or (by == "group" and known):
            for value in sorted(
                known, key=lambda value: (int(value.split()[0]) if by == "length" else 0, value)
            ):
                yield by, value, np.array([v == value for v in values])  # type: ignore[misc]


def band(words: int) -> str:
    """Return the band of lengths of a text, such as ``100 to 199 words``."""
    low = max(bound for bound in (0, *LENGTHS) if bound <= words)
    high = next((bound for bound in LENGTHS if bound > words), None)
    return f"{low} to {high - 1} words" if high is not None else f"{low} words or more"


def _gaps(
    parts: Sequence[PartFigures],
    everyone: Sequence[CrossFitted],
    documents: Sequence[Document],
    sample: Sample,
    flags: Mapping[str, Flags],
    rate: float,
) -> Iterator[Gap]:
    groups_of([d for d in documents if d.label == "human"])  # refuses a group called "all"
    for one in everyone:
        shares = {part.value: part.fpr for part in parts if part.by == "group" and part.detector == one.name}
        if len(shares) < 2:
            continue
        known = [g for g, share in shares.items() if share.value is not None]
        if len(known) < 2:
            continue
        highest = max(known, key=lambda g: shares[g].value or 0.0)
        lowest = min(known, key=lambda g: shares[g].value or 0.0)
        if highest == lowest:
            continue
        high, low = (np.array([d.group == g for d in documents]) & sample.human for g in (highest, lowest))
        gap = figures.group_gap(flags[one.name], high, low, sample, rate)
        yield Gap(detector=one.name, highest=highest, lowest=lowest, gap=gap)


def _gaps_without_intervals(gaps: Sequence[Gap], rate: float) -> list[str]:
    without = [gap.gap.n for gap in gaps if gap.gap.low is None]
    if not without:
        return []
    return [
        f"n too small for {100 * rate:g} %: no interval of a gap of two groups with {min(without)} human texts, it "
        f"needs {figures.fewest_of_gap(rate)}"
    ]


def _swapped(found: Sequence[DetectorFigures]) -> list[str]:
    """Say that the labels look swapped, if they do; detectors trained inside the folds learnt them as they are."""
    said = swapped_labels(
        (one.detector, one.auroc.value, one.trained)
        for one in found
        if one.detector != COMBINED and one.auroc.value is not None and one.auroc.n >= ENOUGH
    )
    return [f"{said}; check which label means what (label_values)"] if said else []


def _notes(found: Sequence[DetectorFigures], best: str | None) -> list[str]:
    notes = _swapped(found)
    same = [one.detector for one in found if one.to_best is not None and not one.distinguishable]
    if best is not None and same:
        notes.append(f"not distinguishable from {best} on these texts: {', '.join(same)}")
    notes += _thresholds(found)
    notes += _without_intervals(found)
    cut = [f"{one.detector} {one.truncated}" for one in found if one.truncated]
    if cut:
        notes.append(f"of {found[0].texts} texts not read whole: {', '.join(cut)}")
    members = [one for one in found if one.points and one.detector != COMBINED]
    ensemble = next((one for one in found if one.detector == COMBINED), None)
    if ensemble is not None and members and ensemble.points[0].tpr.value is not None:
        top = max(members, key=lambda one: one.points[0].tpr.value or 0.0)
        if (top.points[0].tpr.value or 0.0) > ensemble.points[0].tpr.value:
            notes.append(f"the ensemble does worse than {top.detector} alone")
    return notes


def _thresholds(found: Sequence[DetectorFigures]) -> list[str]:
    """Say on how many human texts the thresholds of the ranking rest."""
    notes = []
    for trained in (False, True):
        points = [one.points[0] for one in found if one.trained == trained and one.points]
        if points:
            least = min(points, key=lambda point: point.calibration_humans)
            notes.append(
                f"{'detectors trained here: ' if trained else ''}a threshold for {100 * least.target_fpr:g} % has "
                f"{least.allowed} of {least.calibration_humans} human texts above it; the smallest rate that "
                f"{least.calibration_humans} can show is {100 * least.smallest_fpr:.2g} %"
            )
    return notes


def _without_intervals(found: Sequence[DetectorFigures]) -> list[str]:
    """Notes on rates without intervals; those of a trained detector rest on one fold, others on all humans."""
    notes = []
    for trained in (False, True):
        points = [p for one in found if one.trained == trained for p in one.points]
        for rate in dict.fromkeys(point.target_fpr for point in points):
            fewest = min(
                point.calibration_humans if trained else point.fpr.n
                for point in points
                if point.target_fpr == rate
            )
            why = too_few_humans(rate, fewest)
            if why is not None:
                notes.append(f"detectors trained here: {why}" if trained else why)
    return notes
