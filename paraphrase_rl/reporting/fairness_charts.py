"""Charts of false positive rates by detector and group of writers."""

from __future__ import annotations

import math

from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.reporting.charts import Chart, Whisker, whiskers
from paraphrase_rl.reporting.formatting import share
from paraphrase_rl.reporting.heat_map import detectors_in_order, family_name
from paraphrase_rl.statistics.fairness import EVERYBODY
from paraphrase_rl.statistics.records import FairnessGap, FalsePositives


def rates_by_group(results: Results) -> list[Chart]:
    """Draw the false positive rates of every group on the original texts at full length: a chart for each detector.

    If there are no groups, one chart with a row for each detector. All charts have the same axis.
    """
    target = results.about.target_fpr
    rates = [r for r in at_target(results) if r.rewriter == ORIGINAL and r.words is None]
    rates.sort(key=lambda r: r.group != EVERYBODY)
    mine = {d.name: [r for r in rates if r.detector == d.name] for d in detectors_in_order(results)}
    if all(r.group == EVERYBODY for r in rates):
        rows = [
            Whisker(label=f"{r.detector} ({r.rate.n})", estimate=r.rate) for rs in mine.values() for r in rs
        ]
        charts = [("All human texts", "", rows)]
    else:
        charts = [
            (
                detector.name,
                family_name(detector),
                [
                    Whisker(
                        label=f"{'all human texts' if r.group == EVERYBODY else r.group} ({r.rate.n})",
                        estimate=r.rate,
                        kind=0 if r.group == EVERYBODY else 3,
                    )
                    for r in mine[detector.name]
                ],
            )
            for detector in detectors_in_order(results)
        ]
    ends = [v for r in rates for v in (r.rate.value, r.rate.high) if v is not None]
    most = min(1.0, max([*ends, target * 1.5]) * 1.08)
    figures = []
    for i, (name, note, rows) in enumerate(charts):
        if not rows:
            continue
        told = "; ".join(f"{w.label}: {share(w.estimate.value)}" for w in rows)
        drawing = whiskers(
            f"groups-{i}",
            f"False positive rates, {name}",
            f"Points with 95% intervals. {told}. Target: {share(target)}.",
            rows,
            target,
            f"target {share(target)}",
            most,
        )
        figures.append(Chart(name=name, drawing=drawing, note=note))
    return figures


def gaps(results: Results) -> list[FairnessGap]:
    """Return the gaps between groups at both thresholds of the target rate, those of the ensemble first."""
    found = [g for g in results.fairness if math.isclose(g.target_fpr, results.about.target_fpr)]
    place = {detector.name: i for i, detector in enumerate(detectors_in_order(results))}
    return sorted(found, key=lambda g: place.get(g.detector, len(place)))


def at_target(results: Results) -> list[FalsePositives]:
    """Return the false positive rates at the deployed threshold of the target rate."""
    return [
        r
        for r in results.false_positives
        if r.threshold == "deployed" and math.isclose(r.target_fpr, results.about.target_fpr)
    ]
