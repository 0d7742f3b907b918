"""The front holds what nothing beats, whatever the order; the choice on it follows its rule."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.acceptance.checkpoint_choice import Candidate, candidates, choose, front
from paraphrase_rl.evaluation.results import Quality
from paraphrase_rl.runs.reader import read_history
from paraphrase_rl.statistics.records import Estimate
from tests.acceptance import accepted

# few values, so that equal figures and equal points come up
FIGURE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan])
POINTS = st.lists(st.tuples(FIGURE, FIGURE), max_size=12)


def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and (a[0] > b[0] or a[1] > b[1])


def known(point: tuple[float, float]) -> bool:
    return not math.isnan(point[0]) and not math.isnan(point[1])


@given(POINTS)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    for point, is_on in zip(points, front(points), strict=True):
        beaten = any(beats(other, point) for other in points if known(other))
        assert is_on == (known(point) and not beaten)


@given(POINTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(points: list[tuple[float, float]], random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    shuffled = front([points[i] for i in order])
    assert [front(points)[i] for i in order] == shuffled


@given(POINTS)
def test_what_is_known_leaves_a_front_and_equals_stay_together(points: list[tuple[float, float]]) -> None:
    on = front(points)
    assert any(on) == any(map(known, points))
    for i, point in enumerate(points):
        assert all(on[i] == on[j] for j, other in enumerate(points) if other == point)


@given(
    st.dictionaries(st.integers(1, 50), st.tuples(FIGURE, FIGURE), max_size=8),
    st.sampled_from([0.2, 0.5, 0.9]),
)
def test_the_choice_is_on_the_front_and_reaches_the_bound_if_any_does(points, bound: float) -> None:
    chosen = choose(points, bound)
    usable = {step: point for step, point in points.items() if known(point)}
    if not usable:
        assert chosen is None
        return
    assert chosen is not None
    assert not any(beats(other, usable[chosen]) for other in usable.values())
    enough = [point[0] for point in usable.values() if point[1] >= bound]
    if enough:
        assert usable[chosen][1] >= bound
        assert usable[chosen][0] == max(enough)
    else:
        assert usable[chosen][1] == max(point[1] for point in usable.values())


def test_a_known_front() -> None:
    points = {
        10: (0.2, 0.95),
        20: (0.5, 0.9),
        30: (0.4, 0.85),
        40: (0.7, 0.8),
        50: (0.7, 0.8),
        60: (math.nan, 1.0),
    }
    assert front(list(points.values())) == [True, True, False, True, True, False]
    assert choose(points, 0.88) == 20
    assert choose(points, 0.8) == 40, "of equal ones the earliest"
    assert choose(points, 0.93) == 10
    assert choose(points, 0.99) == 10, "none reaches it: the nearest"
    assert choose({}, 0.5) is None


def of(run: Path, results=None, labels=None) -> dict[int, Candidate]:
    found = candidates(read_history(run), results, labels or {}, 0.88, "prl evaluate RUN --checkpoints all")
    return {candidate.step: candidate for candidate in found}


def trained(step: int, detector: float | None, semantic: float | None) -> dict:
    return {
        "step": step,
        "metrics": {"detector_reward": detector, "semantic_reward": semantic},
        "prompts": {},
    }


def test_figures_come_from_the_evaluations_during_training_where_there_are_no_others(tmp_path: Path) -> None:
    rows = [trained(0, 0.1, 0.99), trained(8, 0.3, 0.95), trained(10, 0.9, 0.9), trained(12, 0.6, 0.8)]
    found = of(accepted.write_run(tmp_path / "run", evaluations=rows))
    assert {step: (c.evasion, c.similarity) for step, c in found.items()} == {8: (0.3, 0.95), 12: (0.6, 0.8)}
    assert all(c.on_front for c in found.values())
    assert [step for step, c in found.items() if c.chosen] == [8]
    assert "during training" in found[8].source


def test_figures_of_two_kinds_are_never_compared(tmp_path: Path) -> None:
    """Success among detected texts and mean 1 - P(AI) are different scales."""
    run = accepted.write_run(tmp_path / "run", evaluations=[trained(8, 0.99, 0.99)])
    evaluation = accepted.results(labels=("policy", "policy@8"))
    both = of(run, evaluation, {8: "policy@8", 12: "policy"})
    assert {c.evasion for c in both.values()} == {0.7}
    one = of(run, evaluation, {12: "policy"})
    assert (one[12].evasion, one[12].similarity) == (0.7, 0.9), "as many known: the evaluation's"
    assert one[8].evasion is None
    assert one[8].source == "not measured: prl evaluate RUN --checkpoints all"
    assert one[12].chosen


def test_a_checkpoint_with_one_figure_is_not_measured(tmp_path: Path) -> None:
    run = accepted.write_run(tmp_path / "run", evaluations=[trained(8, None, 0.99), trained(12, 0.5, None)])
    found = of(run)
    assert not any(c.on_front or c.chosen for c in found.values())
    assert (found[8].evasion, found[8].similarity) == (None, 0.99)
    assert all(c.source.startswith("not measured: ") for c in found.values())


def test_a_checkpoint_that_is_gone_is_no_candidate(tmp_path: Path) -> None:
    run = accepted.write_run(tmp_path / "run", evaluations=[trained(8, 0.9, 0.9), trained(12, 0.5, 0.9)])
    (run / "checkpoints" / "checkpoint-8" / "adapter_model.safetensors").unlink()
    assert list(of(run)) == [12]


@pytest.mark.parametrize("target", ["0.05", "0.01"])
def test_success_is_that_at_the_recipes_rate(tmp_path: Path, target: str) -> None:
    run = accepted.write_run(tmp_path / "run", recipe=f"calibration:\n  target_fpr: {target}\n")
    found = of(run, accepted.results(), {12: "policy"})
    assert found[12].evasion == {"0.05": 0.7, "0.01": 0.1}[target]


def test_quality_of_another_metric_is_no_similarity(tmp_path: Path) -> None:
    evaluation = accepted.results(
        quality=(Quality(rewriter="policy", metric="chrf", estimate=Estimate(value=0.9, n=5)),)
    )
    found = of(accepted.write_run(tmp_path / "run"), evaluation, {12: "policy"})
    assert found[12].similarity is None
