"""The short report for pull requests, in GitHub's Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paraphrase_rl.acceptance.criteria import quoted
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.reporting import fairness_charts, formatting, heat_map, quality_table
from paraphrase_rl.reporting.inputs import ReportInputs
from paraphrase_rl.reporting.word_changes import printable
from paraphrase_rl.statistics.fairness import EVERYBODY
from paraphrase_rl.statistics.records import Estimate

MOST_REWRITERS = 8
MOST_COLUMNS = 8
MOST_FAILURES = 2
MOST_GROUPS = 4
_SIGNS = {"pass": "✅ pass", "fail": "❌ fail", "not measured": "➖ not measured"}


def markdown_summary(inputs: ReportInputs) -> str:
    """Write verdict, heat map, quality and fairness as tables; fewer than 60 lines whatever was measured."""
    name = "RUN" if inputs.run is None else quoted(inputs.run)
    lines = [f"## {escaped(inputs.name)}", "", *verdict_lines(inputs, name)]
    if inputs.results is None:
        lines += ["", f"Not evaluated: `prl evaluate {name}`"]
    else:
        lines += [
            *_cells(inputs.results),
            *_quality(inputs.results),
            *_fairness(inputs.fairness or inputs.results),
        ]
    return "\n".join(lines) + "\n"


def verdict_lines(inputs: ReportInputs, name: str) -> list[str]:
    verdict = inputs.verdict
    if verdict is None:
        return [escaped(inputs.verdict_problem) or f"No verdict: an evaluation alone. `prl validate {name}`"]
    rows = [
        (
            line.criterion.replace("_", " "),
            _SIGNS[line.verdict] + (" (not certain)" if line.certain is False else ""),
            formatting.criterion_value(line)
            + _bracketed(Estimate(value=line.value, low=line.low, high=line.high, n=0)),
            line.bound.replace(">=", "≥").replace("<=", "≤"),
        )
        for line in verdict.lines
    ]
    said = "**Accepted**" if verdict.accepted else "**Not accepted**"
    return [
        f"{said} at step {verdict.checkpoint}. In brackets: 95% intervals.",
        "",
        *table(("criterion", "verdict", "value", "bound"), rows, words=2),
    ]


def _cells(results: Results) -> list[str]:
    heat = heat_map.heat_map(results)
    detectors = list(heat.detectors)[:MOST_COLUMNS]
    rows = []
    for rewriter, cells in list(heat.rows)[:MOST_REWRITERS]:
        shown = []
        for cell in cells[:MOST_COLUMNS]:
            value = formatting.NOTHING if cell.point is None else formatting.share(cell.point.tpr_after.value)
            shown.append("failed" if cell.level is None and cell.failure else value)
        rows.append((rewriter.label, *shown))
    target = formatting.share(results.about.target_fpr)
    about = results.about
    title = (
        f"AI texts flagged after rewriting, at a target false positive rate of {target} "
        f"({ORIGINAL}: the original texts; {about.ai_texts} texts of {escaped(about.source)})"
    )
    heads = ["rewriter", *(d.name if d.trained_against else f"{d.name} (held out)" for d in detectors)]
    lines = _titled(title, heads, rows, len(heat.rows) - len(rows), len(heat.detectors) - len(detectors))
    if heat.failures:
        more = (
            f" And {len(heat.failures) - MOST_FAILURES} more." if len(heat.failures) > MOST_FAILURES else ""
        )
        lines += ["", f"Failed: {escaped(' · '.join(heat.failures[:MOST_FAILURES]))}.{more}"]
    return lines


def _quality(results: Results) -> list[str]:
    metrics = quality_table.metrics_of(results)
    by_use = sorted(
        metrics, key=lambda metric: metric.better == "lower"
    )  # counts of what was added come last
    shown = [metric.name for metric in by_use[:MOST_COLUMNS]]
    labels = [r.label for r in results.rewriters if any(q.rewriter == r.label for q in results.quality)]
    rows = []
    for label in labels[:MOST_REWRITERS]:
        found = [results.mean_quality(label, metric) for metric in shown]
        rows.append((label, *(formatting.number(q.estimate.value if q else None) for q in found)))
    heads = ["rewriter", *(metric.replace("_", " ") for metric in shown)]
    return _titled("Quality", heads, rows, len(labels) - len(rows), len(metrics) - len(shown))


def _fairness(results: Results) -> list[str]:
    rates = [
        (r.group, str(r.rate.n), formatting.share(r.rate.value), formatting.share_interval_text(r.rate))
        for r in fairness_charts.at_target(results)
        if (r.detector, r.rewriter, r.words) == (COMBINED, ORIGINAL, None)
    ]
    rates.sort(key=lambda row: row[0] != EVERYBODY)
    rows = rates[:MOST_GROUPS]
    lines = _titled(
        f"Human texts of {escaped(results.about.source)} flagged by the ensemble",
        ["group", "texts", "flagged", "95% interval"],
        rows,
        len(rates) - len(rows),
        0,
    )
    gaps = [
        f"{escaped(g.group)} − {escaped(g.reference)}{'' if g.words is None else f' at {g.words} words'}"
        f"{'' if g.threshold == 'deployed' else f', threshold of {escaped(g.reference)}'}: "
        f"{formatting.points(g.gap)}"
        for g in results.fairness
        if (g.detector, g.rewriter) == (COMBINED, ORIGINAL)
        and math.isclose(g.target_fpr, results.about.target_fpr)
    ]
    return [*lines, "", f"Gap in points: {'; '.join(gaps[:4])}"] if gaps else lines


def _titled(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], fewer: int, narrower: int
) -> list[str]:
    if not rows:
        return ["", f"{title}: not measured."]
    left = [
        f"{count} more {what}{'s' * (count > 1)}"
        for count, what in ((fewer, "row"), (narrower, "column"))
        if count > 0
    ]
    note = ["", f"And {' and '.join(left)} in the full report."] if left else []
    return ["", f"**{title}**", "", *table(heads, rows), *note]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """Align the first ``words`` columns to the left, the others, which hold figures, to the right."""
    align = "|" + " --- |" * words + " --: |" * (len(heads) - words)
    head, *body = ("| " + " | ".join(map(escaped, line)) + " |" for line in (heads, *rows))
    return [head, align, *body]


def _bracketed(estimate: Estimate) -> str:
    interval = formatting.number_interval_text(estimate)
    return f" ({interval})" if interval else ""


_SPECIAL = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def escaped(text: str) -> str:
    """Escape a text for Markdown and HTML, on one line."""
    return " ".join(printable(text).translate(_SPECIAL).split())
