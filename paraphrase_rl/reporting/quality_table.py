"""The table of quality metrics in a report: metrics in rows, rewriters in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.evaluation.quality import METRICS
from paraphrase_rl.evaluation.results import Quality, Results


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
        """Number of texts the metric could be computed for, as text; empty where that is all of them."""
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
