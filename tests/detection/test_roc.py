"""Separation of AI from human scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from paraphrase_rl.detection.roc import auroc

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
