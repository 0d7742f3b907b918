"""The four kinds of chart in a report. Each is narrow enough for a phone and scales up from there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from paraphrase_rl.reporting.formatting import minus, share
from paraphrase_rl.reporting.svg import Scale, drawing, element, marker, path, span, ticks
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.tables import cut

WIDTH = 340
LETTER = 7.6
"""Mean width of a letter of a label, in the widest of the fonts of the style sheet."""
_BINS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart as SVG, with its title and a note."""

    name: str
    drawing: Markup
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values over steps: ``raw`` as measured, ``smooth`` averaged over the patience of the monitor (equal lengths)."""

    steps: Sequence[float]
    raw: Sequence[float]
    smooth: Sequence[float]
    held_out: Sequence[tuple[float, float]] = ()
    low: float = -math.inf
    high: float = math.inf


def curve(key: str, title: str, description: str, series: Series) -> Markup:
    """Draw a metric over the steps of a run, with hatching where its monitor raises an alarm."""
    height, left, right, top, bottom = 190, 46, 10, 12, 30
    bounds = [bound for bound in (series.low, series.high) if math.isfinite(bound)]
    low, high = span([*series.raw, *(y for _, y in series.held_out), *bounds], margin=0.08)
    first, last = span([*series.steps, *(x for x, _ in series.held_out)], margin=0.02)
    x = Scale(first, last, left, WIDTH - right)
    y = Scale(low, high, height - bottom, top)
    parts = [
        element(
            "pattern",
            element("path", d="M0 6L6 0", class_="hatch"),
            id=f"{key}-hatch", width=6, height=6, patternUnits="userSpaceOnUse",
        )
    ]  # fmt: skip
    for bound, start, end in ((series.low, series.low, low), (series.high, high, series.high)):
        if math.isfinite(bound):
            above, below, across = y(start), y(end), WIDTH - right - left
            parts += [
                element(
                    "rect", x=left, y=above, width=across, height=below - above, fill=f"url(#{key}-hatch)"
                ),
                element("line", x1=left, x2=WIDTH - right, y1=y(bound), y2=y(bound), class_="bound"),
            ]
    parts += _left_axis(y, left, WIDTH - right) + _bottom_axis(x, height - bottom, whole=True)
    parts.append(element("text", "step", x=left - 6, y=height - bottom + 18, text_anchor="end"))
    parts += [
        element("circle", cx=x(a), cy=y(b), r=2, class_="raw") for a, b in _known(series.steps, series.raw)
    ]
    parts.append(
        element(
            "path",
            d=path([(x(a), y(b)) for a, b in zip(series.steps, series.smooth, strict=True)]),
            class_="line",
        )
    )
    if len(_known(series.steps, series.raw)) == 1:
        parts += [marker(0, x(a), y(b), 4, "point") for a, b in _known(series.steps, series.raw)]
    parts += [marker(3, x(a), y(b), 4.5, "held-out") for a, b in series.held_out if math.isfinite(b)]
    return drawing(parts, key=key, title=title, description=description, width=WIDTH, height=height)


def _known(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    return [(a, b) for a, b in zip(xs, ys, strict=True) if math.isfinite(b)]


def _left_axis(y: Scale, left: float, right: float) -> list[Markup]:
    parts = []
    for at in ticks(y.low, y.high):
        parts.append(element("line", x1=left, x2=right, y1=y(at), y2=y(at), class_="grid"))
        parts.append(element("text", minus(f"{at:g}"), x=left - 6, y=y(at) + 4, text_anchor="end"))
    return parts


def _bottom_axis(x: Scale, bottom: float, *, whole: bool = False, percent: bool = False) -> list[Markup]:
    parts = [element("line", x1=x.start, x2=x.end, y1=bottom, y2=bottom, class_="axis")]
    for at in ticks(x.low, x.high, 5, whole=whole):
        parts.append(element("line", x1=x(at), x2=x(at), y1=bottom, y2=bottom + 4, class_="axis"))
        label = f"{100 * at:g}%" if percent else minus(f"{at:g}")
        parts.append(element("text", label, x=x(at), y=bottom + 18, text_anchor="middle"))
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The scores of one set of texts; ``kind`` is a CSS class: human, before or after."""

    label: str
    kind: str
    scores: Sequence[float]


