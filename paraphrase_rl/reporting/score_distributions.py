"""Histograms of detector scores before and after rewriting, one chart a detector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.reporting.charts import Chart, Strip, strips
from paraphrase_rl.reporting.formatting import number
from paraphrase_rl.reporting.heat_map import detectors_in_order, family_name
from paraphrase_rl.reporting.inputs import Row


def thresholds(results: Results) -> dict[str, float]:
    """Return the threshold of each detector at the target false positive rate."""
    found = {}
    for cell in results.cells:
        if point := results.point(cell.rewriter, cell.detector, results.about.target_fpr):
            found[cell.detector] = point.threshold
    return found


def distributions(results: Results, documents: Sequence[Row], scores: Sequence[Row]) -> list[Chart]:
    """Draw, for each detector, the scores of human texts, of AI texts, and of every rewriter's rewrites."""
    human = {row["id"] for row in documents if row.get("label") == "human"}
    found: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    for row in scores:
        if row.get("score") is not None:
            found[row["detector"], row["rewriter"], row["id"] in human].append(float(row["score"]))
    figures = []
    at = thresholds(results)
    for i, detector in enumerate(detectors_in_order(results)):
        rows = [
            Strip(label="human texts", kind="human", scores=found[detector.name, ORIGINAL, True]),
            Strip(label="AI texts, before", kind="before", scores=found[detector.name, ORIGINAL, False]),
        ]
        rows += [
            Strip(label=r.label, kind="after", scores=found[detector.name, r.label, False])
            for r in results.rewriters
            if r.label != ORIGINAL and found[detector.name, r.label, False]
        ]
        if not any(row.scores for row in rows):
            continue
        name, threshold = detector.name, at.get(detector.name)
        told = "; ".join(f"{row.label}: {len(row.scores)} texts{_median(row.scores)}" for row in rows)
        drawing = strips(f"scores-{i}", f"Scores of {name}", f"Histograms. {told}.", rows, threshold)
        figures.append(Chart(name=detector.name, drawing=drawing, note=family_name(detector)))
    return figures


def _median(scores: Sequence[float]) -> str:
    return f", median {number(sorted(scores)[len(scores) // 2])}" if scores else ""
