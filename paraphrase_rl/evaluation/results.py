"""Results of an evaluation, saved as ``results.json``; the verdict, the report and hardening read them.

The folder of an evaluation holds:

``results.json``      this page's :class:`Results`: every table
``calibration.json``  thresholds, fixed on held-out human texts, the originals, before any rewrite is scored
``documents.jsonl``   the texts: of the test split, those evaluated: id, text, label, group, domain, pair
``rewrites.jsonl``    one row a rewrite: rewriter, id, sample, text, finished; or failure (kind, message)
``scores.jsonl``      one row a score: rewriter, detector, id, sample, score, truncated if so; or failure
``quality.jsonl``     one row a rewrite: rewriter, id, sample, metrics (name -> value; null = not known)
``cache/``            values computed so far; may be deleted

All but the cache are written whole when an evaluation ends, so they always belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.errors import EvaluationError
from paraphrase_rl.names import suggestion
from paraphrase_rl.statistics.records import (
    Estimate,
    FairnessGap,
    FalsePositives,
    Record,
    SavedRecord,
    at_rate,
)
from paraphrase_rl.tables import Tabular, Titled
from paraphrase_rl.tables import cell as table_cell

LONGEST_NAME = 19
"""Number of characters of a name that a table shows."""
ORIGINAL = "none"
"""Name of the rewriter that returns texts unchanged; results before an attack are listed under it."""


class DetectorInfo(Record):
    """One detector: a column of the table of results."""

    name: str
    family: str
    trained_against: bool = Field(description="in the ensemble that the run was trained against")
    options: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)
    failure: str | None = Field(None, description="why it could not be built or calibrated")


class RewriterInfo(Record):
    """One rewriter: a row of the table of results."""

    label: str = Field(description="name in the tables, unique in the evaluation")
    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    of_run: bool = Field(False, description="the policy of the run that was evaluated")
    failure: str | None = Field(None, description="why there are no rewrites at all")


class Point(Record):
    """Detection rates at one operating point."""

    target_fpr: float
    threshold: float
    tpr_before: Estimate = Field(description="share of the AI texts flagged before the rewrite")
    tpr_after: Estimate = Field(description="and after")
    attack_success_rate: Estimate = Field(
        description="share not flagged after, of the rewrites whose text was flagged before (n = those texts)"
    )


class Cell(Record):
    """Results of one rewriter against one detector; intervals resample documents and calibration texts together."""

    rewriter: str
    detector: str
    auroc_before: Estimate
    auroc_after: Estimate
    points: tuple[Point, ...] = ()
    texts: int = Field(ge=0, description="rewrites that should have been scored")
    failed: int = Field(0, ge=0, description="of them, those without a rewrite or a score")
    truncated: int = Field(0, ge=0, description="rewrites of which the detector read only the beginning")
    failure: str | None = Field(
        None, description="why the cell is empty, or the most frequent reason of its failures"
    )

    def flat_rows(self) -> Iterator[dict[str, object]]:
        """Yield one row of plain values for each operating point; without results, one row with its failure."""
        row: dict[str, object] = {
            "rewriter": self.rewriter,
            "detector": self.detector,
            **self.auroc_before.flat("auroc_before"),
            **self.auroc_after.flat("auroc_after"),
            "texts": self.texts,
            "failed": self.failed,
            "truncated": self.truncated,
            "failure": self.failure,
        }
        for point in self.points:
            yield {
                **row,
                "target_fpr": point.target_fpr,
                "threshold": point.threshold,
                **point.tpr_before.flat("tpr_before"),
                **point.tpr_after.flat("tpr_after"),
                **point.attack_success_rate.flat("attack_success_rate"),
            }
        if not self.points:
            yield row

    def shown_at(self, target_fpr: float) -> Mapping[str, object]:
        """Return the row to display at one operating point: numbers as text, with their intervals."""
        point = next(iter(at_rate(self.points, target_fpr)), None)
        row: dict[str, object] = {
            "rewriter": table_cell(self.rewriter, LONGEST_NAME),
            "detector": table_cell(self.detector, LONGEST_NAME),
        }
        if point is None:
            return row | {"failed": f"{self.failed}/{self.texts}"}
        return row | {
            "TPR": point.tpr_after.shown(),
            "ASR": None if self.rewriter == ORIGINAL else point.attack_success_rate.shown(),
            "n": point.attack_success_rate.n,
            "AUROC": self.auroc_after.shown(3),
            "failed": f"{self.failed}/{self.texts}" if self.failed else None,
            "cut": f"{self.truncated}/{self.texts}" if self.truncated else None,
        }


class Transfer(Record):
    """Transfer of an attack to detectors it was trained against and to held-out ones, by family (mean of cells)."""

    rewriter: str
    family: str
    trained_against: bool
    detectors: tuple[str, ...]
    target_fpr: float
    tpr_before: Estimate
    tpr_after: Estimate
    attack_success_rate: Estimate


class MetricInfo(Record):
    """One quality metric."""

    name: str
    role: str = Field(
        description="what it measures: meaning, facts, length, fluency, validity, entailment, judge or other"
    )
    summary: str
    better: Literal["higher", "lower"] | None
    options: dict[str, Any] = Field(default_factory=dict)


class Quality(Record):
    """Mean of one quality metric over the rewrites of one rewriter."""

    rewriter: str
    metric: str
    estimate: Estimate
    failed: int = Field(0, ge=0, description="rewrites it could not be computed for")


class EscapeDepth(Record):
    """Mean of a quality metric over the rewrites that evade a detector, by how far they are below its threshold.

    The halves rest on the threshold at the target rate of the verdicts.
    """

    rewriter: str
    detector: str
    metric: str
    at: Estimate = Field(description="the half nearest to the threshold")
    beyond: Estimate = Field(description="the half farthest below it")
    change: Estimate = Field(description="beyond less at, in the same draws")


class About(Record):
    """Settings of the evaluation, enough to repeat it."""

    run: str | None = Field(description="directory of the run, if one was evaluated")
    source: str
    digest: str = Field(description="of the texts evaluated")
    excerpt_words: int | None
    ai_texts: int
    human_texts: int
    calibration_texts: int = Field(0, ge=0, description="human texts that thresholds were fixed on")
    groups: dict[str, int] = Field(description="human texts of each group")
    samples: int = Field(description="rewrites a text")
    seed: int
    resamples: int = Field(description="of the bootstrap")
    target_fpr: float = Field(description="the rate that verdicts are given at")
    started: str
    seconds: float
    versions: dict[str, str]
    notes: tuple[str, ...] = ()


class Results(Tabular, SavedRecord):
    """Every table of an evaluation. ``to_pandas()`` has a line for each rewriter, detector and operating point."""

    FILE = "results.json"
    MISSING = "holds no evaluation"
    COMMAND = "prl evaluate RUN"

    format: Literal[1] = 1
    about: About
    detectors: tuple[DetectorInfo, ...]
    rewriters: tuple[RewriterInfo, ...]
    cells: tuple[Cell, ...]
    transfer: tuple[Transfer, ...] = ()
    metrics: tuple[MetricInfo, ...] = Field(
        (),
        description="those measured, in the order of the tables; the first of a role is compared with a bound",
    )
    quality: tuple[Quality, ...] = ()
    escapes: tuple[EscapeDepth, ...] = ()
    false_positives: tuple[FalsePositives, ...] = ()
    fairness: tuple[FairnessGap, ...] = ()

    def cell(self, rewriter: str, detector: str) -> Cell | None:
        """Return the results of a rewriter against a detector; ``None`` if there are none."""
        return next((c for c in self.cells if (c.rewriter, c.detector) == (rewriter, detector)), None)

    def point(self, rewriter: str, detector: str, target_fpr: float) -> Point | None:
        """Return the rates of a rewriter and a detector at one operating point; ``None`` if there are none."""
        cell = self.cell(rewriter, detector)
        points = cell.points if cell else ()
        return next(iter(at_rate(points, target_fpr)), None)

    def metric(self, role: str) -> MetricInfo | None:
        """Return the metric of a role that is compared with a bound; ``None`` if none was measured."""
        return next((metric for metric in self.metrics if metric.role == role), None)

    def meaning(self, rewriter: str) -> Quality | None:
        """Return the mean of the first metric of role ``meaning`` over a rewriter's rewrites."""
        metric = self.metric("meaning")
        return self.mean_quality(rewriter, metric.name) if metric else None

    def attack_success(
        self, rewriter: str, detector: str = COMBINED, target_fpr: float | None = None
    ) -> Estimate:
        """Return the attack success rate: of the texts a detector flagged, the share not flagged when rewritten.

        Args:
            rewriter: its label in the tables, such as ``policy``.
            detector: its name; ``ensemble`` = the combination of the detectors that the run was trained against.
            target_fpr: target false positive rate of the threshold; ``None`` = the rate of the verdicts.

        Returns:
            The share with its 95 % interval; ``n`` is the number of texts flagged before; ``value`` is ``None`` if
            there are none.

        Raises:
            EvaluationError: this rewriter, detector or rate was not evaluated, or it has no results.
        """
        for asked, known, what in (
            (rewriter, [r.label for r in self.rewriters], "rewriter"),
            (detector, [d.name for d in self.detectors], "detector"),
        ):
            if asked not in known:
                raise EvaluationError(f"no {what} {asked!r} was evaluated", suggestion(asked, known))
        rate = self.about.target_fpr if target_fpr is None else target_fpr
        found = self.cell(rewriter, detector)
        if found is None or not found.points:
            why = found.failure if found is not None else None
            raise EvaluationError(
                f"there are no results of {rewriter} against {detector}",
                why or "evaluate this rewriter on AI texts",
            )
        point = self.point(rewriter, detector, rate)
        if point is None:
            rates = ", ".join(f"{p.target_fpr:g}" for p in found.points)
            raise EvaluationError(
                f"nothing was evaluated at a false positive rate of {rate:g}", f"choose from: {rates}"
            )
        return point.attack_success_rate

    def flat_rows(self) -> list[Mapping[str, object]]:
        """Return the rows of all cells, see :meth:`Cell.flat_rows`."""
        return [row for cell in self.cells for row in cell.flat_rows()]

    def _shown(self) -> Titled:
        about = self.about
        return Titled(
            tuple(cell.shown_at(about.target_fpr) for cell in self.cells),
            notes=about.notes,
            heading=f"Results: {about.ai_texts} AI and {about.human_texts} human test texts of {about.source}, "
            f"false positive rate {about.target_fpr:g}",
        )

    def mean_quality(self, rewriter: str, metric: str) -> Quality | None:
        """Return the mean of a quality metric over a rewriter's rewrites; ``None`` if there is none."""
        return next((q for q in self.quality if (q.rewriter, q.metric) == (rewriter, metric)), None)
