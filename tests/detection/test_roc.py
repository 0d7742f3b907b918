"""Separation of AI from human scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from paraphrase_rl.detection.roc import Area, area, auroc, change, pooled

few = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)


def test_auroc_by_hand():
    assert auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 3.5 / 4
    assert auroc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auroc(np.array([2.0]), np.array([1.0])) == 0.0


@given(few, few)
def test_auroc_agrees_with_sklearn(human, ai):
    expected = roc_auc_score([0] * len(human) + [1] * len(ai), human + ai)
    assert auroc(np.array(human), np.array(ai)) == pytest.approx(expected, abs=1e-12)


@given(few, few)
def test_swapping_the_classes_mirrors_auroc(human, ai):
    there, back = auroc(np.array(human), np.array(ai)), auroc(np.array(ai), np.array(human))
    assert there + back == pytest.approx(1.0)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError):
        auroc(np.empty(0), np.ones(2))


def perfect(n: int) -> Area:
    return area(np.arange(float(n)), np.arange(float(n), 2.0 * n))


@given(
    st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=30),
    st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=30),
)
def test_the_interval_holds_the_auroc_has_a_width_and_turns_round(humans, ais):
    h, a = np.array(humans), np.array(ais)
    low, high = area(h, a).interval
    assert 0.0 <= low <= auroc(h, a) <= high <= 1.0
    assert low < high
    turned = area(-h, -a).interval
    assert (1.0 - turned[1], 1.0 - turned[0]) == pytest.approx((low, high), abs=1e-9)


def test_the_variance_is_delongs():
    draw = np.random.default_rng(0)
    humans, ais = draw.normal(size=17), draw.normal(0.7, size=11)
    psi = (ais[:, None] > humans).astype(float)
    expected = psi.mean(axis=1).var(ddof=1) / 11 + psi.mean(axis=0).var(ddof=1) / 17
    found = area(humans, ais)
    assert found.influence @ found.influence == pytest.approx(expected, rel=1e-12)
    logit, half = np.log(found.value / (1 - found.value)), 1.959963984540054 * np.sqrt(expected)
    half /= found.value * (1 - found.value)
    assert found.interval == pytest.approx(tuple(1 / (1 + np.exp(-(logit + np.array([-half, half]))))))


@pytest.mark.parametrize("n", [10, 50, 500])
def test_a_perfect_order_has_the_interval_of_n_of_n(n):
    bounds = stats.binomtest(n, n).proportion_ci(0.95, "exact")
    assert perfect(n).interval == pytest.approx((bounds.low, 1.0))
    assert perfect(10).interval[0] < 0.999, "with ten texts a true .999 is no surprise"


@pytest.mark.parametrize("n", [10, 50, 500])
def test_an_order_with_one_mistake_is_no_surer_than_a_perfect_one(n):
    humans = np.arange(float(n))
    humans[-1] = n + 0.5
    assert area(humans, np.arange(float(n), 2.0 * n)).interval[0] <= perfect(n).interval[0]


@pytest.mark.parametrize("truth", [0.98, 0.999])
def test_intervals_near_one_cover(truth):
    """Normal scores, whose AUROC is known."""
    draw, trials, n = np.random.default_rng(3), 400, 100
    shift = stats.norm.ppf(truth) * np.sqrt(2)
    covered = 0
    for _ in range(trials):
        low, high = area(draw.normal(size=n), draw.normal(shift, size=n)).interval
        covered += low <= truth <= high
    assert covered / trials > 0.92


def test_rewrites_of_one_text_do_not_narrow_the_interval():
    draw = np.random.default_rng(1)
    humans, ais = draw.normal(size=20), draw.normal(1, size=15)
    once = area(humans, ais).interval
    units = np.arange(20), np.repeat(np.arange(20, 35), 4)
    assert area(humans, np.repeat(ais, 4), *units, 35).interval == pytest.approx(once)


def test_pairs_that_go_up_together_make_the_auroc_surer():
    draw = np.random.default_rng(1)
    own = draw.normal(size=60)
    humans, ais = own, own + draw.normal(0.5, 0.1, size=60)
    pairs = area(humans, ais, np.arange(60), np.arange(60), 60)
    assert np.ptp(pairs.interval) < np.ptp(area(humans, ais).interval) / 2


def test_a_change_is_paired_and_of_nothing_hardly_anything():
    draw = np.random.default_rng(1)
    humans, ais = draw.normal(size=80), draw.normal(1, size=80)
    before, close = area(humans, ais), area(humans, ais + draw.normal(0.1, 0.05, size=80))
    assert change(before, before) == pytest.approx((0.0, 0.0), abs=0.02)
    low, high = change(before, close)
    assert low < close.value - before.value < high
    assert high - low < np.ptp(before.interval) / 3
    assert change(before, area(humans[:1], ais, np.zeros(1, int), np.arange(1, 81), 160)) is None


def test_a_pooled_area_is_the_weighted_mean_of_disjoint_parts():
    draw = np.random.default_rng(1)
    parts = [area(draw.normal(size=20), draw.normal(1, size=20)) for _ in range(2)]
    first, second = (np.pad(p.influence, pad) for p, pad in zip(parts, [(0, 40), (40, 0)], strict=True))
    moved = [Area(parts[0].value, first, 20), Area(parts[1].value, second, 20)]
    whole = pooled(moved, [3.0, 1.0])
    assert whole.value == pytest.approx(0.75 * parts[0].value + 0.25 * parts[1].value)
    assert whole.influence @ whole.influence == pytest.approx(
        0.75**2 * (parts[0].influence @ parts[0].influence)
        + 0.25**2 * (parts[1].influence @ parts[1].influence)
    )
    assert whole.n == 40
