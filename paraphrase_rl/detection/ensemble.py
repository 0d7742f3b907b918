"""Several calibrated detectors as one P(AI)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np

from paraphrase_rl.detection.calibration import (
    Calibration,
    CalibrationSet,
    CalibrationTexts,
    check_provenance,
    fit_calibration,
)
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.files import sha256_texts
from paraphrase_rl.plugin.isolation import score_contained
from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.types import Failure, FloatArray, Scores

if TYPE_CHECKING:
    from paraphrase_rl.data.documents import Corpus
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.recipe.schema import Recipe, Weighted

COMBINED = "ensemble"
STANDARD_FPRS = (0.01, 0.05)
"""Thresholds are always fitted for these rates too, so that one calibration answers the usual questions."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One detector of the ensemble; ``weight`` counts in the mean only."""

    name: str
    detector: Detector
    calibration: Calibration
    weight: float = 1.0


class CalibratedEnsemble:
    """Calibrated detectors and how their P(AI) become one.

    A text that some members cannot score is judged by the others, with their weights; the failure stays
    visible in the result by name. Only a text that no member can score has no combined P(AI): one detector
    that needs longer texts must not silence the rest. A member without power (its P(AI) is constant) has no
    vote.

    Args:
        members: the calibrated detectors, names unique.
        combine: ``mean`` weighted by the members' weights, or ``worst-case``: the largest P(AI).
        combined: thresholds on the combined P(AI).
    """

    def __init__(
        self,
        members: Sequence[Member],
        combine: Literal["mean", "worst-case"] = "mean",
        combined: Calibration | None = None,
    ) -> None:
        self.members = tuple(members)
        self.combine = combine
        self.combined = combined
        self.names: Sequence[str] = tuple(member.name for member in members)
        self.voting = tuple(m for m in members if m.weight > 0 and _has_power(m.calibration))

    def require_probability(self) -> None:
        """Refuse an ensemble without a combined P(AI).

        Raises:
            CalibrationError: no member has a vote.
        """
        if self.voting:
            return
        found = ", ".join(f"{m.name} {_auroc(m.calibration)}" for m in self.members)
        raise CalibrationError(
            f"the ensemble has no P(AI): no detector of it tells AI from human calibration texts ({found})",
            "choose other detectors, or run `prl calibrate` on data with texts of both labels",
        )

    def scores(self, texts: Sequence[str]) -> dict[str, Scores]:
        """Raw scores by detector name, each of shape (N,)."""
        return {m.name: score_contained(m.name, m.detector, texts) for m in self.members}

    def probabilities(self, texts: Sequence[str]) -> tuple[Mapping[str, Scores], Scores]:
        """P(AI) in [0, 1] by detector name, and combined; each of shape (N,).

        Raises:
            CalibrationError: there is no P(AI); see :meth:`require_probability`.
        """
        self.require_probability()
        return self.probabilities_of(self.scores(texts))

    def probabilities_of(self, scores: Mapping[str, Scores]) -> tuple[Mapping[str, Scores], Scores]:
        """The same from raw scores; detectors calibrated without AI texts are left out."""
        self.require_probability()
        by_name = {
            m.name: Scores(m.calibration.probabilities(scores[m.name].values), scores[m.name].failures)
            for m in self.members
            if m.calibration.probability is not None
        }
        votes = [by_name[m.name] for m in self.voting]
        values = combine_probabilities(
            np.stack([vote.values for vote in votes]), np.array([m.weight for m in self.voting]), self.combine
        )
        return by_name, Scores(values, _all_failed(values, votes))

    def warnings(self) -> list[str]:
        """What a reader of the results must know."""
        records = [m.calibration for m in self.members] + ([self.combined] if self.combined else [])
        return [line for record in records for line in record.warnings()]

    def to_file(self, path: Path) -> None:
        """Keep the calibrations; detectors are built anew from their options."""
        CalibrationSet(
            calibrations=tuple(m.calibration for m in self.members),
            weights=tuple(m.weight for m in self.members),
            combine=self.combine,
            combined=self.combined,
        ).write(path)


def combine_probabilities(table: FloatArray, weights: FloatArray, combine: str) -> FloatArray:
    """Combine P(AI) of shape (D, N) into (N,), leaving out NaN; NaN where a whole column is.

    Args:
        table: P(AI) by detector and text.
        weights: shape (D,), positive; used by ``mean`` only.
        combine: ``mean`` or ``worst-case``.
    """
    known = np.isfinite(table)
    if combine == "worst-case":
        highest = np.where(known, table, -np.inf).max(axis=0)
        return np.where(known.any(axis=0), highest, np.nan)
    weight = np.where(known, weights[:, None], 0.0)
    total = weight.sum(axis=0)
    summed = (weight * np.where(known, table, 0.0)).sum(axis=0)
    return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)


def build_detectors(
    entries: Sequence[Weighted], registry: Registry, context: Context
) -> list[tuple[str, Detector]]:
    """The detectors of a recipe, in its order."""
    return [
        (entry.name, registry.build("detectors", entry.name, entry.options, context)) for entry in entries
    ]


