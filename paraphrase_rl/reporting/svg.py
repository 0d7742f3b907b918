"""Scalable graphics as text: elements, scales and ticks; no plotting library, no script.

Colours, fonts and line styles come from the page's style sheet by class, so that one drawing serves light, dark and
print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from paraphrase_rl.reporting.word_changes import printable

Attribute = str | float | None


def element(name: str, *content: str, **attributes: Attribute) -> Markup:
    """Write an element with escaped text and attributes; Markup passes through.

    Args:
        name: name of the element, such as ``circle``.
        content: text, its invisible characters written out; or elements.
        attributes: ``stroke_width`` stands for ``stroke-width``, ``class_`` for ``class``; numbers are cut to two
            decimals, ``None`` is left out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(part if isinstance(part, Markup) else escape(printable(part)) for part in content)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inner)


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return printable(value)
    return f"{round(value, 2):g}"


def drawing(
    parts: Iterable[Markup], *, key: str, title: str, description: str, width: float, height: float
) -> Markup:
    """Write a whole picture, with its title and a description for those who cannot see it.

    Args:
        key: beginning of the HTML ids in the picture, unique in the page.
    """
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *parts,
        class_="chart",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear map of numbers (``low`` to ``high``) to positions (``start`` to ``end``); the middle if low = high."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def span(values: Iterable[float], *, margin: float = 0.05) -> tuple[float, float]:
    """Return the lowest and highest finite value, widened by a share on both sides, so that the width is never zero."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = (high - low) * margin or abs(high) * margin or 0.5
    return low - room, high + room


def ticks(low: float, high: float, count: int = 4, *, whole: bool = False) -> list[float]:
    """Choose about ``count`` round numbers between low and high: multiples of 1, 2 or 5 times a power of ten.

    Args:
        whole: integers only.
    """
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def path(points: Sequence[tuple[float, float]]) -> str:
    """Write the attribute ``d`` of a polyline; a point with NaN interrupts the line."""
    parts, pen_down = [], False
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            parts.append(f"{'L' if pen_down else 'M'}{round(x, 1):g} {round(y, 1):g}")
            pen_down = True
        else:
            pen_down = False
    return "".join(parts)


SHAPES = 8
"""Number of different marker shapes, after which they repeat."""


def marker(kind: int, x: float, y: float, size: float, class_: str) -> Markup:
    """Draw a shape about ``2 size`` wide.

    They are circle, square, triangle, diamond, cross, triangle upside down, saltire, hourglass.
    """
    if kind % SHAPES == 0:
        return element("circle", cx=x, cy=y, r=size, class_=class_)
    corners = (
        [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        [
            (-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4), (1.1, 0.4), (0.4, 0.4),
            (0.4, 1.1), (-0.4, 1.1), (-0.4, 0.4), (-1.1, 0.4), (-1.1, -0.4), (-0.4, -0.4),
        ],
        [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
        [
            (0, -0.55), (0.55, -1.1), (1.1, -0.55), (0.55, 0), (1.1, 0.55), (0.55, 1.1),
            (0, 0.55), (-0.55, 1.1), (-1.1, 0.55), (-0.55, 0), (-1.1, -0.55), (-0.55, -1.1),
        ],
        [(-1.1, -1.1), (1.1, -1.1), (-1.1, 1.1), (1.1, 1.1)],
    )[kind % SHAPES - 1]  # fmt: skip
    return element("path", d=path([(x + a * size, y + b * size) for a, b in corners]) + "Z", class_=class_)
