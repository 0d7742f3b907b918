"""Monitors of a training: rules over rows of ``metrics.jsonl`` that can be replayed on a saved run.

The loss is no measure of success: it may rise. ``kl_sample_train`` is the health of the numerics, ``kl_reference`` the
distance from the base model; they share no threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from paraphrase_rl.runs.terms import RewardTerm


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule of a monitor: alarm if the mean of a metric over the last ``window`` steps is outside its bounds.

    ``metric`` is a name in ``metrics.jsonl``, or ``role:ROLE`` for the reward terms of a role; then ``{name}`` and
    ``{stem}`` in the advice are those of the term.
    """

    name: str
    metric: str
    advice: str
    low: float = float("-inf")
    high: float = float("inf")
    window: int = 1


RULES = (
    Rule("mode-collapse", "reward_std", "lower the learning rate or raise exploration", low=0.05, window=5),
    Rule(
        "few-valid-outputs",
        "role:validity",
        "see the metrics {stem}_* for the check that fails",
        low=0.95,
        window=20,
    ),
    Rule("meaning-lost", "role:meaning", "raise the weight of {name}", low=0.8, window=20),
    Rule("sampler-mismatch", "kl_sample_train", "sampler and trainer disagree: check precision", high=0.01),
    Rule("step-too-large", "kl_post_train", "lower the learning rate", high=0.02, window=5),
    Rule("far-from-base", "kl_reference", "raise kl.penalty_coef to 0.02", high=0.5, window=5),
    Rule("no-signal", "frac_constant_groups", "rewards hardly differ within groups", high=0.5, window=5),
)


def rules_for(terms: Iterable[RewardTerm]) -> list[Rule]:
    """Return the rules of a run with these reward terms; if several terms have the same role, each has its own rule."""
    by_role: dict[str, list[RewardTerm]] = {}
    for term in terms:
        by_role.setdefault(f"role:{term.role}", []).append(term)
    found = []
    for rule in RULES:
        if not rule.metric.startswith("role:"):
            found.append(rule)
        for i, term in enumerate(by_role.get(rule.metric, [])):
            name = rule.name if i == 0 else f"{rule.name}-{term.stem}"
            advice = rule.advice.format(name=term.name, stem=term.stem)
            found.append(replace(rule, name=name, metric=term.metric, advice=advice))
    return found


def alarms(rows: Sequence[Mapping[str, float]], rules: Sequence[Rule]) -> dict[str, str]:
    """Find the rules that are violated now, by name, each with one line that says what was measured and what to do.

    Args:
        rows: metrics of the steps so far, oldest first; NaN (None in a saved run) if there was nothing to measure. A
            rule is silent until its window is full, and while a value in it is missing.
    """
    found = {}
    for rule in rules:
        recent = [_known(row.get(rule.metric)) for row in rows[-rule.window :]]
        if len(recent) < rule.window or any(math.isnan(value) for value in recent):
            continue
        mean = sum(recent) / len(recent)
        if not rule.low <= mean <= rule.high:
            side = f"below {rule.low:g}" if mean < rule.low else f"above {rule.high:g}"
            span = "" if rule.window == 1 else f" over {rule.window} steps"
            found[rule.name] = f"{rule.metric} {mean:.3g} is {side}{span}: {rule.advice}"
    return found


def _known(value: float | None) -> float:
    return math.nan if value is None else value
