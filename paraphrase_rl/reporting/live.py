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
_TIGHTER = ((SHOWN_ALARMS, 3), (2, 2), (1, 1))
"""Ways to fold a view: number of alarms, and of lines for each text. The next one is taken if one does not fit."""
_NAME, _NUMBER = 22, 9
_INDENT = " " * 8


Kind = Literal["head", "alarm", "plain", "aside"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, with what it is."""

    text: str
    kind: Kind = "plain"


def view(
    watched: Monitoring, *, width: int = 80, height: int | None = None, levels: str = LEVELS
) -> list[Line]:
    """Write a run on its way.

    Args:
        width: characters of a line.
        height: number of lines to fit into: where they are too few, alarms come first, rules that find nothing are
            named in one line, and there are fewer curves and rewrites. ``None`` = as many as it takes.
        levels: characters of a curve, from the lowest value to the highest.

    Returns:
        Lines that are safe for a terminal, none of them wider than ``width``.
    """
    lines = _whole(watched, width, levels)
    if height is not None and len(lines) > height:
        lines = _fitted(watched, width, height, levels)
    return [Line(cut(terminal_safe(" ".join(line.text.split("\t"))), width), line.kind) for line in lines]


def _whole(watched: Monitoring, width: int, levels: str) -> list[Line]:
    lines = [
        Line(_head(watched), "head"),
        *(Line(part, "aside") for part in _folded(str(watched.run), width)),
        Line(""),
        *_curves(watched, list(watched.curves), width, levels),
        Line(""),
        *_rules(watched.rows, width, levels),
    ]
    if watched.alarms:
        lines += [Line(""), *_alarms(watched, width, SHOWN_ALARMS)]
    if watched.samples:
        lines += [Line(""), *_samples(watched, width, len(watched.samples), 3)]
    return lines


def _fitted(watched: Monitoring, width: int, height: int, levels: str) -> list[Line]:
    out = [row for row in watched if row.state == "alarm"]
    names = dict.fromkeys(["reward_mean", *(row.metric for row in out), *watched.curves])
    curves = _curves(watched, [name for name in names if name in watched.curves], width, levels)
    for alarms, each in _TIGHTER:
        above = [Line(_head(watched), "head"), Line(str(watched.run), "aside")]
        if watched.alarms:
            above += _alarms(watched, width, alarms, each)
        below = _rules(out, width, levels) if out else []
        below += _others(watched, width, each)
        if watched.samples:
            below += _samples(watched, width, 1, each)
        room = height - len(above) - len(below)
        if room >= min(2, len(curves)):
            break
    return [*above, *curves[: max(room, 2)], *below][:height]


def told(watched: Monitoring, after: int) -> list[str]:
    """Write a line for each step after a step, and for each of its alarms; for output that is no terminal."""
    first = watched.step - len(next(iter(watched.curves.values()), ())) + 1
    lines = []
    kl = watched.curves.get("kl_reference")
    for i, reward in enumerate(watched.curves.get("reward_mean", ())):
        step = first + i
        if step <= after:
            continue
        parts = [f"step {step}/{watched.steps or '?'}", f"reward {reward:.3f}"]
        if kl is not None:
            parts.append(f"KL {kl[i]:.4f}")
        if step == watched.step:  # time and cost are those after the newest step
            parts += _outlook(watched)
        lines.append("  ".join(parts))
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
    return "; ".join([f"{watched.status}, step {watched.step} of {watched.steps or '?'}", *_outlook(watched)])


def _outlook(watched: Monitoring) -> list[str]:
    """Time left and cost so far, as far as they are known."""
    parts = []
    if watched.seconds_left is not None:
        parts.append(f"{duration(watched.seconds_left)} left")
    if watched.spent is not None:
        parts.append(f"{watched.spent.amount:,.2f} {watched.spent.currency or 'for the machine'} so far")
    return parts


def _curves(watched: Monitoring, names: Sequence[str], width: int, levels: str) -> list[Line]:
    if not watched.curves:
        return [Line("No step is recorded yet.", "aside")]
    room = width - _NAME - 2 * _NUMBER - 4
    lines = [Line(f"{'metric':<{_NAME}} {'first':>{_NUMBER}} {'last':>{_NUMBER}}  by step", "aside")]
    for name in names:
        values = watched.curves[name]
        known = [value for value in values if math.isfinite(value)]
        ends = (known[0], known[-1]) if known else (math.nan, math.nan)
        first, last = ("-" if math.isnan(value) else f"{value:.3g}" for value in ends)
        drawn = sparkline(values, room, levels)
        lines.append(Line(f"{cut(name, _NAME):<{_NAME}} {first:>{_NUMBER}} {last:>{_NUMBER}}  {drawn}"))
    return lines


def _rules(rows: Sequence[RuleState], width: int, levels: str) -> list[Line]:
    table = [("rule", "band (steps)", "mean", "state", "action")]
    for row in rows:
        mean = "-" if row.mean is None else f"{row.mean:.2g}"
        table.append((row.rule, f"{_band(row)} ({row.patience})", mean, _state(row), row.action))
    rule, band, *others = (max(len(cells[i]) for cells in table) for i in range(5))
    rule = min(rule, _NAME)
    band = min(band, width - rule - sum(others) - 4)
    lines = []
    kinds: list[Kind] = ["aside", *("alarm" if row.state == "alarm" else "plain" for row in rows)]
    for cells, kind in zip(table, kinds, strict=True):
        parts = [
            f"{cut(cell, size):<{size}}" for cell, size in zip(cells, (rule, band, *others), strict=True)
        ]
        text = " ".join(parts).rstrip()
        lines.append(Line(text.replace("≤", "<=") if levels == ASCII_LEVELS else text, kind))
    return lines


def _others(watched: Monitoring, width: int, most: int) -> list[Line]:
    """Name the rules that are not out of their band, a line for each state."""
    by_state: dict[str, list[str]] = {}
    for row in watched:
        if row.state != "alarm":
            by_state.setdefault(_state(row), []).append(row.rule)
    lines = []
    for state, names in by_state.items():
        said = f"{len(names)} rule{'s' if len(names) > 1 else ''} {state}: {', '.join(names)}"
        lines += [Line(text) for text in _at_most(said, width, most)]
    return lines


def _state(row: RuleState) -> str:
    return "no data" if row.state == "not measured" else row.state


def _band(row: RuleState) -> str:
    low = "" if row.low is None else f"{row.low:g} ≤ "
    high = "" if row.high is None else f" ≤ {row.high:g}"
    return f"{low}{row.metric}{high}"


def _alarms(watched: Monitoring, width: int, n: int, most: int | None = None) -> list[Line]:
    """The last ``n`` alarms, with at most so many lines for each."""
    shown = watched.alarms[-n:]
    more = f" (the last {len(shown)} of {len(watched.alarms)})" if len(shown) < len(watched.alarms) else ""
    lines = [Line(f"Alarms{more}", "head")]
    for alarm in shown:
        said = f"step {alarm.step}  {alarm.rule}: {alarm.message}"
        lines += [Line(text, "alarm") for text in _at_most(said, width, most)]
    return lines


def _samples(watched: Monitoring, width: int, n: int, most: int) -> list[Line]:
    """The last rewrites of ``n`` sources, with at most so many lines for each text."""
    lines = [Line(f"Last rewrites (step {watched.samples[0]['step']})", "head")]
    for sample in watched.samples[:n]:
        row = record(sample)
        total = row.get("total")
        said = f"{total:.2f}" if isinstance(total, float) else "-"
        for name, text in (("source", row["source"]), (f"{said:>6}", row["rewrite"])):
            kind: Kind = "aside" if name == "source" else "plain"
            words = " ".join(str(text).split())
            lines += [Line(part, kind) for part in _folded(f"{name}  {words}", width)[:most]]
    return lines


def _at_most(text: str, width: int, lines: int | None) -> list[str]:
    """Fold a text, and end it with dots where it takes more lines."""
    return textwrap.wrap(
        text, width, subsequent_indent=_INDENT, break_on_hyphens=False, max_lines=lines, placeholder=" ..."
    ) or [""]


def _folded(text: str, width: int) -> list[str]:
    return _at_most(text, width, None)
