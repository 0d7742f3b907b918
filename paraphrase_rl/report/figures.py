"""How figures are written: shares as percentages, estimates with their intervals, nothing as a dash."""

from __future__ import annotations

import math

from paraphrase_rl.acceptance.criteria import VerdictLine
from paraphrase_rl.statistics.records import Estimate

NOTHING = "–"


def share(value: float | None) -> str:
    """0.623 as 62%, 0.054 as 5.4%, 0.05 as 5%."""
    if value is None or not math.isfinite(value):
        return NOTHING
    percent = 100 * value
    text = f"{percent:.0f}" if abs(percent) >= 9.95 else f"{percent:.1f}".removesuffix(".0")
    return minus(f"{text}%")


def number(value: float | None) -> str:
    """Three decimals, fewer for large figures, three digits for tiny ones."""
    if value is None or not math.isfinite(value):
        return NOTHING
    size = abs(value)
    style = (
        "g"
        if value == 0
        else ".3f"
        if 0.0095 <= size < 9.9995
        else ".1f"
        if 9.9995 <= size < 9999.5
        else ".2g"
    )
    return minus(f"{value:{style}}")


def minus(text: str) -> str:
    """With the true minus sign, as wide as a plus."""
    return text.replace("-", "−")


def share_interval(estimate: Estimate) -> str:
    """The interval of a share, empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{share(estimate.low).removesuffix('%')}–{share(estimate.high)}"


def number_interval(estimate: Estimate) -> str:
    """The interval of a figure, empty where there is none or it has no width."""
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return ""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def score(value: float | None) -> str:
    """A detector's score, to be compared with another: two decimals."""
    return NOTHING if value is None else minus(f"{value:.2f}")


def criterion_value(line: VerdictLine) -> str:
    """What a criterion came to; a count without decimals where its bound is one."""
    if line.value is not None and line.value.is_integer() and float(line.bound.split()[-1]).is_integer():
        return minus(f"{line.value:g}")
    return number(line.value)


def points(estimate: Estimate) -> str:
    """A difference of shares in percentage points, with its interval."""
    if estimate.value is None:
        return NOTHING
    text = _signed(estimate.value)
    if estimate.low is not None and estimate.high is not None:
        text += f" ({_signed(estimate.low)} to {_signed(estimate.high)})"
    return minus(text)


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0" if float(text) == 0 else text
