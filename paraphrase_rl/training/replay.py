"""Replay of the monitors on a run directory: what each rule finds in the steps that are recorded, live or saved."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from paraphrase_rl.errors import RunError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.preflight.inspection import prices_of
from paraphrase_rl.recipe.cost import Prices, read_prices, spent
from paraphrase_rl.recipe.loading import Changes
from paraphrase_rl.recipe.monitors import COMPUTED, Action, in_force
from paraphrase_rl.runs.backend import backend_of_run
from paraphrase_rl.runs.ledger import WARMUP, ledger
from paraphrase_rl.runs.metrics_files import WARMUP_PAIRS, WARMUP_ROWS, rows_of
from paraphrase_rl.runs.reader import History, read_history, recipe_of_run
from paraphrase_rl.tables import Table
from paraphrase_rl.training.monitors import Alarm, Monitors, Rule, rules_for, without_checkpoint

RECENT_STEPS = 10
"""Number of last steps whose mean duration says how long the rest of a run takes."""
_TAIL = 256_000
"""Number of bytes at the end of ``samples.jsonl`` in which the last samples are looked for."""

State = Literal["ok", "alarm", "waiting", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState:
    """A rule after the last step of a run.

    Attributes:
        mean: mean of the metric over the last ``patience`` steps; ``None`` if it is not known.
        low: lower end of the band; ``None`` = there is none.
        high: upper end of the band; ``None`` = there is none.
        state: ``ok``; ``alarm`` = out of the band; ``waiting`` = there are too few steps; ``not measured``.
        alarms: number of steps at which the rule found something.
        first: the first of these steps; ``None`` if there is none.
    """

    rule: str
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    patience: int
    state: State
    action: Action
    alarms: int
    first: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Cost of the steps that a run directory records, those of its warm-up included.

    Attributes:
        amount: by a price table, or by what an hour of the machine costs.
        currency: of the price table; ``None`` = that of the cost of an hour.
    """

    amount: float
    currency: str | None


@dataclass(frozen=True, repr=False, kw_only=True)
class Monitoring(Table[RuleState]):
    """Rules of a run after its last step, what they found, and how far the run is.

    Attributes:
        run: the run directory.
        status: as for :class:`paraphrase_rl.runs.run.Run`.
        step: the last step done.
        steps: number of steps of the whole run; ``None`` if it is not known.
        alarms: what the rules found, in the order of the steps, with what was done.
        curves: metric -> its value at each recorded step; NaN if it was not measured. Total reward first, then the
            reward terms, then what rules look at.
        samples: the last rewrites with their sources and rewards.
        seconds_left: of a running run; ``None`` if it is not running, or no step is done.
        spent: cost so far; ``None`` if nothing is charged, or the price, the tokens or the seconds are not
            known.
    """

    run: Path
    status: str
    step: int
    steps: int | None
    alarms: tuple[Alarm, ...] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    samples: tuple[Mapping[str, Any], ...] = ()
    seconds_left: float | None = None
    spent: Spent | None = None

    columns: ClassVar[tuple[str, ...]] = (
        "rule",
        "metric",
        "mean",
        "low",
        "high",
        "patience",
        "state",
        "action",
        "first",
    )

    @property
    def ok(self) -> bool:
        """True if no rule is out of its band after the last step."""
        return all(row.state != "alarm" for row in self.rows)

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return f"{self.run}: {self.status}, step {self.step} of {self.steps or '?'}"


def replay(
    folder: Path,
    registry: Registry,
    changes: Changes = (),
    prices: Path | None = None,
    hourly: float | None = None,
) -> Monitoring:
    """Replay the rules of a run on its recorded steps.

    Args:
        folder: the run directory.
        registry: where the price table of the run's backend comes from.
        changes: changes to ``monitors`` of the run's recipe, to see what other rules would find.
        prices: file of a price table to use instead.
        hourly: what an hour of the machine costs; then no price table is used.

    Raises:
        RunError: there is no run, or one of its files is damaged.
        UsageError: a change of something else.
        RecipeError: the price table cannot be read.
    """
    history = read_history(folder)
    recipe = recipe_of_run(folder, changes, ["monitors"])
    rules = rules_for(history.terms, in_force(recipe.monitors, recipe.kl.reference))
    monitors = Monitors(rules, history.terms)
    recorded = {
        (row.get("step"), row.get("rule")): row
        for row in rows_of(folder, "events.jsonl")
        if row.get("event") == "monitor"
    }
    alarms: list[Alarm] = []
    for step, metrics in history.metrics.items():
        for found in monitors.look(step, metrics):
            event = recorded.get((step, found.rule), {})
            stopped = found.action == "roll-back" and event.get("action") == "stop"
            alarms.append(monitors.done(without_checkpoint(found) if stopped else found, event.get("to")))
    names = ["reward_mean", *(term.metric for term in history.terms), *(r.metric for r in monitors.rules)]
    known = {*COMPUTED, *(name for metrics in history.metrics.values() for name in metrics)}
    cost = _spent(history, _prices(folder, registry, prices)) if hourly is None else _machine(history, hourly)
    return Monitoring(
        rows=tuple(_state(rule, monitors, alarms) for rule in monitors.rules),
        run=folder,
        status=history.status,
        step=history.last_step,
        steps=history.steps,
        alarms=tuple(alarms),
        curves={
            name: [monitors.value(i, name) for i in range(len(history.metrics))]
            for name in dict.fromkeys(names)
            if name in known and history.metrics
        },
        samples=last_samples(folder),
        seconds_left=_seconds_left(history),
        spent=cost,
    )


