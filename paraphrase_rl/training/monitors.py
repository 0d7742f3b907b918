"""Monitors of a training: rules over the rows of ``metrics.jsonl``, the same on a live run and on a saved one.

The loss is no measure of success: it may rise. ``kl_sample_train`` is the health of the numerics, ``kl_reference`` the
distance from the base model; they share no threshold.

What a rule has done follows from the rows and the monitor events of the steps before, and from nothing else: a run
that is resumed goes on as one that nothing disturbed, also where its rules are changed on the way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paraphrase_rl.errors import RunError
from paraphrase_rl.names import nearest
from paraphrase_rl.recipe.monitors import (
    COMPUTED,
    ONE_SIDED_GAIN,
    PUBLISHED,
    REWARD_GAIN,
    SPOKEN,
    Action,
    Monitor,
)
from paraphrase_rl.runs.metrics_files import DAMAGED
from paraphrase_rl.runs.terms import RewardTerm

FIRST_STEPS = 5
"""Number of steps at the start of a run with which :func:`one_sided_gain` compares."""
START_STEPS = 20
"""Number of steps at the start of a run with which ``reward_gain`` compares; more than :data:`FIRST_STEPS`, because the
gain to be told from none is no larger than what one step's reward varies by."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A monitor of the recipe, for one metric: it finds a mean of the last ``patience`` steps that is out of its band.

    ``metric`` is a name in ``metrics.jsonl``, or one that monitors compute.
    """

    name: str
    metric: str
    advice: str = ""
    low: float = -math.inf
    high: float = math.inf
    patience: int = 1
    action: Action = "warn"
    multiplier: float = 1.0
    limit: int = 3

    def out(self, mean: float) -> str:
        """Say what was measured if a mean is out of the band; an empty string if it is within, or NaN."""
        if math.isnan(mean) or self.low <= mean <= self.high:
            return ""
        side = f"below {self.low:g}" if mean < self.low else f"above {self.high:g}"
        span = "" if self.patience == 1 else f" over {self.patience} steps"
        return f"{self.metric} {mean:.3g} is {side}{span}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A rule's alarm at a step, and what was done.

    Attributes:
        value: mean of the metric over the last steps, as many as the rule's patience.
        message: one line: what was measured, and what to do or what was done.
        scale: what the KL coefficient or the learning rate of the recipe is multiplied by from the next step on;
            ``None`` if neither changed.
        to: step of the checkpoint that was restored.
    """

    step: int
    rule: str
    metric: str
    value: float
    action: Action
    message: str
    scale: float | None = None
    to: int | None = None

    def event(self) -> dict[str, object]:
        """Return the fields of the event that records it."""
        told = {"step": self.step, "rule": self.rule, "action": self.action, "message": self.message}
        changed = {"scale": self.scale, "to": self.to}
        return told | {key: value for key, value in changed.items() if value is not None}


def without_checkpoint(alarm: Alarm) -> Alarm:
    """Return the alarm of a rule that would roll back and cannot: it stops the run."""
    return replace(
        alarm, action="stop", message=f"{alarm.message}: there is no checkpoint from before it to go back to"
    )


def rules_for(terms: Iterable[RewardTerm], monitors: Mapping[str, Monitor | None] = PUBLISHED) -> list[Rule]:
    """Return the rules of a run with these reward terms; if several terms have the same role, each has its own rule."""
    by_role: dict[str, list[RewardTerm]] = {}
    for term in terms:
        by_role.setdefault(term.role, []).append(term)
    found = []
    for name, monitor in monitors.items():
        if monitor is None:
            continue
        rule = Rule(
            name=name,
            metric=monitor.metric,
            advice=monitor.advice,
            low=-math.inf if monitor.low is None else monitor.low,
            high=math.inf if monitor.high is None else monitor.high,
            patience=monitor.patience,
            action=monitor.action,
            multiplier=monitor.multiplier,
            limit=monitor.limit,
        )
        kind, _, role = monitor.metric.partition(":")
        if kind != "role":
            found.append(rule)
            continue
        role, _, detail = role.partition(":")
        for i, term in enumerate(by_role.get(role, [])):
            found.append(
                replace(
                    rule,
                    name=name if i == 0 else f"{name}-{term.stem}",
                    metric=f"{term.stem}_{detail}" if detail else term.metric,
                    advice=monitor.advice.replace("{name}", term.name).replace("{stem}", term.stem),
                )
            )
    return found


