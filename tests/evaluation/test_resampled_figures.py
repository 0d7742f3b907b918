"""Figures of resamples by weights: those of the texts drawn, each as often as it was drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.evaluation.statistics import resample, weighted_auroc, weighted_thresholds
from paraphrase_rl.scoring.metrics import auroc
from paraphrase_rl.scoring.threshold import operating_point

RATES = st.sampled_from([0.01, 0.05, 0.07, 0.1, 0.29, 0.5, 0.999])
SCORES = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=40)


@given(SCORES, RATES)
def test_unit_weights_give_the_threshold_itself(scores, rate):
    values = np.array(scores)
    found = weighted_thresholds(values, rate, np.ones((1, values.size)))
    assert found.tolist() == [operating_point(values, rate).threshold]


@given(SCORES, RATES, st.integers(0, 1000), st.booleans())
def test_a_resample_gives_the_threshold_of_the_texts_drawn(scores, rate, seed, paired):
    values = np.array(scores)
    units = [f"u{i // 2 if paired else i}" for i in range(values.size)]
    weights = resample(units, 5, seed)
    for found, row in zip(weighted_thresholds(values, rate, weights), weights, strict=True):
        drawn = np.repeat(values, row.astype(int))
        if drawn.size >= 2:
            assert found == operating_point(drawn, rate).threshold


def test_by_hand():
    # 10 10 8 8 8 5: six texts, floor(0.4 * 6) = 2 may lie above, so the third largest: 8
    scores, weights = np.array([5.0, 10.0, 8.0, 7.0]), np.array([[1.0, 2.0, 3.0, 0.0]])
    assert weighted_thresholds(scores, 0.4, weights).tolist() == [8.0]


def test_texts_without_a_score_do_not_count():
    scores = np.array([np.nan, 1.0, 2.0, np.nan, 3.0])
    weights = np.array([[9.0, 1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0, 0.0]])
    found = weighted_thresholds(scores, 0.5, weights)
    assert found[0] == 2.0
    assert np.isnan(found[1])
    assert np.isnan(weighted_thresholds(np.full(2, np.nan), 0.5, np.ones((3, 2)))).all()


@given(SCORES, SCORES, st.integers(0, 1000))
def test_auroc_of_a_resample_is_that_of_the_texts_drawn(human, ai, seed):
    units = [str(i) for i in range(len(human) + len(ai))]
    weights = resample(units, 5, seed)
    human_weights, ai_weights = weights[:, : len(human)], weights[:, len(human) :]
    found = weighted_auroc(np.array(human), np.array(ai), human_weights, ai_weights)
    for value, h, a in zip(found, human_weights.astype(int), ai_weights.astype(int), strict=True):
        if h.any() and a.any():
            expected = auroc(np.repeat(human, h), np.repeat(ai, a))
            assert abs(value - expected) < 1e-12
        else:
            assert np.isnan(value)