def strips(key: str, title: str, description: str, rows: Sequence[Strip], threshold: float | None) -> Markup:
    """Draw histograms of scores one above the other on one axis, each crossed by the threshold.

    All histograms have the same height, whatever their number of texts: shapes are compared, not counts. The axis
    spans the middle 99 % of all scores; scores beyond it are counted at its ends.
    """
    row, top, bottom, left, right = 46, 22, 30, 10, 10
    height = top + row * len(rows) + bottom
    pooled = np.concatenate([np.asarray(strip.scores, dtype=np.float64) for strip in rows])
    core = np.percentile(pooled, [0.5, 99.5]).tolist() if pooled.size else []
    low, high = span([*core, *([] if threshold is None else [threshold])])
    x = Scale(low, high, left, WIDTH - right)
    parts, texts = _bottom_axis(x, height - bottom), []
    for i, strip in enumerate(rows):
        base = top + row * (i + 1)
        parts += [
            element("path", d=_histogram(strip.scores, x, base, row - 20), class_=f"area {strip.kind}"),
            element("line", x1=left, x2=WIDTH - right, y1=base, y2=base, class_="grid"),
        ]
        at = base - row + 15
        texts.append(element("text", cut(strip.label, 30), x=left, y=at, class_="row-label halo"))
        if threshold is not None and strip.scores:
            flagged = sum(score > threshold for score in strip.scores) / len(strip.scores)
            said = f"{share(flagged)} flagged"
            texts.append(element("text", said, x=WIDTH - right, y=at, text_anchor="end", class_="halo"))
            parts.append(_dashed(x(threshold), base - row + 20, base))
    if threshold is not None:
        place, end = x(threshold), "end" if x(threshold) > WIDTH / 2 else "start"
        name = minus(f"threshold {threshold:.3g}")
        parts.append(_dashed(place, top - 6, top + 1))
        texts.append(element("text", name, x=place, y=top - 9, text_anchor=end, class_="bound-label"))
    parts += texts
    return drawing(parts, key=key, title=title, description=description, width=WIDTH, height=height)


def _dashed(x: float, top: float, bottom: float) -> Markup:
    """A piece of a dashed vertical line; the caller leaves out the rows of labels."""
    return element("line", x1=x, x2=x, y1=top, y2=bottom, class_="bound")


def _histogram(scores: Sequence[float], x: Scale, base: float, height: float) -> str:
    if not scores:
        return ""
    counts, edges = np.histogram(np.clip(scores, x.low, x.high), bins=_BINS, range=(x.low, x.high))
    points = [(x(edges[0]), base)]
    for count, left, right in zip(counts / counts.max(), edges[:-1], edges[1:], strict=True):
        points += [(x(left), base - height * count), (x(right), base - height * count)]
    return path([*points, (x(edges[-1]), base)]) + "Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A labelled point of two estimates; ``own`` marks the trained policy."""

    label: str
    x: Estimate
    y: Estimate
    own: bool = False


FAR = 20
"""Distance of a label from its point, in units of the drawing, from which it repeats the point's shape."""


def scatter(key: str, title: str, description: str, spots: Sequence[Spot], names: tuple[str, str]) -> Markup:
    """Draw points with intervals in both directions; each has a label and its own shape.

    A label that found no room next to its point repeats its shape.

    Args:
        names: names of the axes; x is a share from 0 to 1.
    """
    width, height, left, right, top, bottom = 380, 350, 46, 14, 34, 52
    known = [spot for spot in spots if spot.x.value is not None and spot.y.value is not None]
    low, high = span([v for s in known for v in (s.y.value, s.y.low, s.y.high) if v is not None], margin=0.08)
    x = Scale(-0.03, 1.03, left, width - right)  # room for markers at both ends
    y = Scale(low, high, height - bottom, top)
    parts = _left_axis(y, left, width - right) + _bottom_axis(x, height - bottom, percent=True)
    parts += [
        element("text", names[0], x=x(0.5), y=height - 12, text_anchor="middle", class_="axis-name"),
        element("text", names[1], x=6, y=14, class_="axis-name"),
    ]
    taken = [
        (x(s.x.value) - 8, x(s.x.value) + 8, y(s.y.value) + 5)
        for s in known
        if s.x.value is not None and s.y.value is not None
    ]
    texts = []
    for i, spot in enumerate(known):
        assert spot.x.value is not None
        assert spot.y.value is not None
        at, level, class_ = x(spot.x.value), y(spot.y.value), "point own" if spot.own else "point"
        if spot.x.low is not None and spot.x.high is not None:
            parts.append(
                element("line", x1=x(spot.x.low), x2=x(spot.x.high), y1=level, y2=level, class_="whisker")
            )
        if spot.y.low is not None and spot.y.high is not None:
            parts.append(element("line", x1=at, x2=at, y1=y(spot.y.low), y2=y(spot.y.high), class_="whisker"))
        parts.append(marker(i, at, level, 6, class_))
        label = cut(spot.label, 24)
        length = LETTER * len(label)
        begin, baseline = _free(at, level, length, taken, (left, width - right), (top, height - bottom))
        taken.append((begin, begin + length, baseline))
        place, anchor = (begin, "start") if begin > at - length else (begin + length, "end")
        texts.append(element("text", label, x=place, y=baseline, text_anchor=anchor, class_="row-label halo"))
        # a label that is far could be taken for that of a nearer point
        if _distance(at, level, (begin, baseline), length) > FAR:
            side = begin - 7 if anchor == "start" else begin + length + 7
            texts.append(marker(i, side, baseline - 4, 3.5, class_))
    parts += texts
    return drawing(parts, key=key, title=title, description=description, width=width, height=height)


