"""Per-token statistics of a text from one pass of a language model."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class TokenStatistics:
    """Read-only arrays of shape (T,), one entry for each scored token; the first token of a text has no score.

    Attributes:
        logprob: float32, log p of the token in nats, at most 0.
        rank: int32, 1 = the likeliest token of the vocabulary; one more than the number of larger logits.
        entropy: float32, of the model's next-token distribution p, in nats. Its negative is the mean of log p
            under p.
        variance: float32, of log p under p, in nats squared.
        truncated: whether the text was cut at the token limit.
        total_tokens: number of tokens of the whole text; ``None`` if they were not counted.
    """

    logprob: NDArray[np.float32]
    rank: NDArray[np.int32]
    entropy: NDArray[np.float32]
    variance: NDArray[np.float32]
    truncated: bool
    total_tokens: int | None = None

    def __post_init__(self) -> None:
        for array in (self.logprob, self.rank, self.entropy, self.variance):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.logprob)

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes, 16 for each token."""
        return self.logprob.nbytes + self.rank.nbytes + self.entropy.nbytes + self.variance.nbytes


class StatisticsCache:
    """Cache of statistics; the least recently used are dropped if the arrays exceed ``limit`` bytes."""

    def __init__(self, limit: int = 64 * 2**20) -> None:
        self._limit = limit
        self._items: OrderedDict[str, TokenStatistics] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> TokenStatistics | None:
        """Return the statistics under the cache key ``key``; ``None`` if there are none or they were dropped."""
        found = self._items.get(key)
        if found is not None:
            self._items.move_to_end(key)
        return found

    def put(self, key: str, item: TokenStatistics) -> None:
        """Save statistics under a new cache key."""
        self._items[key] = item
        self._bytes += item.nbytes
        while self._bytes > self._limit:
            self._bytes -= self._items.popitem(last=False)[1].nbytes


def reduce_logits(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Reduce logits to log-probability, rank, entropy and variance of log p, each of shape (N,); overwrites ``logits``.

    Args:
        logits: float32 of shape (N, V).
        targets: int64 of shape (N,), the token that follows.

    One exponential and no sort: with x = logits - max, Z = sum e^x and m = E_p[x], log p = x - ln Z,
    entropy = ln Z - m, and the variance is E_p[x^2] - m^2 (x rather than log p, so that a flat distribution
    does not cancel).
    """
    logits -= logits.amax(-1, keepdim=True)
    own = logits.gather(-1, targets[:, None])
    weights = logits.exp()
    total = weights.sum(-1)
    weights *= logits
    mean = weights.sum(-1) / total
    weights *= logits
    variance = (weights.sum(-1) / total - mean.square()).clamp_(min=0)
    log_total = total.log()
    # comparing in place and summing floats (exact below 2^24) is several times faster than counting booleans
    rank = logits.gt_(own).sum(-1) + 1
    return own[:, 0] - log_total, rank, log_total - mean, variance
