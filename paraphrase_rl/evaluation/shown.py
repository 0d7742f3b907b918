"""Tables of an evaluation to display, other than its cells: one mapping per row, numbers as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from paraphrase_rl.evaluation.results import LONGEST_NAME, ORIGINAL, Results
from paraphrase_rl.statistics.fairness import EVERYBODY
from paraphrase_rl.statistics.records import at_rate
from paraphrase_rl.tables import cell

MOST_METRICS = 9
"""Columns of the table of quality; ``quality.jsonl`` and ``results.json`` have all metrics."""


def quality_rows(results: Results) -> Iterator[Mapping[str, object]]:
    """Yield the means of the quality metrics, one row for each rewriter."""
    there = {row.metric for row in results.quality}
    shown = [m.name for m in results.metrics if m.name in there and m.better != "lower"][:MOST_METRICS]
    for rewriter in results.rewriters:
        means = {r.metric: r.estimate for r in results.quality if r.rewriter == rewriter.label}
        if means:
            yield {
                "rewriter": cell(rewriter.label, LONGEST_NAME),
                **{m.replace("_", "\n"): means[m].in_short() if m in means else None for m in shown},
            }


def transfer_rows(results: Results) -> Iterator[Mapping[str, object]]:
    """Yield means over the detectors of each family at the false positive rate of the verdicts, originals first."""
    for row in at_rate(results.transfer, results.about.target_fpr):
        yield {
            "rewriter": cell(row.rewriter, LONGEST_NAME),
            "family": cell(row.family, LONGEST_NAME),
            "trained\nagainst": row.trained_against,
            "detectors": len(row.detectors),
            "TPR": row.tpr_after.shown(),
            "ASR": None if row.rewriter == ORIGINAL else row.attack_success_rate.shown(),
        }


def fairness_rows(results: Results) -> Iterator[Mapping[str, object]]:
    """Yield the false positive rate of each group, if there are groups, with its gap to the reference group."""
    at = results.about.target_fpr
    gaps = {(g.rewriter, g.detector, g.group, g.words, g.threshold): g for g in at_rate(results.fairness, at)}
    for row in at_rate(results.false_positives, at):
        known = (row.rewriter, row.detector, row.group, row.words)
        gap, own = gaps.get((*known, "deployed")), gaps.get((*known, "reference"))
        if results.about.groups and row.group != EVERYBODY and row.threshold == "deployed":
            yield {
                "rewriter": cell(row.rewriter, LONGEST_NAME),
                "detector": cell(row.detector, LONGEST_NAME),
                "words": row.words or "all",
                "group": cell(row.group, LONGEST_NAME),
                "rate": str(row.rate),
                "n": row.rate.n,
                "gap": f"{gap.gap} to {cell(gap.reference, LONGEST_NAME)}" if gap else None,
                "at its\nthreshold": str(own.gap) if own else None,
            }


def failures(results: Results) -> Iterator[str]:
    """Yield the reasons why results are missing: of whole detectors and rewriters, then of single cells."""
    for detector in results.detectors:
        if detector.failure:
            yield f"detector {detector.name}: {detector.failure}"
    for rewriter in results.rewriters:
        if rewriter.failure:
            yield f"rewriter {rewriter.label}: {rewriter.failure}"
    broken = {d.name for d in results.detectors if d.failure} | {
        r.label for r in results.rewriters if r.failure
    }
    for found in results.cells:
        if found.failure and not {found.rewriter, found.detector} & broken:
            yield f"{found.rewriter}, {found.detector}: {found.failed} of {found.texts}: {found.failure}"
