"""The page of a comparison of detectors: ranking, ROC curves, score distributions, reliability, groups."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from paraphrase_rl import __version__
from paraphrase_rl.comparison.records import PARTS, Comparison, DetectorFigures, TestedScores
from paraphrase_rl.detection.calibration import percent
from paraphrase_rl.reporting.charts import WIDTH, Chart, Strip, Whisker, strips, whiskers
from paraphrase_rl.reporting.html import asset, environment, policy
from paraphrase_rl.reporting.svg import Scale, drawing, element, marker, path
from paraphrase_rl.tables import keys

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 250, 46, 12, 12, 46
_MOST_GROUPS = 12


def comparison_page(found: Comparison) -> str:
    """Write the page as HTML. It refers to nothing outside itself; its content security policy forbids it."""
    style = asset("report.css")
    best, table = found.best, found.shown_rows()
    page = environment().get_template("comparison.html.j2")
    return page.render(
        found=found,
        best=best,
        rate=percent(found.target_fpr),
        table=table,
        columns=keys(table),
        tables=[(by, rows) for by in PARTS if (rows := found.part_rows(by))],
        gaps=[(gap.detector, gap.highest, gap.lowest, str(gap.gap)) for gap in found.gaps],
        rocs=list(_rocs(found)),
        distributions=[_distribution(f"scores-{i}", column) for i, column in enumerate(found.scores)],
        reliability=[
            _reliability(f"reliability-{i}", one) for i, one in enumerate(found.detectors) if one.bins
        ],
        groups=list(_groups(found)),
        style=Markup(style),
        policy=policy([style]),
        version=__version__,
    )


def roc_points(scores: TestedScores) -> list[tuple[float, float]]:
    """Compute the ROC curve: (false positive rate, true positive rate) at every threshold, from (0, 0) to (1, 1)."""
    human, ai = np.sort(scores.human), np.sort(scores.ai)
    thresholds = np.unique(np.concatenate([human, ai]))[::-1]
    fpr = 1.0 - np.searchsorted(human, thresholds, side="left") / human.size
    tpr = 1.0 - np.searchsorted(ai, thresholds, side="left") / ai.size
    return [(0.0, 0.0), *zip(fpr.tolist(), tpr.tolist(), strict=True)]


def _rocs(found: Comparison) -> Iterator[Chart]:
    """One chart a detector, with the best one's curve; the axis of the false positive rate is logarithmic."""
    best = found.best
    by_name = {column.detector: column for column in found.scores if column.human and column.ai}
    reference = roc_points(by_name[best.detector]) if best is not None and best.detector in by_name else None
    for i, one in enumerate(found.detectors):
        if one.detector not in by_name:
            continue
        smallest = 1.0 / len(by_name[one.detector].human)
        x = Scale(math.log10(smallest) - 0.1, 0.0, _LEFT, WIDTH - _RIGHT)
        y = Scale(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)
        parts = [*_share_axis(y), *_log_axis(x, smallest), *_names("false positive rate (log)", "TPR")]
        if reference is not None and best is not None and one.detector != best.detector:
            parts.append(element("path", d=_line(reference, x, y, smallest), class_="area human"))
        parts.append(
            element("path", d=_line(roc_points(by_name[one.detector]), x, y, smallest), class_="line")
        )
        at = x(math.log10(found.target_fpr)) if found.target_fpr >= smallest else None
        if at is not None:
            parts.append(element("line", x1=at, x2=at, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="bound"))
        said = f"ROC of {one.detector}: AUROC {one.auroc}."
        note = "" if best is None or one.detector == best.detector else f"dotted: {best.detector}"
        yield Chart(name=one.detector, drawing=_drawn(f"roc-{i}", said, parts), note=note)


def _line(points: list[tuple[float, float]], x: Scale, y: Scale, smallest: float) -> str:
    """Steps of a curve; rates below the smallest that n can show stand at the left edge."""
    drawn, last = [], 0.0
    for fpr, tpr in points:
        at = x(math.log10(fpr)) if fpr >= smallest / 2 else x(x.low)
        drawn += [(at, y(last)), (at, y(tpr))]
        last = tpr
    return path(drawn)


