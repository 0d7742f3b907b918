"""Numbers per token, against a slow reference in float64 and values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paraphrase_rl.models.token_statistics import StatisticsCache, TokenStatistics, reduce_logits


def slow_reference(logits, target):
    """Log-probability, rank, entropy and variance of log p from one row of logits, term by term."""
    row = np.asarray(logits, dtype=np.float64)
    top = row.max()
    log_p = row - (top + math.log(math.fsum(math.exp(x - top) for x in row)))
    p = np.exp(log_p)
    mean = math.fsum(p * log_p)
    order = np.argsort(-row, kind="stable")
    rank = int(np.flatnonzero(row[order] == row[target])[0]) + 1
    return log_p[target], rank, -mean, math.fsum(p * (log_p - mean) ** 2)


def reduced(rows, targets):
    logits = torch.tensor(np.asarray(rows, dtype=np.float32))
    return [part.tolist() for part in reduce_logits(logits, torch.tensor(targets))]


def test_a_flat_distribution():
    [logprob], [rank], [entropy], [variance] = reduced([[7.5] * 16], [3])
    assert logprob == pytest.approx(-math.log(16), abs=1e-6)
    assert rank == 1
    assert entropy == pytest.approx(math.log(16), abs=1e-6)
    assert variance == 0.0


def test_two_outcomes_by_hand():
    p, q = 0.9, 0.1
    logprob, rank, entropy, variance = reduced([[math.log(p), math.log(q)]] * 2, [0, 1])
    assert logprob == pytest.approx([math.log(p), math.log(q)], abs=1e-6)
    assert rank == [1, 2]
    assert entropy == pytest.approx([-p * math.log(p) - q * math.log(q)] * 2, abs=1e-6)
    # of a variable with two values: p q (difference of the values)^2
    assert variance == pytest.approx([p * q * math.log(p / q) ** 2] * 2, abs=1e-6)


def test_equal_logits_share_the_smallest_rank():
    assert reduced([[1.0, 3.0, 3.0, 2.0]] * 4, [0, 1, 2, 3])[1] == [4, 1, 1, 3]


def test_extreme_logits_stay_finite():
    logprob, rank, entropy, variance = reduced([[1e4, -1e4, 0.0]] * 2, [0, 1])
    assert logprob == [0.0, -2e4]
    assert rank == [1, 3]
    assert entropy == [0.0, 0.0]
    assert variance == [0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.floats(0.01, 12), st.integers(0, 2**32 - 1))
def test_any_logits_agree_with_the_reference(size, scale, seed):
    random = np.random.default_rng(seed)
    rows = (random.standard_normal((5, size)) * scale).astype(np.float32)
    targets = random.integers(0, size, 5)
    found = reduced(rows, targets.tolist())
    expected = list(zip(*map(slow_reference, rows, targets), strict=True))
    assert found[1] == list(expected[1])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-5, abs=2e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(-50, 50), st.integers(0, 2**32 - 1))
def test_a_constant_added_to_all_logits_changes_nothing(shift, seed):
    rows = np.random.default_rng(seed).standard_normal((3, 40)) * 4
    for ours, theirs in zip(reduced(rows + shift, [0, 1, 2]), reduced(rows, [0, 1, 2]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)


def statistics(tokens):
    floats = np.zeros(tokens, dtype=np.float32)
    return TokenStatistics(floats, np.ones(tokens, dtype=np.int32), floats.copy(), floats.copy(), False)


def test_statistics_are_sixteen_bytes_a_token_and_read_only():
    item = statistics(10)
    assert item.nbytes == 160
    assert len(item) == 10
    with pytest.raises(ValueError, match="read-only"):
        item.logprob[0] = 1.0


def test_memory_forgets_what_was_not_used_longest():
    memory = StatisticsCache(limit=3 * 160)
    first, second, third, fourth = (statistics(10) for _ in range(4))
    memory.put("1", first)
    memory.put("2", second)
    memory.put("3", third)
    assert memory.get("1") is first
    memory.put("4", fourth)
    assert memory.get("2") is None
    assert [memory.get(key) for key in "134"] == [first, third, fourth]


def test_memory_keeps_nothing_larger_than_itself():
    memory = StatisticsCache(limit=100)
    memory.put("large", statistics(10))
    assert memory.get("large") is None
    small = statistics(5)
    memory.put("small", small)
    assert memory.get("small") is small
