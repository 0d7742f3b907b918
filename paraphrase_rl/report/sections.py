"""From the tables of an evaluation to what the page draws: heat map, distributions, trade-off, quality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from paraphrase_rl.acceptance.checkpoint_choice import SIMILARITY
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.plan import POLICY
from paraphrase_rl.evaluation.quality import METRICS
from paraphrase_rl.evaluation.results import CLEAN, DetectorInfo, Point, Quality, Results, RewriterInfo
from paraphrase_rl.report.charts import Spot, Strip, strips, trade_off
from paraphrase_rl.report.figures import number, share
from paraphrase_rl.report.inputs import Row
from paraphrase_rl.statistics.records import Estimate

HEAT_LEVELS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing with its name."""

    name: str
    drawing: Markup
    note: str = ""


def family(detector: DetectorInfo) -> str:
    """The family, in words for the pseudo-detector."""
    return "taken together" if detector.name == COMBINED else detector.family


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One rewriter against one detector at the threshold of the verdicts; ``level`` 0 to 5 is its shade."""

    point: Point | None
    failure: str | None
    failed: int
    texts: int

    @property
    def level(self) -> int | None:
        value = None if self.point is None else self.point.tpr_after.value
        return None if value is None else min(int(value * HEAT_LEVELS), HEAT_LEVELS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Rows are rewriters, columns detectors: those of the ensemble first, held-out ones after."""

    detectors: Sequence[DetectorInfo]
    rows: Sequence[tuple[RewriterInfo, Sequence[HeatCell]]]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """What stands over the columns, with how many of them."""
        seen = sum(d.trained_against for d in self.detectors)
        parts = [("trained against", seen), ("held out", len(self.detectors) - seen)]
        return [(name, count) for name, count in parts if count]

    @property
    def troubles(self) -> list[str]:
        """Each failure once, with whom it struck."""
        found: dict[str, list[str]] = defaultdict(list)
        for rewriter, cells in self.rows:
            if rewriter.failure:
                found[rewriter.failure].append(rewriter.label)
                continue
            for detector, cell in zip(self.detectors, cells, strict=True):
                if cell.failure and not detector.failure:
                    many = f" ({cell.failed} of {cell.texts})" if cell.failed else ""
                    found[cell.failure].append(f"{rewriter.label} × {detector.name}{many}")
        for detector in self.detectors:
            if detector.failure:
                found[detector.failure].append(detector.name)
        return [f"{', '.join(who)}: {why}" for why, who in found.items()]

    @property
    def blind(self) -> list[str]:
        """Detectors that are not known to flag untouched AI texts more often than the human texts aimed at."""
        clean = next((cells for rewriter, cells in self.rows if rewriter.label == CLEAN), ())
        return [
            detector.name
            for detector, cell in zip(self.detectors, clean, strict=bool(clean))
            if cell.point
            and cell.point.tpr_before.low is not None
            and cell.point.tpr_before.low <= cell.point.target_fpr
        ]


def ordered(results: Results) -> list[DetectorInfo]:
    """Detectors with the ensemble first, then those trained against, then the others."""
    return sorted(results.detectors, key=lambda d: (not d.trained_against, d.name != COMBINED))


def heat_map(results: Results) -> HeatMap:
    """The table of all cells."""
    detectors = ordered(results)
    rows = []
    for rewriter in results.rewriters:
        cells = []
        for detector in detectors:
            cell = results.cell(rewriter.label, detector.name)
            absent = rewriter.failure or detector.failure or (None if cell else "not evaluated")
            cells.append(
                HeatCell(
                    point=results.point(rewriter.label, detector.name, results.about.target_fpr),
                    failure=cell.failure if cell else absent,
                    failed=cell.failed if cell else 0,
                    texts=cell.texts if cell else 0,
                )
            )
        rows.append((rewriter, cells))
    return HeatMap(detectors=detectors, rows=rows)


def thresholds(results: Results) -> dict[str, float]:
    """The threshold of each detector that verdicts are given at."""
    found = {}
    for cell in results.cells:
        if point := results.point(cell.rewriter, cell.detector, results.about.target_fpr):
            found[cell.detector] = point.threshold
    return found


