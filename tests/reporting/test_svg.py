"""Scales, ticks and shapes by hand."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.reporting.charts import (
    Series,
    Spot,
    Strip,
    Whisker,
    curve,
    scatter,
    strips,
    whiskers,
)
from paraphrase_rl.reporting.svg import SHAPES, Scale, element, marker, path, span, ticks
from paraphrase_rl.statistics.records import Estimate


def test_scale_maps_ends_and_middle() -> None:
    scale = Scale(10, 20, 100, 0)
    assert [scale(10), scale(15), scale(20)] == [100, 50, 0]
    assert Scale(3, 3, 0, 80)(3) == 40


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 0.8, [0, 0.2, 0.4, 0.6, 0.8]),
        (-3.2, 4.1, [-2, 0, 2, 4]),
        (0, 0.0004, [0, 0.0001, 0.0002, 0.0003, 0.0004]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_of_steps_are_whole() -> None:
    assert ticks(0.9, 3.1, 5, whole=True) == [1, 2, 3]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert len(found) <= 6
    slack = 1e-6 * max(1.0, abs(low), width)
    assert all(low - slack <= at <= low + width + slack for at in found)


def test_span_leaves_room_and_ignores_what_is_missing() -> None:
    assert span([0.0, 10.0, math.nan], margin=0.1) == (-1.0, 11.0)
    assert span([]) == (0.0, 1.0)
    low, high = span([2.0])
    assert low < 2.0 < high


def test_a_missing_point_breaks_the_line() -> None:
    assert path([(0, 0), (1, 1), (2, math.nan), (3, 3), (4, 4.26)]) == "M0 0L1 1M3 3L4 4.3"


def test_elements_are_escaped() -> None:
    assert element("text", "<&", title='"', x=1.239) == '<text title="&#34;" x="1.24">&lt;&amp;</text>'


def test_shapes_repeat_only_after_all_were_used() -> None:
    drawn = [re.sub(r"^<(\w+).* d=", r"\1", marker(i, 0, 0, 5, "c")) for i in range(SHAPES + 1)]
    assert len(set(drawn)) == SHAPES
    assert drawn[SHAPES] == drawn[0]


def _parsed(drawing: str) -> ElementTree.Element:
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img"
    named = [root.find(tag) for tag in ("title", "desc")]
    assert all(found is not None and found.text for found in named)
    assert root.get("aria-labelledby", "").split() == [
        found.get("id") for found in named if found is not None
    ]
    return root


def _texts(root: ElementTree.Element) -> list[str]:
    return [found.text or "" for found in root.iter("text")]


def test_curve_hatches_the_side_of_the_alarm() -> None:
    series = Series(steps=[1, 2], raw=[0.4, 0.6], smooth=[0.4, 0.5], low=0.2)
    root = _parsed(curve("k", "t", "d", series))
    (band,) = root.findall("rect")
    bottom = float(band.get("y", "nan")) + float(band.get("height", "nan"))
    assert bottom == pytest.approx(190 - 30, abs=0.02)
    bound = next(e for e in root.findall("line") if e.get("class") == "bound")
    assert bound.get("y1") == band.get("y")


def test_curve_of_one_step_and_of_nothing_known() -> None:
    one = _parsed(curve("k", "t", "d", Series(steps=[1], raw=[0.4], smooth=[0.4])))
    assert any(e.get("class") == "point" for e in one.iter("circle"))
    nothing = _parsed(curve("k", "t", "d", Series(steps=[1, 2], raw=[math.nan] * 2, smooth=[math.nan] * 2)))
    assert all(e.get("d") in ("", None, "M0 6L6 0") for e in nothing.iter("path"))


def test_strips_say_which_share_lies_above_the_threshold() -> None:
    rows = [
        Strip(label="human texts", kind="human", scores=[0.0, 1.0, 2.0, 3.0]),
        Strip(label="none", kind="after", scores=[]),
    ]
    texts = _texts(_parsed(strips("k", "t", "d", rows, 2.0)))
    assert "25% flagged" in texts  # strictly above
    assert "threshold 2" in texts
    assert sum("flagged" in text for text in texts) == 1


def test_whiskers_put_a_share_where_the_axis_says() -> None:
    rows = [
        Whisker(label="all", estimate=Estimate(value=0.2, low=0.1, high=0.4, n=9)),
        Whisker(label="group", estimate=Estimate(value=None, n=0)),
    ]
    root = _parsed(whiskers("k", "t", "d", rows, 0.05, "aimed at 5%", 0.5))
    scale = Scale(0, 0.5, 10, 340 - 14)
    assert float(next(root.iter("circle")).get("cx", "nan")) == pytest.approx(scale(0.2), abs=0.01)
    assert {"20%", "not measured", "aimed at 5%"} <= set(_texts(root))


def test_labels_of_near_points_do_not_overlap() -> None:
    at = Estimate(value=0.5, n=9)
    spots = [Spot(label=f"rewriter-{i}", x=at, y=Estimate(value=0.9 + i / 1000, n=9)) for i in range(11)]
    root = _parsed(scatter("k", "t", "d", spots, ("x", "y")))
    labels = [e for e in root.iter("text") if (e.text or "").startswith("rewriter")]
    boxes = [(float(e.get("x", "nan")), float(e.get("y", "nan"))) for e in labels]
    assert len(boxes) == 11
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - a) >= 70 or abs(y - b) > 13 for a, b in boxes[:i])


def test_a_label_far_from_its_point_repeats_its_shape() -> None:
    at = Estimate(value=0.5, n=9)

    def circles(n: int) -> list[float]:
        spots = [Spot(label=f"rewriter-{i}", x=at, y=at) for i in range(n)]
        root = _parsed(scatter("k", "t", "d", spots, ("x", "y")))
        return [float(e.get("r", "nan")) for e in root.iter("circle")]

    assert circles(8) == [6.0], "the first label has room"
    ninth = circles(9)
    assert ninth[:2] == [6.0, 6.0]
    assert ninth[2:] == [3.5], "the ninth has the shape of the first"


def test_labels_keep_clear_of_the_name_of_the_axis_and_of_every_marker() -> None:
    spots = [
        Spot(label="homoglyph-sanitised", x=Estimate(value=0.0, n=9), y=Estimate(value=1.0, n=9)),
        Spot(label="synonym", x=Estimate(value=0.1, n=9), y=Estimate(value=0.99, n=9)),
        Spot(label="homoglyph", x=Estimate(value=1.0, n=9), y=Estimate(value=0.6, n=9)),
    ]
    root = _parsed(scatter("k", "t", "d", spots, ("evasion", "semantic similarity")))
    texts = {e.text: e for e in root.iter("text")}
    name = float(texts["semantic similarity"].get("y", "nan"))
    circle = next(root.iter("circle"))
    for label in ("homoglyph-sanitised", "synonym", "homoglyph"):
        assert float(texts[label].get("y", "nan")) - name > 13
    synonym = texts["synonym"]
    assert (
        abs(float(synonym.get("x", "nan")) - float(circle.get("cx", "nan"))) > 8
        or abs(float(synonym.get("y", "nan")) - float(circle.get("cy", "nan"))) > 8
    )
    assert texts["homoglyph"].get("text-anchor") == "end"


def test_the_threshold_is_not_drawn_through_labels() -> None:
    rows = [Strip(label=f"row {i}", kind="after", scores=[0.0, 1.0, 2.0]) for i in range(3)]
    root = _parsed(strips("k", "t", "d", rows, 1.5))
    lines = [e for e in root.iter("line") if e.get("class") == "bound"]
    labels = [float(e.get("y", "nan")) for e in root.iter("text") if "flagged" in (e.text or "")]
    assert len(labels) == 3
    assert len(lines) == 4
    for line in lines:
        assert not any(float(line.get("y1", "nan")) < y - 2 < float(line.get("y2", "nan")) for y in labels)


@given(st.lists(st.floats(-1e3, 1e3), max_size=30), st.one_of(st.none(), st.floats(-1e3, 1e3)))
def test_strips_of_any_scores_stay_inside(scores: list[float], threshold: float | None) -> None:
    root = _parsed(strips("k", "t", "d", [Strip(label="a", kind="after", scores=scores)], threshold))
    numbers = [float(n) for e in root.findall("path") for n in re.findall(r"-?[\d.]+", e.get("d", ""))]
    assert all(0 <= number <= 340 for number in numbers)
