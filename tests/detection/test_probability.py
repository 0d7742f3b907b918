"""P(AI): rising, at equal odds, never a silent one half."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize

from paraphrase_rl.detection.probability import fit_probability

finite = st.floats(-1e6, 1e6)
some = st.lists(finite, min_size=1, max_size=25)


def _reference(human, ai, probes):
    """Platt's loss with balanced classes, minimised by scipy on the raw scale."""
    n, m = len(human), len(ai)
    x = np.concatenate([human, ai])
    t = np.concatenate([np.full(n, 1 / (n + 2)), np.full(m, (m + 1) / (m + 2))])
    w = np.concatenate([np.full(n, 0.5 / n), np.full(m, 0.5 / m)])

    def loss(b):
        z = b[0] * x + b[1]
        return w @ (np.logaddexp(0, z) - t * z)

    b = minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-10}).x
    return 1 / (1 + np.exp(-(b[0] * probes + b[1])))


@pytest.mark.parametrize(("n", "m", "shift"), [(60, 60, 1.5), (90, 20, 0.4), (5, 40, 2.0), (30, 30, 6.0)])
def test_agrees_with_an_independent_optimiser(n, m, shift):
    rng = np.random.default_rng(n)
    human, ai = rng.normal(size=n), rng.normal(shift, 1, size=m)
    probes = np.linspace(-2, shift + 2, 9)
    assert fit_probability(human, ai)(probes) == pytest.approx(_reference(human, ai, probes), abs=2e-5)


@given(some, some)
@example([0.0, 0.0, 977675.0, -35780.0, 2.0, 33.0], [0.0, 1.0, 1.9e-10, 738019.0])
def test_never_falls_and_stays_in_the_unit_interval(human, ai):
    curve = fit_probability(np.array(human), np.array(ai))
    p = curve(np.sort(np.array([*human, *ai, -1e9, 1e9])))
    assert np.isfinite(p).all()
    assert p.min() >= 0.0
    assert p.max() <= 1.0
    assert (np.diff(p) >= 0.0).all()


@given(some, some)
def test_power_means_a_positive_slope(human, ai):
    curve = fit_probability(np.array(human), np.array(ai))
    assert curve.has_power == (curve.slope > 0.0)
    if curve.auroc <= 0.5:
        assert not curve.has_power


def test_the_share_of_ai_texts_does_not_move_p():
    human, ai = np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    few, many = (
        fit_probability(np.tile(human, 40), np.tile(ai, 40)),
        fit_probability(np.tile(human, 40), np.tile(ai, 400)),
    )
    assert few(np.array([1.5]))[0] == pytest.approx(0.5, abs=1e-6)
    assert many(np.array([1.5]))[0] == pytest.approx(0.5, abs=0.01)


def test_separable_scores_stay_short_of_certainty():
    curve = fit_probability(np.arange(10.0), np.arange(100.0, 110.0))
    assert curve(np.array([0.0]))[0] == pytest.approx(1 / 12, abs=0.05)
    assert curve(np.array([109.0]))[0] == pytest.approx(11 / 12, abs=0.05)


def test_a_detector_without_power_says_so():
    upside_down = fit_probability(np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0]))
    assert not upside_down.has_power
    assert upside_down.auroc == 0.0
    assert np.ptp(upside_down(np.array([-5.0, 0.0, 5.0]))) == 0.0
    assert not fit_probability(np.ones(4), np.ones(4)).has_power


def test_shifting_and_scaling_the_scores_changes_nothing():
    rng = np.random.default_rng(1)
    human, ai, probes = rng.normal(size=30), rng.normal(1, 1, size=30), np.linspace(-2, 3, 7)
    plain = fit_probability(human, ai)(probes)
    moved = fit_probability(human * 1e-6 + 40, ai * 1e-6 + 40)(probes * 1e-6 + 40)
    assert moved == pytest.approx(plain, abs=1e-6)


def test_a_missing_score_stays_missing():
    curve = fit_probability(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert np.isnan(curve(np.array([np.nan]))[0])