def _free(
    x: float,
    y: float,
    length: float,
    taken: Sequence[tuple[float, float, float]],
    across: tuple[float, float],
    down: tuple[float, float],
) -> tuple[float, float]:
    """Left end and baseline of a label near a point, free of other labels where there is room."""
    rows = int(down[1] - down[0]) // 16
    shifts = [shift for row in range(rows) for shift in (-8 - 16 * row, 17 + 16 * row)]
    begins = (x + 12, x - 12 - length, across[0], across[1] - length)
    inside = [
        (begin, y + shift)
        for shift in shifts
        for begin in begins
        if across[0] <= begin and begin + length <= across[1] and down[0] + 10 <= y + shift <= down[1] - 2
    ]
    inside.sort(key=lambda place: _distance(x, y, place, length))
    for begin, base in inside:
        if all(begin > b or begin + length < a or abs(base - line) > 14 for a, b, line in taken):
            return begin, base
    return inside[0] if inside else (max(across[0], min(x + 10, across[1] - length)), y - 7)


def _distance(x: float, y: float, place: tuple[float, float], length: float) -> float:
    """How far a label begins or ends from a point, or its baseline lies from it, whichever is more."""
    begin, base = place
    return max(abs(base - y), begin - x, x - begin - length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """An estimate drawn as a point with its interval and a label; ``kind`` chooses the shape."""

    label: str
    estimate: Estimate
    kind: int = 0


def whiskers(
    key: str, title: str, description: str, rows: Sequence[Whisker], reference: float, name: str, most: float
) -> Markup:
    """Draw shares with their intervals, one below the other, and a dashed line at the target.

    Args:
        name: label of the reference line.
        most: right end of the axis, the same for charts that are compared.
    """
    row, top, bottom, left, right = 40, 22, 30, 10, 14
    height = top + row * len(rows) + bottom
    x = Scale(0.0, most, left, WIDTH - right)
    parts = _bottom_axis(x, height - bottom, percent=True)
    at, end = x(reference), "end" if x(reference) > WIDTH / 2 else "start"
    parts += [
        _dashed(at, top - 6, top + 3),
        element("text", name, x=at, y=top - 9, text_anchor=end, class_="bound-label"),
    ]
    for i, one in enumerate(rows):
        estimate, level = one.estimate, top + row * i + 28
        parts.append(_dashed(at, level - 8, level + 12))
        parts.append(element("text", cut(one.label, 34), x=left, y=level - 11, class_="row-label halo"))
        if estimate.value is None:
            parts.append(element("text", "not measured", x=left, y=level + 4))
            continue
        if estimate.low is not None and estimate.high is not None:
            low, high = x(estimate.low), x(estimate.high)
            parts.append(element("line", x1=low, x2=high, y1=level, y2=level, class_="whisker"))
            parts += [
                element("line", x1=e, x2=e, y1=level - 4, y2=level + 4, class_="whisker") for e in (low, high)
            ]
        parts.append(marker(one.kind, x(estimate.value), level, 5, "point"))
        text = share(estimate.value)
        parts.append(element("text", text, x=WIDTH - right, y=level - 11, text_anchor="end"))
    return drawing(parts, key=key, title=title, description=description, width=WIDTH, height=height)
