"""Lastde: likelihood over the spread of its series' diversity entropy across scales."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DetectorSpec,
    FloatArray,
    TokenStatistics,
    Undefined,
    ZeroShotOptions,
    hookimpl,
    zero_shot_spec,
)

_windows = np.lib.stride_tricks.sliding_window_view


class LastdeOptions(ZeroShotOptions):
    """Options of ``lastde``, by default the paper's for closed models; for open models it has eps_factor 10, tau 5."""

    s: int = Field(3, ge=2, description="tokens per window")
    eps_factor: float = Field(
        1.0, gt=0, description="bins of the histogram, as a multiple of the number of tokens"
    )
    tau: int = Field(15, ge=2, description="scales: means over 1 to tau tokens")


def lastde(statistics: TokenStatistics, s: int = 3, eps_factor: float = 1.0, tau: int = 15) -> float:
    """Compute mean log p / std of DE(1) ... DE(tau), at most 0; higher = more likely AI.

    Xu et al. 2025. DE(k) takes the sliding means of log p over k tokens, the cosine of each window of ``s``
    means with the next, the histogram of these in n * eps_factor bins on [-1, 1], and its entropy divided by
    that of as many equal bins. The std is the sample one (tau - 1), as in the authors' code.

    The score jumps if a cosine crosses the edge of a bin: rounding can then change it by up to 0.5 %.

    Raises:
        Undefined: fewer than s + tau tokens or two bins, or the same diversity at all scales.
    """
    series = statistics.logprob.astype(np.float64)
    bins = int(eps_factor * len(series))
    if len(series) < s + tau or bins < 2:
        raise Undefined(f"{len(series)} scored tokens; the detector needs at least {s + tau}")
    spread = float(np.std([_diversity(series, s, bins, scale) for scale in range(1, tau + 1)], ddof=1))
    if spread == 0.0:
        raise Undefined("the diversity entropy is the same at all scales")
    return float(series.mean()) / spread


def _diversity(series: FloatArray, s: int, bins: int, scale: int) -> float:
    """Diversity entropy at one scale, in [0, 1]."""
    orbits = _windows(_windows(series, scale).mean(axis=1), s)
    # certain tokens have log p = 0: such a window has no direction, its cosine counts as 0
    lengths = np.maximum(np.linalg.norm(orbits, axis=1), 1e-8)
    cosines = np.einsum("ij,ij->i", orbits[:-1], orbits[1:]) / (lengths[:-1] * lengths[1:])
    # a cosine that rounding lifts above 1 belongs into the last bin; the authors' histogram drops it
    counts, _ = np.histogram(np.clip(cosines, -1.0, 1.0), bins=bins, range=(-1.0, 1.0))
    shares = counts[counts > 0] / len(cosines)
    return float(-np.sum(shares * np.log(shares)) / np.log(bins))


def shares(statistics: TokenStatistics, s: int = 3, eps_factor: float = 1.0, tau: int = 15) -> FloatArray:
    """Compute what each token adds to the score: log p / (T x the spread of the diversity entropies)."""
    series = statistics.logprob.astype(np.float64)
    mean = float(series.mean())
    if mean == 0.0:
        return np.zeros(len(series))
    return series / len(series) * (lastde(statistics, s, eps_factor, tau) / mean)


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "lastde",
            "Likelihood over the spread of its multiscale diversity entropy",
            lastde,
            shares=shares,
            paper="https://arxiv.org/abs/2410.06072",
            licence="the authors' code has no licence; this is written from the paper",
            options=LastdeOptions,
        )
    ]
