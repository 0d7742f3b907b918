"""A run on its way as lines of text for a terminal: curves, bands, alarms, last rewrites, time and money."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paraphrase_rl.tables import cut, record
from paraphrase_rl.text.terminal import terminal_safe
from paraphrase_rl.training.replay import Monitoring, RuleState

LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.:-=+*#"
SHOWN_ALARMS = 5
_NAME, _NUMBER = 22, 9


Kind = Literal["head", "alarm", "plain", "aside"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, with what it is."""

    text: str
    kind: Kind = "plain"


def view(watched: Monitoring, *, width: int = 80, levels: str = LEVELS) -> list[Line]:
    """Write a run on its way.

    Args:
        width: characters of a line.
        levels: characters of a curve, from the lowest value to the highest.

    Returns:
        Lines that are safe for a terminal, none of them wider than ``width``.
    """
    lines = [
        Line(_head(watched), "head"),
        *(Line(part, "aside") for part in _folded(str(watched.run), width)),
        Line(""),
    ]
    lines += _curves(watched, width, levels)
    lines += [Line(""), *_rules(watched, width, levels)]
    if watched.alarms:
        shown = watched.alarms[-SHOWN_ALARMS:]
        more = len(watched.alarms) - len(shown)
        lines += [
            Line(""),
            Line(f"Alarms{f' (the last {len(shown)} of {len(watched.alarms)})' if more else ''}", "head"),
        ]
        for alarm in shown:
            lines += [
                Line(text, "alarm")
                for text in _folded(f"step {alarm.step}  {alarm.rule}: {alarm.message}", width)
            ]
    if watched.samples:
        lines += [Line(""), Line(f"Last rewrites (step {watched.samples[0]['step']})", "head")]
        for sample in watched.samples:
            lines += _sample(sample, width)
    return [Line(cut(terminal_safe(" ".join(line.text.split("\t"))), width), line.kind) for line in lines]


def told(watched: Monitoring, after: int) -> list[str]:
    """Write a line for each step after a step, and for each of its alarms; for output that is no terminal."""
    first = watched.step - len(next(iter(watched.curves.values()), ())) + 1
    lines = []
    for i, reward in enumerate(watched.curves.get("reward_mean", ())):
        step = first + i
        if step <= after:
            continue
        shown = f"step {step}/{watched.steps or '?'}  reward {reward:.3f}"
        kl = watched.curves.get("kl_reference")
        lines.append(shown if kl is None else f"{shown}  KL {kl[i]:.4f}")
        lines += [f"monitor {a.rule}: {a.message}" for a in watched.alarms if a.step == step]
    if watched.status != "running":
        lines.append(f"{watched.run}: {_head(watched)}")
    return lines


def duration(seconds: float) -> str:
    """Format a duration in hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def sparkline(values: Sequence[float], width: int, levels: str = LEVELS) -> str:
    """Draw values as one line of at most ``width`` characters, each the mean of as many steps; a gap = not known."""
    each = max(1, math.ceil(len(values) / width))
    means = []
    for start in range(0, len(values), each):
        known = [value for value in values[start : start + each] if math.isfinite(value)]
        means.append(sum(known) / len(known) if known else math.nan)
    known = [mean for mean in means if not math.isnan(mean)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high - low or 1.0
    top = len(levels) - 1
    return "".join(" " if math.isnan(m) else levels[round((m - low) / span * top)] for m in means)


def _head(watched: Monitoring) -> str:
    parts = [f"{watched.status}, step {watched.step} of {watched.steps or '?'}"]
    if watched.seconds_left is not None:
        parts.append(f"{duration(watched.seconds_left)} left")
    if watched.spent is not None:
        parts.append(f"{watched.spent.amount:,.2f} {watched.spent.currency} so far")
    return "; ".join(parts)


def _curves(watched: Monitoring, width: int, levels: str) -> list[Line]:
    if not watched.curves:
        return [Line("No step is recorded yet.", "aside")]
    room = width - _NAME - 2 * _NUMBER - 4
    lines = [Line(f"{'metric':<{_NAME}} {'first':>{_NUMBER}} {'last':>{_NUMBER}}  by step", "aside")]
    for name, values in watched.curves.items():
        known = [value for value in values if math.isfinite(value)]
        ends = (known[0], known[-1]) if known else (math.nan, math.nan)
        first, last = ("-" if math.isnan(value) else f"{value:.3g}" for value in ends)
        drawn = sparkline(values, room, levels)
        lines.append(Line(f"{cut(name, _NAME):<{_NAME}} {first:>{_NUMBER}} {last:>{_NUMBER}}  {drawn}"))
    return lines


def _rules(watched: Monitoring, width: int, levels: str) -> list[Line]:
    table = [("rule", "band (steps)", "mean", "state", "action")]
    for row in watched:
        mean = "-" if row.mean is None else f"{row.mean:.2g}"
        state = "no data" if row.state == "not measured" else row.state
        table.append((row.rule, f"{_band(row)} ({row.patience})", mean, state, row.action))
    rule, band, *others = (max(len(cells[i]) for cells in table) for i in range(5))
    rule = min(rule, _NAME)
    band = min(band, width - rule - sum(others) - 4)
    lines = []
    kinds: list[Kind] = ["aside", *("alarm" if row.state == "alarm" else "plain" for row in watched)]
    for cells, kind in zip(table, kinds, strict=True):
        parts = [
            f"{cut(cell, size):<{size}}" for cell, size in zip(cells, (rule, band, *others), strict=True)
        ]
        text = " ".join(parts).rstrip()
        lines.append(Line(text.replace("≤", "<=") if levels == ASCII_LEVELS else text, kind))
    return lines


def _band(row: RuleState) -> str:
    low = "" if row.low is None else f"{row.low:g} ≤ "
    high = "" if row.high is None else f" ≤ {row.high:g}"
    return f"{low}{row.metric}{high}"


def _sample(sample: object, width: int) -> list[Line]:
    row = record(sample)
    total = row.get("total")
    said = f"{total:.2f}" if isinstance(total, float) else "-"
    lines = []
    for name, text in (("source", row["source"]), (f"{said:>6}", row["rewrite"])):
        folded = _folded(f"{name}  {' '.join(str(text).split())}", width)
        lines += [Line(part, "aside" if name == "source" else "plain") for part in folded[:3]]
    return lines


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="        ", break_on_hyphens=False) or [""]