def unmeasured(
    monitors: Mapping[str, Monitor | None], rules: Sequence[Rule], metrics: Mapping[str, float]
) -> list[str]:
    """Say which monitors that a recipe gives, other than the published ones, look at nothing that a step measures."""
    by_name = {rule.name: rule for rule in rules}
    lines = []
    for name, monitor in monitors.items():
        if monitor is None or monitor == PUBLISHED.get(name):
            continue
        rule = by_name.get(name)
        if rule is None:
            role = monitor.metric.split(":")[1]
            lines.append(f"monitor {name} is off: no reward term has the role {role}")
        elif rule.metric not in (*metrics, *COMPUTED):
            close = nearest(rule.metric, sorted(metrics))
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            lines.append(f"monitor {name} is off: no step measures {rule.metric}{hint}")
    return lines


def alarms(
    rows: Sequence[Mapping[str, float | None]], rules: Sequence[Rule], terms: Iterable[RewardTerm] = ()
) -> dict[str, str]:
    """Find the rules that are violated after the last step, by name, each with one line: what was measured, and advice.

    Args:
        rows: metrics of the steps so far, oldest first; NaN (None in a saved run) if there was nothing to measure. A
            rule is silent until there are as many steps as its patience, and while a value in them is missing.
        terms: reward terms of the run, for rules about ``one_sided_gain``.
    """
    monitors = Monitors(rules, terms)
    monitors.restore(enumerate(rows, start=1))
    told = {rule: rule.out(monitors.mean(rule)) for rule in rules}
    return {
        rule.name: f"{said}: {rule.advice}" if rule.advice else said for rule, said in told.items() if said
    }