def calibrate_ensemble(
    recipe: Recipe,
    registry: Registry,
    corpus: Corpus,
    context: Context,
    *,
    needs_probability: bool = True,
) -> CalibratedEnsemble:
    """Build the recipe's detectors and calibrate each, and their combination, on the calibration split.

    Thresholds are fitted for ``recipe.calibration.target_fpr``, and for 1 % and 5 %. Those on the combined
    P(AI) rest on the same humans as the curves it is made of (two numbers a detector), so their interval
    is approximate where a detector's own is exact.

    Args:
        recipe: its detectors, ensemble, calibration and data sections.
        registry: where detectors come from.
        corpus: the texts.
        context: what factories are given.
        needs_probability: refuse an ensemble without a combined P(AI); off where thresholds suffice.

    Raises:
        CalibrationError: too few human texts, or no P(AI) where it is needed.
    """
    detectors = [detector for _, detector in build_detectors(recipe.detectors, registry, context)]
    return calibrate_built(recipe, detectors, corpus, needs_probability=needs_probability)


def calibrate_built(
    recipe: Recipe, detectors: Sequence[Detector], corpus: Corpus, *, needs_probability: bool = True
) -> CalibratedEnsemble:
    """:func:`calibrate_ensemble` of detectors that are built already.

    Args:
        recipe: as there.
        detectors: one for each of ``recipe.detectors``, in that order.
        corpus: as there.
        needs_probability: as there.

    Raises:
        CalibrationError: as there.
    """
    humans = [d.text for d in corpus.select(split="calibration", label="human")]
    ais = [d.text for d in corpus.select(split="calibration", label="ai")]
    if needs_probability and not ais:
        raise CalibrationError(
            f"{corpus.source} has no AI texts in its calibration split: P(AI) cannot be fitted",
            "use data with texts of both labels",
        )
    texts = describe_texts(corpus, recipe.data.excerpt_words)
    rates = (recipe.calibration.target_fpr, *STANDARD_FPRS)
    members: list[Member] = []
    human_scores: dict[str, Scores] = {}
    ai_scores: dict[str, Scores] = {}
    for entry, detector in zip(recipe.detectors, detectors, strict=True):
        name = entry.name
        human_scores[name] = score_contained(name, detector, humans)
        ai_scores[name] = score_contained(name, detector, ais)
        calibration = fit_calibration(
            human_scores[name],
            ai_scores[name],
            rates,
            detector=name,
            texts=texts,
            options=entry.options,
            provenance=detector.provenance(),
        )
        weight = 1.0 if entry.weight is None else entry.weight
        members.append(Member(name=name, detector=detector, calibration=calibration, weight=weight))
    ensemble = CalibratedEnsemble(members, recipe.ensemble.combine)
    if needs_probability:
        ensemble.require_probability()
    if not ensemble.voting:
        return ensemble
    _, human = ensemble.probabilities_of(human_scores)
    combined = fit_calibration(human, None, rates, detector=COMBINED, texts=texts)
    return CalibratedEnsemble(members, recipe.ensemble.combine, combined)


def load_ensemble(
    path: Path, registry: Registry, context: Context, names: Collection[str] | None = None
) -> CalibratedEnsemble:
    """The ensemble of a calibration file, its detectors built anew.

    Args:
        path: what :meth:`CalibratedEnsemble.to_file` wrote.
        registry: where detectors come from.
        context: what factories are given.
        names: build these alone; ``None`` = all. Some of the detectors have no combined thresholds.

    Raises:
        CalibrationError: no such file, not a calibration, or a detector's model has changed since.
    """
    kept = CalibrationSet.read(path)
    members: list[Member] = []
    for calibration, weight in zip(kept.calibrations, kept.weights, strict=True):
        if names is not None and calibration.detector not in names:
            continue
        options = dict(calibration.options)
        if calibration.fitted is not None:
            options["folder"] = calibration.fitted
        detector: Detector = registry.build("detectors", calibration.detector, options, context)
        check_provenance(calibration, detector.provenance())
        members.append(
            Member(name=calibration.detector, detector=detector, calibration=calibration, weight=weight)
        )
    whole = len(members) == len(kept.calibrations)
    return CalibratedEnsemble(members, kept.combine, kept.combined if whole else None)


def describe_texts(corpus: Corpus, excerpt_words: int | None) -> CalibrationTexts:
    """What the calibration texts are."""
    documents = corpus.select(split="calibration")
    lengths = [len(d.text.split()) for d in documents if d.label == "human"]
    return CalibrationTexts(
        source=corpus.source,
        digest=sha256_texts(f"{d.label}\t{d.text}" for d in documents),
        median_words=round(median(lengths)) if lengths else 0,
        excerpt_words=excerpt_words,
    )


def _has_power(calibration: Calibration) -> bool:
    return calibration.probability is not None and calibration.probability.has_power


def _auroc(calibration: Calibration) -> str:
    known = calibration.probability
    return "without AI texts" if known is None else f"AUROC {known.auroc:.3f}"


def _all_failed(values: FloatArray, votes: Sequence[Scores]) -> tuple[Failure, ...]:
    """A combined failure for each text that every vote failed on, with the first one's reason."""
    reasons = {f.index: f for vote in reversed(votes) for f in vote.failures}
    return tuple(
        Failure(
            index=i,
            owner=COMBINED,
            kind=reasons[i].kind,
            message=f"no detector could score it: {reasons[i].message}",
        )
        for i in np.flatnonzero(np.isnan(values)).tolist()
    )
