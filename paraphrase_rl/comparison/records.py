"""Results of a comparison of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import Field

from paraphrase_rl.detection.calibration import percent
from paraphrase_rl.statistics.records import Estimate, Record
from paraphrase_rl.tables import Tabular, Titled

By = Literal["group", "domain", "length"]
PARTS: tuple[By, ...] = get_args(By)


class RateFigures(Record):
    """Shares flagged at thresholds of one false positive rate, each threshold set on texts of other folds."""

    target_fpr: float
    tpr: Estimate = Field(description="share of AI texts flagged")
    fpr: Estimate = Field(description="share of human texts flagged")
    allowed: int = Field(ge=0, description="k: calibration humans that may be flagged, in the smallest fold")
    calibration_humans: int = Field(ge=0, description="n: calibration humans, in the smallest fold")

    @property
    def smallest_fpr(self) -> float:
        """The smallest target rate that so many calibration humans can keep, 1 / (n + 1)."""
        return 1.0 / (self.calibration_humans + 1)


class DetectorFigures(Record):
    """One detector, or the ensemble of all."""

    detector: str
    trained: bool = Field(
        description="trained inside the folds, on texts that are neither tested nor calibrated on"
    )
    points: tuple[RateFigures, ...] = ()
    auroc: Estimate
    to_best: Estimate | None = Field(
        None,
        description="TPR at the asked rate less that of the best detector, paired, at the thresholds as set if one of "
        "them has no interval; None for the best itself",
    )
    brier: float | None = Field(None, description="of P(AI), labels weighted alike; lower is better")
    ece: float | None = Field(
        None, description="expected calibration error of P(AI), ten bins; lower is better"
    )
    bins: tuple[tuple[float, float, int], ...] = Field(
        (), description="mean P(AI), share of AI texts, texts of each bin"
    )
    texts: int = Field(ge=0)
    failed: int = Field(ge=0, description="texts without a score")
    truncated: int = Field(0, ge=0, description="texts that it did not read whole")
    seconds_per_1000: float | None = Field(
        None,
        description="CPU seconds per 1,000 texts; a pass that several detectors share is divided among them",
    )
    reason: str = Field("", description="why it has no figures")

    def at(self, target_fpr: float) -> RateFigures | None:
        """Return the figures at a rate."""
        return next((point for point in self.points if abs(point.target_fpr - target_fpr) < 1e-9), None)

    @property
    def distinguishable(self) -> bool | None:
        """True if it differs from the best: 0 lies outside of the interval of the difference; ``None`` if not known."""
        if self.to_best is None or self.to_best.low is None or self.to_best.high is None:
            return None
        return not self.to_best.low <= 0.0 <= self.to_best.high


class PartFigures(Record):
    """One detector on the texts of one group, domain or band of lengths, at the asked rate."""

    detector: str
    by: By
    value: str
    fpr: Estimate
    tpr: Estimate


class Gap(Record):
    """Difference of the largest and the smallest false positive rate of groups of writers, of one detector."""

    detector: str
    highest: str
    lowest: str
    gap: Estimate


class TestedScores(Record):
    """Scores of one detector, each of the fold in which its text is tested; texts without a score are left out."""

    __test__ = False

    detector: str
    human: tuple[float, ...]
    ai: tuple[float, ...]


class Comparison(Tabular, Record):
    """Detectors on the same labelled texts, the best first: by TPR at the asked false positive rate."""

    source: str
    human: int
    ai: int
    folds: int
    target_fpr: float
    detectors: tuple[DetectorFigures, ...]
    parts: tuple[PartFigures, ...] = ()
    gaps: tuple[Gap, ...] = ()
    scores: tuple[TestedScores, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> DetectorFigures | None:
        """The first detector that has figures; the ensemble is no detector."""
        return next((found for found in self.detectors if found.points and found.to_best is None), None)

    def flat_rows(self) -> list[dict[str, object]]:
        """Return one line a detector, with all figures as plain numbers."""
        rows: list[dict[str, object]] = []
        for rank, found in enumerate(self.detectors, 1):
            row: dict[str, object] = {"rank": rank, "detector": found.detector, "trained": found.trained}
            for point in found.points:
                at = f"{100 * point.target_fpr:g}"
                row |= point.tpr.flat(f"tpr_at_{at}") | point.fpr.flat(f"fpr_at_{at}")
                row |= {
                    f"allowed_at_{at}": point.allowed,
                    f"calibration_humans_at_{at}": point.calibration_humans,
                }
            row["smallest_fpr"] = found.points[0].smallest_fpr if found.points else None
            row |= found.auroc.flat("auroc")
            row |= (found.to_best or Estimate(value=None, n=0)).flat("to_best")
            row |= {
                "distinguishable": found.distinguishable,
                "brier": found.brier,
                "ece": found.ece,
                "failed": found.failed,
                "truncated": found.truncated,
                "seconds_per_1000": found.seconds_per_1000,
                "reason": found.reason or None,
            }
            rows.append(row)
        return rows

    def shown_rows(self) -> list[dict[str, object]]:
        """Return one line a detector for display: numbers as text, with their intervals."""
        rows: list[dict[str, object]] = []
        for found in self.detectors:
            point = found.at(self.target_fpr)
            row: dict[str, object] = {"detector": found.detector}
            if point is not None:
                row |= {
                    "TPR": point.tpr.shown(),
                    "to best": _to_best(found),
                    "AUROC": found.auroc.shown(3),
                    "FPR": point.fpr.shown(),
                }
            row |= {
                "ECE": None if found.ece is None else f"{found.ece:.2f}",
                "s/1000": None if found.seconds_per_1000 is None else f"{found.seconds_per_1000:.0f}",
                **{
                    f"TPR {percent(other.target_fpr)}": other.tpr.shown()
                    for other in found.points
                    if other is not point
                },
                "failed": found.failed or None,
                "cut": f"{100 * found.truncated / found.texts:.0f} %" if found.truncated else None,
                "reason": found.reason or None,
            }
            rows.append(row)
        filled = {key for row in rows for key, value in row.items() if value is not None}
        return [{key: value for key, value in row.items() if key in filled} for row in rows]

    def part_rows(self, by: By) -> list[dict[str, object]]:
        """Return the false positive rate of each detector on every part, part by part, for display."""
        parts = [part for part in self.parts if part.by == by]
        values = list(dict.fromkeys(part.value for part in parts))
        return [
            {by: part.value, "detector": part.detector, "FPR": part.fpr.shown(), "human texts": part.fpr.n}
            for part in sorted(parts, key=lambda part: values.index(part.value))
        ]

    def _shown(self) -> Titled:
        heading = (
            f"{self.human} human and {self.ai} AI texts of {self.source}, TPR at a false positive rate of "
            f"{percent(self.target_fpr)}, {self.folds} folds"
        )
        return Titled(tuple(self.shown_rows()), self.notes, heading=heading)

    def ranked(self) -> Sequence[str]:
        """Return the names of the detectors, the best first."""
        return [found.detector for found in self.detectors]


def _to_best(found: DetectorFigures) -> str:
    if found.to_best is None:
        return "best"
    text = "-" if found.to_best.value is None else f"{found.to_best.value:+.2f}"
    return text if found.distinguishable else f"{text} ≈"