def last_samples(folder: Path, n: int = 3) -> tuple[Mapping[str, Any], ...]:
    """Read the last rewrites of a run, of ``n`` different sources, without reading the whole file."""
    path = folder / "samples.jsonl"
    if not path.is_file():
        return ()
    with path.open("rb") as stream:
        start = max(0, path.stat().st_size - _TAIL)
        stream.seek(start)
        lines = stream.read().decode("utf-8", errors="replace").split("\n")
    found: dict[str, Mapping[str, Any]] = {}
    for line in reversed(lines[1:] if start else lines):
        try:
            row = json.loads(line)
            texts = [row[key] for key in ("id", "source", "rewrite")]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # cut off, or being written
        if all(isinstance(text, str) for text in texts) and isinstance(row.get("step"), int):
            found.setdefault(row["id"], row)
        if len(found) == n:
            break
    return tuple(found.values())


def _state(rule: Rule, monitors: Monitors, alarms: Sequence[Alarm]) -> RuleState:
    mean = monitors.mean(rule)
    mine = [alarm.step for alarm in alarms if alarm.rule == rule.name]
    state: State = "alarm" if rule.out(mean) else "ok"
    if math.isnan(mean):
        state = "waiting" if monitors.looks_at(rule) < rule.patience else "not measured"
    return RuleState(
        rule=rule.name,
        metric=rule.metric,
        mean=None if math.isnan(mean) else mean,
        low=rule.low if math.isfinite(rule.low) else None,
        high=rule.high if math.isfinite(rule.high) else None,
        patience=rule.patience,
        state=state,
        action=rule.action,
        alarms=len(mine),
        first=min(mine, default=None),
    )


def _seconds_left(history: History) -> float | None:
    last = [row.get("seconds_total", math.nan) for row in history.metrics.values()][-RECENT_STEPS:]
    if history.status != "running" or history.steps is None or not last or math.isnan(sum(last)):
        return None
    return (history.steps - history.last_step) * sum(last) / len(last)


def _prices(folder: Path, registry: Registry, file: Path | None) -> Prices | None:
    if file is not None:
        return read_prices(file)
    try:
        return prices_of(registry, backend_of_run(folder, {}).name, None)
    except RunError:
        return None  # without a manifest nobody knows the backend


def _spent(history: History, prices: Prices | None) -> Spent | None:
    if prices is None or (price := prices.models.get(history.recipe.model)) is None:
        return None
    warmup = rows_of(history.folder, WARMUP_ROWS)
    steps = {row["warmup_step"]: row["metrics"] for row in warmup if "metrics" in row}
    saved = [int(row["warmup_step"]) for row in ledger(history.folder) if row["kind"] == WARMUP]
    evaluated = [*history.evaluations.values(), *(row["evaluation"] for row in warmup if "evaluation" in row)]
    amount = spent(
        history.metrics.values(),
        [*evaluated, *rows_of(history.folder, WARMUP_PAIRS)],
        # a batch is read once more before a checkpoint
        [*steps.values(), *(steps[step] for step in saved if step in steps)],
        price,
        prices.passes,
        group_size=history.recipe.training.group_size,
        warmed_up=history.recipe.warmup.method is not None,
    )
    return None if amount is None else Spent(amount=amount, currency=prices.currency)


def _machine(history: History, hourly: float) -> Spent | None:
    """Cost of the machine in the recorded steps; ``None`` if the seconds of one are not known."""
    warmup = [row["metrics"] for row in rows_of(history.folder, WARMUP_ROWS) if "metrics" in row]
    seconds = [row.get("seconds_total") for row in (*history.metrics.values(), *warmup)]
    known = [value for value in seconds if value is not None and not math.isnan(value)]
    if len(known) < len(seconds):
        return None
    return Spent(amount=sum(known) * hourly / 3600, currency=None)
