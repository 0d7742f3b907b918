"""Numbers as text: shares as percentages, estimates with their intervals, a missing number as a dash."""

from __future__ import annotations

import math

from paraphrase_rl.acceptance.criteria import VerdictLine
from paraphrase_rl.statistics.records import Estimate

NOTHING = "–"


def share(value: float | None) -> str:
    """Write a share as a percentage: 0.623 as 62%, 0.054 as 5.4%, 0.05 as 5%."""
    if value is None or not math.isfinite(value):
        return NOTHING
    percent = 100 * value
    text = f"{percent:.0f}" if abs(percent) >= 9.95 else f"{percent:.1f}".removesuffix(".0")
    return minus(f"{text}%")


def number(value: float | None) -> str:
    """Write a number with three decimals; fewer if it is large, two significant digits if it is tiny."""
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
    """Replace hyphens by the minus sign, which is as wide as a plus."""
    return text.replace("-", "−")


def share_interval_text(estimate: Estimate) -> str:
    """Write the interval of a share; an empty string if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{share(estimate.low).removesuffix('%')}–{share(estimate.high)}"


def number_interval_text(estimate: Estimate) -> str:
    """Write the interval of a number; an empty string if there is none or it has no width."""
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return ""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def score_text(value: float | None) -> str:
    """Write a detector's score with two decimals."""
    return NOTHING if value is None else minus(f"{value:.2f}")


def criterion_value(line: VerdictLine) -> str:
    """Write the value of a criterion; without decimals if it is a count."""
    if line.value is not None and line.value.is_integer() and float(line.bound.split()[-1]).is_integer():
        return minus(f"{line.value:g}")
    return number(line.value)


def points(estimate: Estimate) -> str:
    """Format a difference of shares in percentage points, with its interval."""
    if estimate.value is None:
        return NOTHING
    text = _signed(estimate.value)
    if estimate.low is not None and estimate.high is not None:
        text += f" ({_signed(estimate.low)} to {_signed(estimate.high)})"
    return minus(text)


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0" if float(text) == 0 else text