def _share_axis(y: Scale) -> Iterator[Markup]:
    for at in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y(at), y2=y(at), class_="grid")
        yield element("text", f"{100 * at:g}%", x=_LEFT - 6, y=y(at) + 4, text_anchor="end")


def _log_axis(x: Scale, smallest: float) -> Iterator[Markup]:
    base = _HEIGHT - _BOTTOM
    yield element("line", x1=x.start, x2=x.end, y1=base, y2=base, class_="axis")
    for at in (0.001, 0.01, 0.05, 0.2, 1.0):
        if at >= smallest:
            place = x(math.log10(at))
            yield element("line", x1=place, x2=place, y1=base, y2=base + 4, class_="axis")
            yield element("text", f"{100 * at:g}%", x=place, y=base + 18, text_anchor="middle")


def _names(across: str, up: str) -> Iterator[Markup]:
    yield element("text", across, x=WIDTH - _RIGHT, y=_HEIGHT - 8, text_anchor="end", class_="axis-name")
    yield element("text", up, x=_LEFT + 6, y=_TOP + 12, class_="axis-name halo")


def _drawn(key: str, said: str, parts: list[Markup]) -> Markup:
    return drawing(parts, key=key, title=said, description=said, width=WIDTH, height=_HEIGHT)


def _distribution(key: str, column: TestedScores) -> Chart:
    rows = [
        Strip(label="human", kind="human", scores=column.human),
        Strip(label="AI", kind="after", scores=column.ai),
    ]
    said = f"Scores of {column.detector}: {len(column.human)} human and {len(column.ai)} AI texts."
    return Chart(name=column.detector, drawing=strips(key, said, said, rows, None))


def _reliability(key: str, one: DetectorFigures) -> Chart:
    x = Scale(0.0, 1.0, _LEFT, WIDTH - _RIGHT)
    y = Scale(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)
    parts = [*_share_axis(y), *_names("mean P(AI) of a bin", "share of AI")]
    base = _HEIGHT - _BOTTOM
    parts.append(element("line", x1=x.start, x2=x.end, y1=base, y2=base, class_="axis"))
    for at in (0.0, 0.5, 1.0):
        parts.append(element("text", f"{at:g}", x=x(at), y=base + 18, text_anchor="middle"))
    parts.append(element("path", d=path([(x(0.0), y(0.0)), (x(1.0), y(1.0))]), class_="area human"))
    parts.append(element("path", d=path([(x(p), y(share)) for p, share, _ in one.bins]), class_="line"))
    parts += [
        marker(0, x(p), y(share), 2.5 + 5 * math.sqrt(n / one.texts), "point") for p, share, n in one.bins
    ]
    said = f"Reliability of P(AI) of {one.detector}: Brier {one.brier:.3f}, calibration error {one.ece:.3f}."
    return Chart(
        name=one.detector, drawing=_drawn(key, said, parts), note=f"Brier {one.brier:.3f}, ECE {one.ece:.3f}"
    )


def _groups(found: Comparison) -> Iterator[Chart]:
    """False positive rate of each group of writers with its interval; a chart a detector."""
    values = list(dict.fromkeys(part.value for part in found.parts if part.by == "group"))[:_MOST_GROUPS]
    most = max(
        (part.fpr.high or part.fpr.value or 0.0 for part in found.parts if part.by == "group"), default=0.0
    )
    for i, one in enumerate(found.detectors):
        rows = [
            Whisker(label=part.value, estimate=part.fpr)
            for part in found.parts
            if part.by == "group" and part.detector == one.detector and part.value in values
        ]
        if rows:
            said = f"False positive rates of {one.detector} by group of writers."
            top = max(most, 2 * found.target_fpr)
            drawn = whiskers(
                f"group-{i}", said, said, rows, found.target_fpr, f"target {percent(found.target_fpr)}", top
            )
            yield Chart(name=one.detector, drawing=drawn)
