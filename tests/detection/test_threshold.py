"""Thresholds: exact order statistics with honest intervals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paraphrase_rl.detection.threshold import (
    beta_quantile,
    clopper_pearson,
    operating_point,
    operating_points,
)
from paraphrase_rl.errors import CalibrationError

scores = st.lists(st.integers(-5, 5).map(float), min_size=2, max_size=60)
rates = st.floats(0.001, 0.999)


def test_by_hand():
    point = operating_point(np.arange(1.0, 21.0), 0.1)  # floor(0.1 * 21) - 1 = 1
    assert (point.threshold, point.allowed, point.above, point.tied) == (19.0, 1, 1, 1)
    assert (point.achieved_fpr, point.expected_fpr, point.smallest_fpr) == (0.05, 2 / 21, 1 / 21)
    assert point.flags(np.array([19.0, 19.1, np.nan])) == [False, True, None]


def test_a_rate_below_one_text_puts_the_threshold_at_the_highest_human():
    point = operating_point(np.array([3.0, 1.0, 2.0]), 0.01)
    assert (point.threshold, point.allowed, point.achieved_fpr, point.low) == (3.0, 0, 0.0, 0.0)
    assert not point.is_shown
    assert point.expected_fpr == 0.25


@pytest.mark.parametrize(("n", "rate"), [(99, 0.01), (19, 0.05), (100, 0.01), (179, 0.05)])
def test_the_smallest_number_of_texts_for_a_rate(n, rate):
    """0.01 needs 99 human texts: the next one is the highest of 100 with probability 1 / 100."""
    assert operating_point(np.arange(float(n)), rate).is_shown
    assert not operating_point(np.arange(float(round(1 / rate) - 2)), rate).is_shown


@pytest.mark.parametrize("n", [50, 99, 100, 179, 500])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.07, 0.29])
def test_the_expected_rate_is_the_largest_that_does_not_exceed_the_target(n, rate):
    """A text of quantile u is flagged where at most k of the n others lie above it, binomial; u is uniform."""
    point = operating_point(np.arange(float(n)), rate)
    above = (np.arange(200_000) + 0.5) / 200_000  # 1 - u

    def expected(k):
        return stats.binom.cdf(k, n, above).mean()

    assert expected(point.allowed) == pytest.approx(point.expected_fpr, abs=1e-5)
    if point.is_shown:
        assert expected(point.allowed) < rate + 1e-5
    assert expected(point.allowed + 1) > rate + 1e-5, "one more may not lie above"


def test_the_interval_covers_where_scores_tie_among_texts_at_large_and_not_in_the_sample():
    """One human text in 50 has the score 2, the others differ below it: of 60 drawn, often one has it, with no tie."""
    rng = np.random.default_rng(0)
    below_low = continuous_low = 0
    for _ in range(4000):
        drawn = rng.uniform(size=60)
        drawn[rng.uniform(size=60) < 0.02] = 2.0
        point = operating_point(drawn, 0.03)
        true = 0.0 if point.threshold == 2.0 else 0.02 + 0.98 * (1.0 - point.threshold)
        assert point.allowed == 0
        below_low += true < point.low
        continuous_low += point.tied == 1 and true < beta_quantile(0.025, 1, 60)
    assert below_low == 0
    assert continuous_low / 4000 > 0.3, "the bound for continuous scores is wrong here"


def test_ties_never_exceed_the_target_and_widen_the_interval_downwards():
    point = operating_point(np.array([0.0] * 10 + [1.0] * 10), 0.25)
    assert (point.threshold, point.allowed, point.above, point.tied) == (1.0, 4, 0, 10)
    assert point.low == 0.0
    assert point.high == pytest.approx(stats.beta.ppf(0.975, 5, 16), abs=1e-9)


@given(scores, rates)
def test_no_more_than_the_allowed_share_of_humans_is_flagged(values, rate):
    humans = np.array(values)
    point = operating_point(humans, rate)
    assert (
        point.above == sum(v > point.threshold for v in values) <= point.allowed <= rate * len(values) + 1e-6
    )
    assert point.threshold in values
    lower = [v for v in values if v < point.threshold]
    assert not lower or sum(v > max(lower) for v in values) > point.allowed, "a lower threshold would do"
    assert 0.0 <= point.low <= point.high <= 1.0


@given(scores, rates)
def test_order_does_not_count(values, rate):
    assert operating_point(np.array(values), rate) == operating_point(np.array(sorted(values)), rate)


@pytest.mark.parametrize("rate", [0.07, 0.29, 0.57, 0.58])
def test_products_that_floating_point_rounds_down_are_whole(rate):
    assert operating_point(np.arange(99.0), rate).allowed == round(rate * 100) - 1


def test_the_interval_covers_the_true_rate_with_the_thresholds_own_uncertainty():
    """True rate of a threshold drawn from n uniform humans, 4,000 times: inside in 95 of 100 at least."""
    rng = np.random.default_rng(0)
    inside = outside_naive = 0
    for _ in range(4000):
        point = operating_point(rng.uniform(size=40), 0.1)
        true = 1.0 - point.threshold
        inside += point.low <= true <= point.high
        low, high = clopper_pearson(point.above, 400)  # what ten times the texts would give: too narrow
        outside_naive += not low <= true <= high
    assert 0.945 < inside / 4000 < 0.98
    assert outside_naive / 4000 > 0.3


@given(st.integers(1, 300), st.integers(1, 300), rates)
def test_a_beta_quantile_has_its_share_below_it(a, b, q):
    """P(Beta(a, b) <= x) = P(Bin(a + b - 1, x) >= a), summed here in exact whole numbers."""
    x, n = Fraction(beta_quantile(q, a, b)), a + b - 1
    up, down, whole = x.numerator, x.denominator - x.numerator, x.denominator
    below = sum(math.comb(n, j) * up**j * down ** (n - j) for j in range(a))
    assert float(1 - Fraction(below, whole**n)) == pytest.approx(q, abs=1e-9)


@given(st.integers(1, 5000), rates)
def test_beta_quantiles_with_a_closed_form(n, q):
    assert beta_quantile(q, 1, n) == pytest.approx(1 - (1 - q) ** (1 / n), abs=1e-9)
    assert beta_quantile(q, n, 1) == pytest.approx(q ** (1 / n), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 2), (7, 500)])
def test_clopper_pearson_agrees_with_scipy(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("humans", "rate", "message"),
    [
        ([1.0], 0.05, "at least two"),
        ([], 0.05, "at least two"),
        ([1.0, np.nan], 0.05, "finite"),
        ([1.0, np.inf], 0.05, "finite"),
        ([1.0, 2.0], 0.0, "between 0 and 1"),
        ([1.0, 2.0], 5.0, "between 0 and 1"),
        ([1.0, 2.0], float("nan"), "between 0 and 1"),
    ],
)
def test_refusals(humans, rate, message):
    with pytest.raises(CalibrationError, match=message):
        operating_point(np.array(humans), rate)


def test_each_rate_once_in_order():
    points = operating_points(np.arange(200.0), (0.05, 0.01, 0.05))
    assert [p.target_fpr for p in points] == [0.05, 0.01]
