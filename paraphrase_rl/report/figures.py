"""How figures are written: shares as percentages, estimates with their intervals, nothing as a dash."""

from __future__ import annotations

import math

from paraphrase_rl.evaluation.records import Estimate

NOTHING = "–"


def share(value: float | None) -> str:
    """0.623 as 62%, 0.054 as 5.4%, 0.05 as 5%."""
    if value is None or not math.isfinite(value):
        return NOTHING
    percent = 100 * value
    return f"{percent:.0f}%" if abs(percent) >= 9.95 else f"{percent:.1f}".removesuffix(".0") + "%"


def number(value: float | None) -> str:
    """Three decimals, fewer for large figures, three digits for tiny ones."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    if 0.0095 <= abs(value) < 9.9995:
        return f"{value:.3f}"
    return f"{value:.1f}" if 9.9995 <= abs(value) < 9999.5 else f"{value:.2g}"


def share_interval(estimate: Estimate) -> str:
    """The interval of a share, empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{share(estimate.low).removesuffix('%')}–{share(estimate.high)}"


def number_interval(estimate: Estimate) -> str:
    """The interval of a figure, empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def points(estimate: Estimate) -> str:
    """A difference of shares in percentage points, with its interval."""
    if estimate.value is None:
        return NOTHING
    text = f"{100 * estimate.value:+.1f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})"