class Monitors:
    """Rules over a run, step by step.

    A rule that warns does so once, until its metric has been within its band. A rule that acts looks from then on only
    at later steps, and acts again if their mean is out of its band too, up to its limit. After a roll-back all rules
    look only at later steps.

    Attributes:
        rules: in the order of the recipe.
        kl_scale: what the KL coefficient of the recipe is multiplied by now.
        rate_scale: what the learning rate of the recipe is multiplied by now.
        abandoned: for each roll-back the step that it restored, and the step after which it did so.
    """

    def __init__(self, rules: Sequence[Rule], terms: Iterable[RewardTerm] = ()) -> None:
        self.rules = tuple(rules)
        self.kl_scale = self.rate_scale = 1.0
        self.abandoned: list[tuple[int, int]] = []
        self._scored = [term.metric for term in terms if term.role != "validity"]
        self._steps: list[int] = []
        self._rows: list[Mapping[str, float | None]] = []
        self._alarmed: set[str] = set()
        self._acted: Counter[str] = Counter()
        self._since: dict[str, int] = {}
        self._rolled_back = 0
        self._start = math.nan

    def restore(
        self, rows: Iterable[tuple[int, Mapping[str, float | None]]], events: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Take over the steps done so far.

        Args:
            rows: step and metrics, oldest first.
            events: rows of ``events.jsonl`` up to the last step.

        Raises:
            RunError: an event is not one that a run records.
        """
        for step, metrics in rows:
            self._steps.append(step)
            self._rows.append(metrics)
        for event in events:
            if event.get("event") == "monitor" and event.get("action", "warn") not in SPOKEN:
                self._take_over(event)
        self._alarmed = {rule.name for rule in self.rules if rule.out(self.mean(rule))}

    def look(self, step: int, metrics: Mapping[str, float | None]) -> list[Alarm]:
        """Add a step; return what the rules find, in their order. :meth:`done` says then what was done."""
        self._steps.append(step)
        self._rows.append(metrics)
        found, alarmed = [], set()
        for rule in self.rules:
            mean = self.mean(rule)
            told = rule.out(mean)
            if not told:
                continue
            acts = rule.action not in SPOKEN and self._acted[rule.name] < rule.limit
            if not acts:
                alarmed.add(rule.name)
            if acts or rule.name not in self._alarmed:
                action = rule.action if acts or rule.action in SPOKEN else "warn"
                alarm = Alarm(
                    step=step, rule=rule.name, metric=rule.metric, value=mean, action=action, message=told
                )
                found.append(alarm)
        self._alarmed = alarmed
        return found

    def done(self, alarm: Alarm, to: int | None = None) -> Alarm:
        """Record that the action of an alarm is done; return the alarm with what was done in its message.

        Args:
            to: step of the checkpoint that a roll-back restores; ``None`` = it is not known.
        """
        rule = next(rule for rule in self.rules if rule.name == alarm.rule)
        action, told, scale = alarm.action, alarm.message, None
        if action in ("raise-kl", "lower-rate"):
            now, what = (
                (self.kl_scale, "KL coefficient")
                if action == "raise-kl"
                else (self.rate_scale, "learning rate")
            )
            scale = now * rule.multiplier
            told += f": {what} times {rule.multiplier:g}, now {scale:g} times the recipe's"
        elif action == "roll-back":
            told += f": back to the {'last good checkpoint' if to is None else f'checkpoint of step {to}'}"
        elif action == "stop":
            told += f"{': ' + rule.advice if rule.advice else ''}; stopping, with a checkpoint"
        else:
            spent = (
                "" if rule.action in SPOKEN else f" (the limit of {rule.action}, {rule.limit}, is reached)"
            )
            told += f"{': ' + rule.advice if rule.advice else ''}{spent}"
        alarm = replace(alarm, action=action, message=told, scale=scale, to=to)
        if action not in SPOKEN:
            self._did(alarm.step, alarm.rule, action, scale, to)
        return alarm

    def looks_at(self, rule: Rule) -> int:
        """Return the number of steps that a rule can look at now, at most its patience."""
        since = max(self._rolled_back, self._since.get(rule.name, 0))
        return sum(step > since for step in self._steps[-rule.patience :])

    def mean(self, rule: Rule) -> float:
        """Compute the mean of a rule's metric over its last steps; NaN if they are too few, or one was not measured."""
        if self.looks_at(rule) < rule.patience:
            return math.nan
        end = len(self._rows)
        recent = [self.value(i, rule.metric) for i in range(end - rule.patience, end)]
        return sum(recent) / len(recent)

    def value(self, index: int, metric: str) -> float:
        """Return a metric at the step with an index, counted from 0; NaN if it is not known.

        ``reward_gain`` is how far the mean total reward is above its mean over the first 20 steps.
        """
        if metric == REWARD_GAIN:
            return _known(self._rows[index].get("reward_mean")) - self._reward_at_start()
        if metric == ONE_SIDED_GAIN:
            return one_sided_gain(self._rows[:FIRST_STEPS], self._rows[index], self._scored)
        return _known(self._rows[index].get(metric))

    def _reward_at_start(self) -> float:
        """Mean total reward of the first steps; NaN before there are so many."""
        if math.isnan(self._start) and len(self._rows) >= START_STEPS:
            rewards = [_known(row.get("reward_mean")) for row in self._rows[:START_STEPS]]
            known = [reward for reward in rewards if not math.isnan(reward)]
            self._start = sum(known) / len(known) if known else math.nan
        return self._start

    def _take_over(self, event: Mapping[str, Any]) -> None:
        scale, to = event.get("scale"), event.get("to")
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            raise RunError(f"events.jsonl: a monitor cannot have scale {scale}", DAMAGED)
        self._did(event.get("step", 0), str(event.get("rule")), event["action"], scale, to)

    def _did(self, step: int, rule: str, action: str, scale: float | None, to: int | None) -> None:
        self._since[rule] = step
        self._acted[rule] += action != "stop"
        if action == "raise-kl" and scale is not None:
            self.kl_scale = scale
        elif action == "lower-rate" and scale is not None:
            self.rate_scale = scale
        elif action == "roll-back":
            self._rolled_back = step
            self._alarmed = set()
            if to is not None:
                self.abandoned.append((to, step))


def one_sided_gain(
    first: Sequence[Mapping[str, float | None]], now: Mapping[str, float | None], terms: Sequence[str]
) -> float:
    """Compute how far one reward term has risen since the start of a run while another has fallen as far, in [-1, 1].

    The smaller of the largest rise and the largest fall, each against the term's mean over the first steps. Near 0
    while all terms rise or stay; a policy that earns one term at the expense of another has both.

    Args:
        first: metrics of the first steps, of which the mean is taken.
        now: metrics of a step.
        terms: names of the metrics of the reward terms; gates are not among them.

    Returns:
        NaN if fewer than two terms are known.
    """
    changes = []
    for term in terms:
        before = [value for row in first if not math.isnan(value := _known(row.get(term)))]
        value = _known(now.get(term))
        if before and not math.isnan(value):
            changes.append(value - sum(before) / len(before))
    return min(max(changes), -min(changes)) if len(changes) > 1 else math.nan


def _known(value: float | None) -> float:
    return math.nan if value is None else value
