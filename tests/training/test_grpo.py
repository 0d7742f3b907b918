"""The update's advantages, against values worked out by hand and against the formula written another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.training.grpo import (
    group_advantages,
    mean_over_tokens,
    measured_rows,
    token_advantages,
)

NAN = float("nan")


def totals_(groups: int = 3, size: int = 4) -> st.SearchStrategy[np.ndarray]:
    row = st.lists(st.floats(0, 1), min_size=size, max_size=size)
    return st.lists(row, min_size=groups, max_size=groups).map(np.array)


def test_known_group() -> None:
    # mean 0.5, deviations -0.3 -0.1 0.1 0.3, n - 1 variance 0.2 / 3
    got = group_advantages(np.array([[0.2, 0.4, 0.6, 0.8]]), normalize=True, clip=10)
    std = math.sqrt(0.2 / 3) + 1e-4
    assert got.values[0] == pytest.approx([-0.3 / std, -0.1 / std, 0.1 / std, 0.3 / std], abs=1e-12)


def test_without_normalisation_rewards_are_centred() -> None:
    got = group_advantages(np.array([[0.0, 1.0, 0.5]]), normalize=False, clip=10)
    assert got.values[0] == pytest.approx([-0.5, 0.5, 0.0])


def test_constant_group_contributes_nothing_and_is_counted() -> None:
    sampler = [np.log([0.5, 0.25])] * 4
    base = [np.log([0.1, 0.9])] * 4
    got = token_advantages(
        np.array([[0.7, 0.7], [0.0, 1.0]]), sampler, base, normalize=True, clip=10, kl_coef=0.5
    )
    assert got.constant_groups == 0.5
    assert all((values == 0).all() for values in got.values[:2])
    assert all((values != 0).all() for values in got.values[2:])


def test_rollout_without_a_total_neither_pays_nor_counts() -> None:
    with_hole = group_advantages(np.array([[0.2, NAN, 0.6, 0.8]]), normalize=True, clip=10)
    without = group_advantages(np.array([[0.2, 0.6, 0.8]]), normalize=True, clip=10)
    assert with_hole.values[0, [0, 2, 3]] == pytest.approx(without.values[0])
    assert with_hole.values[0, 1] == 0
    assert with_hole.used[0].tolist() == [True, False, True, True]


@given(totals_())
def test_advantages_of_a_group_sum_to_zero_and_keep_the_order_of_rewards(totals: np.ndarray) -> None:
    got = group_advantages(totals, normalize=True, clip=100).values
    assert np.abs(got.sum(1)).max() < 1e-9
    for rewards, advantages in zip(totals, got, strict=True):
        assert (np.diff(advantages[np.argsort(rewards)]) >= -1e-12).all()


@given(st.integers(2, 30), st.data())
def test_the_clip_of_ten_cannot_bind_at_usual_group_sizes(size: int, data: st.DataObject) -> None:
    totals = data.draw(totals_(1, size))
    got = group_advantages(totals, normalize=True, clip=10).values
    assert np.abs(got).max() <= (size - 1) / math.sqrt(size) + 1e-9 < 10


def test_the_bound_is_reached_by_one_winner() -> None:
    got = group_advantages(np.array([[1.0] + [0.0] * 7]), normalize=True, clip=10).values
    assert got.max() == pytest.approx(7 / math.sqrt(8), rel=1e-3)  # 2.47
    clipped = group_advantages(np.array([[1.0] + [0.0] * 7]), normalize=True, clip=2).values
    assert clipped.max() == 2


def test_kl_term_by_hand() -> None:
    # d: [0.1, 0.3] and [-0.2]; mean over the three tokens 0.2 / 3
    sampler = [np.array([-1.0, -1.0]), np.array([-1.0])]
    base = [np.array([-1.1, -1.3]), np.array([-0.8])]
    got = token_advantages(np.array([[1.0, 0.0]]), sampler, base, normalize=False, clip=10, kl_coef=0.01)
    mean = 0.2 / 3
    assert got.kl_reference == pytest.approx(mean)
    assert got.values[0] == pytest.approx([0.5 - 0.01 * (0.1 - mean), 0.5 - 0.01 * (0.3 - mean)])
    assert got.values[1] == pytest.approx([-0.5 - 0.01 * (-0.2 - mean)])


def test_kl_term_is_centred_over_tokens_not_over_rollouts() -> None:
    rng = np.random.default_rng(0)
    lengths = [1, 5, 2, 40]
    sampler = [rng.normal(size=n) for n in lengths]
    base = [rng.normal(size=n) for n in lengths]
    args = {"normalize": True, "clip": 10.0}
    totals = np.array([[0.1, 0.9], [0.4, 0.3]])
    with_kl = token_advantages(totals, sampler, base, kl_coef=0.3, **args)
    without = token_advantages(totals, sampler, base, kl_coef=0.0, **args)
    difference = np.concatenate(with_kl.values) - np.concatenate(without.values)
    assert abs(difference.sum()) < 1e-12
    flat = np.concatenate(sampler) - np.concatenate(base)
    assert difference == pytest.approx(-0.3 * (flat - flat.mean()))


def test_means_weigh_tokens_alike() -> None:
    assert mean_over_tokens([np.array([1.0]), np.array([0.0, 0.0, 0.0])]) == 0.25
    assert mean_over_tokens([]) == 0.0


@pytest.mark.parametrize(
    ("group_size", "rows", "measured"),
    [(4, 8, [0, 1, 4, 5]), (2, 4, [0, 1, 2, 3]), (8, 8, [0, 1]), (3, 0, [])],
)
def test_the_size_of_a_step_is_measured_by_two_rollouts_of_each_group(
    group_size: int, rows: int, measured: list[int]
) -> None:
    assert measured_rows(group_size, rows) == measured


@pytest.mark.parametrize("totals", [np.zeros(4), np.zeros((2, 1)), np.array([[0.0, np.inf]])])
def test_impossible_totals_are_refused(totals: np.ndarray) -> None:
    with pytest.raises(ValueError):
        group_advantages(totals, normalize=True, clip=10)
