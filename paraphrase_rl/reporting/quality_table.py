"""The table of quality metrics in a report: metrics in rows, rewriters in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.evaluation.results import MetricInfo, Quality, Results


def metrics_of(results: Results) -> list[MetricInfo]:
    """List the quality metrics that some rewriter has a value of, in the order of the tables."""
    there = {row.metric for row in results.quality}
    return [metric for metric in results.metrics if metric.name in there]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One row of the table: a metric with its value for each rewriter."""

    metric: str
    summary: str
    better: str | None
    found: Sequence[Quality | None]

    def fewer(self, texts: int) -> str:
        """Write the number of texts that the metric could be computed for; an empty string if that is all of them."""
        counts = sorted({q.estimate.n for q in self.found if q and q.estimate.value is not None})
        if not counts or counts == [texts]:
            return ""
        return "–".join(dict.fromkeys((str(counts[0]), str(counts[-1]))))


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTable:
    """Rows are metrics; columns are the rewriters with rewrites."""

    labels: Sequence[str]
    rows: Sequence[QualityRow]


def quality_table(results: Results) -> QualityTable:
    """Build the table of quality metrics of an evaluation."""
    labels = [r.label for r in results.rewriters if any(q.rewriter == r.label for q in results.quality)]
    rows = [
        QualityRow(
            metric=metric.name,
            summary=metric.summary,
            better=metric.better,
            found=[results.mean_quality(label, metric.name) for label in labels],
        )
        for metric in metrics_of(results)
    ]
    return QualityTable(labels=labels, rows=rows)