def distributions(results: Results, documents: Sequence[Row], scores: Sequence[Row]) -> list[Figure]:
    """For each detector the scores of human texts, of AI texts, and of every rewriter's rewrites."""
    human = {row["id"] for row in documents if row.get("label") == "human"}
    found: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    for row in scores:
        if row.get("score") is not None:
            found[row["detector"], row["rewriter"], row["id"] in human].append(float(row["score"]))
    figures = []
    at = thresholds(results)
    for i, detector in enumerate(ordered(results)):
        rows = [
            Strip(label="human texts", kind="human", scores=found[detector.name, CLEAN, True]),
            Strip(label="AI texts, before", kind="before", scores=found[detector.name, CLEAN, False]),
        ]
        rows += [
            Strip(label=r.label, kind="after", scores=found[detector.name, r.label, False])
            for r in results.rewriters
            if r.label != CLEAN and found[detector.name, r.label, False]
        ]
        if not any(row.scores for row in rows):
            continue
        name, threshold = detector.name, at.get(detector.name)
        told = "; ".join(f"{row.label}: {len(row.scores)} texts{_median(row.scores)}" for row in rows)
        drawing = strips(f"scores-{i}", f"Scores of {name}", f"Histograms. {told}.", rows, threshold)
        figures.append(Figure(name=detector.name, drawing=drawing, note=family(detector)))
    return figures


def _median(scores: Sequence[float]) -> str:
    return f", median {number(sorted(scores)[len(scores) // 2])}" if scores else ""


def metrics_of(results: Results) -> list[str]:
    """Quality metrics in the order they were recorded."""
    return list(dict.fromkeys(q.metric for q in results.quality))


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One metric over the rewriters; ``better`` and ``summary`` are empty for a metric the core does not know."""

    metric: str
    summary: str
    better: str | None
    found: Sequence[Quality | None]

    def fewer(self, texts: int) -> str:
        """On how many texts the metric rests, where that is not all: the others have nothing it could be taken of."""
        counts = sorted({q.estimate.n for q in self.found if q and q.estimate.value is not None})
        if not counts or counts == [texts]:
            return ""
        return "–".join(dict.fromkeys((str(counts[0]), str(counts[-1]))))


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTable:
    """Rows are metrics, columns the rewriters that have any."""

    labels: Sequence[str]
    rows: Sequence[QualityRow]


def quality_table(results: Results) -> QualityTable:
    """Quality of every rewriter that was measured."""
    labels = [r.label for r in results.rewriters if any(q.rewriter == r.label for q in results.quality)]
    rows = []
    for name in metrics_of(results):
        known = METRICS.get(name)
        rows.append(
            QualityRow(
                metric=name,
                summary=known.summary if known else "",
                better=known.better if known else None,
                found=[results.mean_quality(label, name) for label in labels],
            )
        )
    return QualityTable(labels=labels, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """Evasion of the ensemble against meaning, drawn and as rows (label, success, similarity).

    ``own``: one of them is the policy.
    """

    figure: Figure
    rows: Sequence[tuple[str, Estimate, Estimate]]
    own: bool


def trade_offs(results: Results) -> TradeOff | None:
    """``None`` where not one rewriter has both figures."""
    rows = []
    for rewriter in results.rewriters:
        point = results.point(rewriter.label, COMBINED, results.about.target_fpr)
        meaning = results.mean_quality(rewriter.label, SIMILARITY)
        if rewriter.label != CLEAN and point and meaning:
            rows.append((rewriter, point.attack_success_rate, meaning.estimate))
    spots = [
        Spot(label=r.label, x=success, y=meaning, own=r.name == POLICY)
        for r, success, meaning in rows
        if success.value is not None and meaning.value is not None
    ]
    if not spots:
        return None
    told = "; ".join(f"{s.label}: success {share(s.x.value)}, similarity {number(s.y.value)}" for s in spots)
    names = ("attack success rate on the ensemble →", "semantic similarity ↑")
    drawing = trade_off("trade-off", "Evasion against meaning", f"Scatter plot. {told}.", spots, names)
    return TradeOff(
        figure=Figure(name="Evasion against meaning", drawing=drawing),
        rows=[(r.label, success, meaning) for r, success, meaning in rows],
        own=any(spot.own for spot in spots),
    )
