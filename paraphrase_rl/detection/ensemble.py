"""Ensemble: several calibrated detectors with one combined P(AI)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from paraphrase_rl.detection.calibration import (
    Calibration,
    CalibrationSet,
    check_provenance,
)
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.training_record import Training, training_of
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.files import write_text
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.plugin.protocols import Components, Detector, Judgement
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.types import Failure, FloatArray, Scores

Combine = Literal["mean", "worst-case"]

COMBINED = "ensemble"
_LEFT_OUT = "{} calibration texts are left out: a detector was trained on them or on near duplicates of them"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One detector of the ensemble; its ``weight`` is used only if P(AI) are combined by the mean.

    ``training`` is what is known of its training; ``None`` if it is not trained.
    """

    name: str
    detector: Detector
    calibration: Calibration
    weight: float = 1.0
    training: Training | None = None


class CalibratedEnsemble:
    """Calibrated detectors with the combination of their P(AI).

    A text that some members cannot score gets the P(AI) of the others, with their weights; the failure is in the
    result under the member's name. Only a text that no member can score has no combined P(AI), so that one detector
    that needs longer texts does not disable the others. A member without power (its P(AI) is constant) does not
    count.

    Args:
        members: the calibrated detectors, names unique.
        combine: ``mean`` weighted by the members' weights, or ``worst-case``: the largest P(AI).
        combined: thresholds on the combination, and P(AI) of it.
        seen: texts that the calibrations were fitted on; ``None`` if there is no record of them.
        precision: precision that the detectors' scores are computed with; ``None`` = not recorded.
    """

    def __init__(
        self,
        members: Sequence[Member],
        combine: Combine = "mean",
        combined: Calibration | None = None,
        seen: SeenTexts | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.members = tuple(members)
        self.precision = precision
        self.combine = combine
        self.combined = combined
        self.seen = seen
        self.names: Sequence[str] = tuple(member.name for member in members)
        self.voting = tuple(m for m in members if m.weight > 0 and _has_power(m.calibration))

    @property
    def detectors(self) -> dict[str, Detector]:
        """Detectors of the ensemble by name, in the recipe's order."""
        return {member.name: member.detector for member in self.members}

    def require_probability(self) -> None:
        """Refuse an ensemble without a combined P(AI).

        Raises:
            CalibrationError: no member has a vote.
        """
        if self.voting:
            return
        found = ", ".join(f"{m.name} {_auroc(m.calibration)}" for m in self.members)
        raise CalibrationError(
            f"the ensemble has no P(AI): no detector scores AI calibration texts above human ones ({found})",
            "choose other detectors, or run `prl calibrate` on data with texts of both labels",
        )

    def scores(self, texts: Sequence[str]) -> dict[str, Scores]:
        """Compute raw scores by detector name, each of shape (N,)."""
        return {m.name: m.detector.score(texts) for m in self.members}

    def probabilities(self, texts: Sequence[str]) -> tuple[Mapping[str, Scores], Scores]:
        """Compute P(AI) in [0, 1] by detector name, and combined over the ensemble; each of shape (N,).

        Raises:
            CalibrationError: there is no P(AI); see :meth:`require_probability`.
        """
        self.require_probability()
        return self.probabilities_of(self.scores(texts))

    def judge(self, texts: Sequence[str]) -> Judgement:
        """Compute P(AI), and how each member with a vote arrives at its verdict.

        Raises:
            CalibrationError: there is no P(AI); see :meth:`require_probability`.
        """
        self.require_probability()
        scores = self.scores(texts)
        probabilities, combined = self.probabilities_of(scores)
        below, powers = {}, {}
        for member in self.voting:
            curve = member.calibration.probability
            assert curve is not None  # a member without one has no vote
            below[member.name] = (
                member.calibration.target.threshold - scores[member.name].values
            ) / curve.scale
            powers[member.name] = 2.0 * curve.auroc - 1.0
        return Judgement(
            probabilities=probabilities,
            combined=combined,
            below=below,
            weights={m.name: m.weight for m in self.voting},
            powers=powers,
            combine=self.combine,
        )

    def probabilities_of(self, scores: Mapping[str, Scores]) -> tuple[Mapping[str, Scores], Scores]:
        """Compute P(AI) from raw scores, see :meth:`probabilities`; detectors without a P(AI) curve are left out."""
        self.require_probability()
        by_name = {
            m.name: replace(scores[m.name], values=m.calibration.probabilities(scores[m.name].values))
            for m in self.members
            if m.calibration.probability is not None
        }
        votes = [by_name[m.name] for m in self.voting]
        values = combine_probabilities(
            np.stack([vote.values for vote in votes]), np.array([m.weight for m in self.voting]), self.combine
        )
        cut = {t.index: t for vote in reversed(votes) for t in vote.truncated}
        return by_name, Scores(values, _all_failed(values, votes), tuple(cut[i] for i in sorted(cut)))

    def warnings(self) -> list[str]:
        """List the limits of the calibrations, one line each."""
        records = [m.calibration for m in self.members] + ([self.combined] if self.combined else [])
        left_out = max((m.calibration.texts.left_out for m in self.members), default=0)
        return [
            *(note for m in self.members if m.training is not None for note in m.training.notes),
            *([_LEFT_OUT.format(left_out)] if left_out else []),
            *(line for record in records for line in record.warnings()),
            *self._loses(),
        ]

    def _loses(self) -> list[str]:
        """Say that a member alone flags more AI calibration texts than the ensemble."""
        if self.combined is None or self.combined.flagged_ai is None or len(self.members) < 2:
            return []
        best = max((m for m in self.voting), key=lambda m: m.calibration.flagged_ai or 0)
        alone, together = best.calibration.flagged_ai or 0, self.combined.flagged_ai
        if alone <= together:
            return []
        return [
            f"the ensemble does worse than {best.name} alone: it flags {together} of {self.combined.n_ai} AI "
            f"calibration texts, {best.name} {alone} of {best.calibration.n_ai}"
        ]

    def combined_p_ai(self, scores: FloatArray) -> FloatArray:
        """Compute the ensemble's P(AI) of combined scores, shape (N,).

        Its own curve of them, or, in files of earlier versions that have none, the scores themselves.
        """
        curve = self.combined.probability if self.combined is not None else None
        return scores if curve is None else curve(scores)

    @property
    def calibrations(self) -> CalibrationSet:
        """Return the calibrations, from which :func:`build_ensemble` can build the detectors again."""
        return CalibrationSet(
            calibrations=tuple(m.calibration for m in self.members),
            weights=tuple(m.weight for m in self.members),
            combine=self.combine,
            combined=self.combined,
            seen=self.seen,
            precision=self.precision,
        )

    def to_file(self, path: Path, write: Callable[[Path, str], None] = write_text) -> None:
        """Save the calibrations; the detectors are not saved, but built again from their options.

        Args:
            path: the file.
            write: function that writes it.
        """
        self.calibrations.write(path, write)


def combine_probabilities(table: FloatArray, weights: FloatArray, combine: str) -> FloatArray:
    """Combine P(AI) of shape (D, N) into (N,), leaving out NaN; NaN for a text whose values are all NaN.

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


def load_ensemble(path: Path, registry: Components, context: Context) -> CalibratedEnsemble:
    """Load the ensemble of a calibration file, and build its detectors again.

    Args:
        path: what :meth:`CalibratedEnsemble.to_file` wrote.
        registry: where detectors come from.
        context: context for the factories.

    Raises:
        CalibrationError: no such file, not a calibration, or a detector's model has changed since.
    """
    return build_ensemble(CalibrationSet.read(path), registry, context)


def build_ensemble(
    saved: CalibrationSet, registry: Components, context: Context, names: Collection[str] | None = None
) -> CalibratedEnsemble:
    """Build the ensemble of calibrations; see :func:`load_ensemble`, which reads them from a file.

    Args:
        saved: the calibrations.
        registry: where detectors come from.
        context: context for the factories; its precision gives way to the one of the calibrations.
        names: names of the detectors to build; ``None`` = all. An ensemble without one that counts (weight above 0) has
            no combined thresholds.
    """
    precision = saved.precision or context.precision
    context = replace(context, precision=precision)
    wanted = saved if names is None else saved.only(names)
    if wanted is None:
        return CalibratedEnsemble([], saved.combine, None, saved.seen, precision)
    members = [
        Member(
            name=calibration.detector,
            detector=build_calibrated(calibration, registry, context),
            calibration=calibration,
            weight=weight,
            training=training_of(registry, calibration.detector, calibration.built_with),
        )
        for calibration, weight in zip(wanted.calibrations, wanted.weights, strict=True)
    ]
    return CalibratedEnsemble(members, wanted.combine, wanted.combined, wanted.seen, precision)


def build_calibrated(calibration: Calibration, registry: Components, context: Context) -> Detector:
    """Build the detector of a calibration again from its options.

    Raises:
        CalibrationError: the detector's model has changed since.
        PrlError: the detector cannot be built.
    """
    detector: Detector = registry.build("detectors", calibration.detector, calibration.built_with, context)
    check_provenance(calibration, detector.provenance())
    return detector


def _has_power(calibration: Calibration) -> bool:
    return calibration.probability is not None and calibration.probability.has_power


def _auroc(calibration: Calibration) -> str:
    known = calibration.probability
    return "without AI texts" if known is None else f"AUROC {known.auroc:.3f}"


def _all_failed(values: FloatArray, votes: Sequence[Scores]) -> tuple[Failure, ...]:
    """A combined failure for each text that every counting detector failed on, with the first one's reason."""
    reasons = {f.index: f for vote in reversed(votes) for f in vote.failures}
    return tuple(
        Failure(
            index=i,
            owner=COMBINED,
            kind=reasons[i].kind,
            message=f"no detector could score the text: {reasons[i].message}",
        )
        for i in np.flatnonzero(np.isnan(values)).tolist()
    )
