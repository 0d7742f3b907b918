"""Training curves of a run: metrics over the steps, with the bounds of the monitors, and what its warm-up did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paraphrase_rl.recipe.monitors import PUBLISHED, Monitor
from paraphrase_rl.reporting.charts import Chart, Series, curve
from paraphrase_rl.reporting.formatting import number
from paraphrase_rl.reporting.inputs import Row
from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.training.monitors import Rule, rules_for
from paraphrase_rl.training.warmup_pairs import PAIRS_MADE

SHOWN_STEPS = 300
"""Largest number of points in a curve; in a longer run, each point is the mean of several steps."""
TABLE_STEPS = 50
LOSS = "warmup_loss"
MEANING: Mapping[str, str] = {
    "reward_mean": "total reward, 0 to 1",
    "reward_std": "standard deviation of the total reward; 0 = mode collapse",
    "kl_sample_train": "sampler against trainer, nats per token",
    "kl_post_train": "change by one update, nats per token",
    "kl_reference": "distance from the base model, nats per token",
    LOSS: "minus the log-probability of the targets, nats per token",
    "frac_constant_groups": "share of prompts whose rollouts all have the same reward",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCurves:
    """Charts of the metrics, and the same numbers as a table whose first column is the step.

    Attributes:
        steps: number of steps of the run; the table may show fewer.
        averaged: number of steps averaged in each point of a chart.
    """

    figures: Sequence[Chart]
    columns: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]
    steps: int
    averaged: int


def training_curves(
    metrics: Sequence[Row],
    evaluations: Sequence[Row],
    terms: Sequence[RewardTerm] = (),
    monitors: Mapping[str, Monitor | None] = PUBLISHED,
) -> TrainingCurves | None:
    """Draw the metrics of a run; ``None`` if no step was recorded.

    Args:
        metrics: rows of ``metrics.jsonl``.
        evaluations: rows of ``evaluations.jsonl``; their metrics are drawn into the chart of the same name.
        terms: reward terms, which give the names of their metrics and what each means.
        monitors: monitors of the recipe, whose bands are drawn.
    """
    if not metrics:
        return None
    rules, meaning = rules_for(terms, monitors), {**MEANING} | {term.metric: term.summary for term in terms}
    names = _names(metrics, terms, rules)
    each = math.ceil(len(metrics) / SHOWN_STEPS)
    figures = []
    for i, name in enumerate(names):
        rule = next((r for r in rules if r.metric == name), None)
        values = [_value(row, name) for row in metrics]
        smooth = _rolling(values, rule.patience if rule else 1)
        series = Series(
            steps=_averaged([float(row["step"]) for row in metrics], each),
            raw=_averaged(values, each),
            smooth=_averaged(smooth, each),
            held_out=[(float(row["step"]), _value(row, name)) for row in evaluations],
            low=rule.low if rule else -math.inf,
            high=rule.high if rule else math.inf,
        )
        told = f"{name} by step. First {_shown(values[0])}, last {_shown(values[-1])}. {_band(rule)}"
        drawing = curve(f"curve-{i}", f"{name} over training", told, series)
        figures.append(Chart(name=name, drawing=drawing, note=meaning.get(name, "")))
    every = math.ceil(len(metrics) / TABLE_STEPS)
    chosen = [row for i, row in enumerate(metrics) if i % every == 0 or i == len(metrics) - 1]
    return TrainingCurves(
        figures=figures,
        columns=names,
        rows=[(row["step"], [_shown(_value(row, name)) for name in names]) for row in chosen],
        steps=len(metrics),
        averaged=each,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """Warm-up of a run: its loss, its pairs, and what it changed.

    Attributes:
        figures: the curve of its loss; empty if no step was recorded.
        averaged: number of steps averaged in each point of the curve.
        pairs: what of the pairs was kept; empty if that is not recorded.
        terms: name of a metric, its value on the held-out prompts before the warm-up, and after it; empty if they were
            not evaluated after it.
    """

    figures: Sequence[Chart]
    averaged: int
    pairs: str
    terms: Sequence[tuple[str, str, str]]


def warm_up(
    rows: Sequence[Row], evaluations: Sequence[Row], events: Sequence[Row], terms: Sequence[RewardTerm] = ()
) -> WarmUp | None:
    """Draw the loss of a warm-up; ``None`` if the run had none, or it had not begun.

    Args:
        rows: rows of ``warmup.jsonl``: of steps, and of the evaluation after the last one.
        evaluations: rows of ``evaluations.jsonl``; that of step 0 is before the warm-up.
        events: rows of ``events.jsonl``, one of which counts the pairs.
        terms: reward terms, which give the names of the metrics compared.
    """
    made = next((event for event in events if event.get("event") == PAIRS_MADE), None)
    steps = [row for row in rows if "metrics" in row]
    if made is None and not steps:
        return None
    pairs = ""
    if made is not None:
        pairs = (
            f"{made.get('pairs')} of {made.get('texts')} pairs were kept; left out: {made.get('left_out')}."
        )
    each = math.ceil(len(steps) / SHOWN_STEPS)
    figures = []
    if steps:
        values = [_value(row, LOSS) for row in steps]
        shown = _averaged(values, each)
        series = Series(
            steps=_averaged([float(row["warmup_step"]) for row in steps], each), raw=shown, smooth=shown
        )
        told = f"{LOSS} by step of the warm-up. First {_shown(values[0])}, last {_shown(values[-1])}."
        drawing = curve("curve-warm-up", f"{LOSS} over the warm-up", told, series)
        figures.append(Chart(name=LOSS, drawing=drawing, note=MEANING[LOSS]))
    before = next((row for row in evaluations if row["step"] == 0), None)
    after = next(({"metrics": row["evaluation"]} for row in rows if "evaluation" in row), None)
    changes = []
    if before is not None and after is not None:
        changes = [
            (name, _shown(_value(before, name)), _shown(_value(after, name)))
            for name in _names([before, after], terms, ())
        ]
    return WarmUp(figures=figures, averaged=each, pairs=pairs, terms=changes)


def _names(metrics: Sequence[Row], terms: Sequence[RewardTerm], rules: Sequence[Rule]) -> list[str]:
    there = {name for row in metrics for name in row["metrics"]}
    rates = [term.metric for term in terms if term.role == "validity"]
    rewards = ["reward_mean", *sorted(n for n in there if n.endswith("_reward")), *rates]
    watched = [rule.metric for rule in rules]
    return [name for name in dict.fromkeys([*rewards, *watched]) if name in there]


def _band(rule: Rule | None) -> str:
    if rule is None:
        return "No monitor watches it."
    ends = (("below", rule.low), ("above", rule.high))
    bound = " or ".join(f"{side} {end:g}" for side, end in ends if math.isfinite(end))
    return f"The monitor {rule.name} raises an alarm {bound}, over {rule.patience} step{'s' * (rule.patience > 1)}."


def _value(row: Row, name: str) -> float:
    value = row["metrics"].get(name)
    return math.nan if value is None else float(value)


def _shown(value: float) -> str:
    return number(value)


def _rolling(values: Sequence[float], window: int) -> list[float]:
    """Mean of the last ``window`` values, fewer at the start; NaN where the newest is missing."""
    means = []
    for i, value in enumerate(values):
        recent = [v for v in values[max(0, i + 1 - window) : i + 1] if math.isfinite(v)]
        means.append(sum(recent) / len(recent) if math.isfinite(value) else math.nan)
    return means


def _averaged(values: Sequence[float], each: int) -> list[float]:
    """Means of ``each`` values in a row, leaving out NaN."""
    if each == 1:
        return list(values)
    means = []
    for start in range(0, len(values), each):
        known = [v for v in values[start : start + each] if math.isfinite(v)]
        means.append(sum(known) / len(known) if known else math.nan)
    return means
