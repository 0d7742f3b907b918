"""The update, exactly: advantages with the KL penalty, in numpy. Every backend calls this and nothing else.

For prompt g with rollouts i = 1 … G and totals r::

    A[g,i]   = (r[g,i] - mean_g) / (std_g + 1e-4)      std with n - 1; clipped to ± advantage_clip
    d[t]     = logp_sampler[t] - logp_base[t]
    A[g,i,t] = A[g,i] - beta * (d[t] - mean of d over all completion tokens of the batch)
    loss     = - sum over completion tokens of exp(logp_theta[t] - logp_sampler[t]) * A[g,i,t]

The group form follows Shao et al. 2024 (DeepSeekMath, GRPO); the KL penalty as a centred term of the advantage
follows the RL loop of the tinker-cookbook. Deviation from the cookbook: it only centres the rewards, the recipe
also divides by the group's standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.plugin.rated import TokenAdvantages
from paraphrase_rl.types import FloatArray

STD_EPSILON = 1e-4
"""Number added to a group's standard deviation, so that the division is safe."""

MEASURED = 2
"""Number of rollouts of a group from which the size of a step is measured."""


@dataclass(frozen=True, slots=True)
class GroupAdvantages:
    """Advantages before the KL penalty.

    Attributes:
        values: shape (P, G); 0 in a constant group and for a rollout without a total.
        constant: shape (P,): True for groups whose known totals are all equal (or fewer than two are known).
        used: shape (P, G): True for rollouts that take part in the update.
    """

    values: FloatArray
    constant: NDArray[np.bool_]
    used: NDArray[np.bool_]


def group_advantages(totals: FloatArray, *, normalize: bool, clip: float) -> GroupAdvantages:
    """Compute the advantages of rollouts within their groups.

    Args:
        totals: total rewards of shape (P, G); NaN for a rollout without a total, which then counts neither in its
            group's mean and standard deviation nor in the update.
        normalize: divide by the group's standard deviation (n - 1) plus 1e-4.
        clip: bound of the absolute advantage. With the group's own deviation it is at most (G - 1) / sqrt(G), 2.47
            at G = 8, so the recipe's 10 has no effect there.

    Raises:
        ValueError: wrong shape, or infinite totals.
    """
    if totals.ndim != 2 or totals.shape[1] < 2:
        raise ValueError(f"totals must have shape (P, G) with G >= 2, got {totals.shape}")
    if np.isinf(totals).any():
        raise ValueError("totals must be finite, or NaN where a rollout has none")
    values = np.zeros(totals.shape)
    constant = np.zeros(len(totals), dtype=bool)
    known = ~np.isnan(totals)
    for group, rewards in enumerate(totals):
        present = rewards[known[group]]
        if present.size < 2 or np.ptp(present) == 0.0:
            constant[group] = True
            continue
        advantages = present - present.mean()
        if normalize:
            advantages = advantages / (present.std(ddof=1) + STD_EPSILON)
        values[group, known[group]] = np.clip(advantages, -clip, clip)
    return GroupAdvantages(values, constant, known & ~constant[:, None])


def token_advantages(
    totals: FloatArray,
    sampler_logprobs: Sequence[FloatArray],
    base_logprobs: Sequence[FloatArray],
    *,
    normalize: bool,
    clip: float,
    kl_coef: float,
) -> TokenAdvantages:
    """Compute the per-token advantages of one batch, including the KL penalty.

    Args:
        totals: total rewards of shape (P, G).
        sampler_logprobs: P * G arrays of shape (T_i,): the sampler's own log-probabilities, groups one after the
            other.
        base_logprobs: the same tokens under the frozen base model, same shapes.
        kl_coef: beta, the weight of the centred KL term.

    A rollout of a constant group, or without a total, contributes nothing: all its tokens get 0, the KL term
    included, while its tokens still count in the mean of d.
    """
    groups = group_advantages(totals, normalize=normalize, clip=clip)
    if not len(sampler_logprobs) == len(base_logprobs) == totals.size:
        raise ValueError("one array of log-probabilities per rollout")
    distances = [
        np.asarray(sampler, dtype=np.float64) - np.asarray(base, dtype=np.float64)
        for sampler, base in zip(sampler_logprobs, base_logprobs, strict=True)
    ]
    mean = mean_over_tokens(distances)
    flat, used = groups.values.ravel(), groups.used.ravel()
    values = [
        advantage - kl_coef * (distance - mean) if taking_part else np.zeros_like(distance)
        for advantage, taking_part, distance in zip(flat, used, distances, strict=True)
    ]
    return TokenAdvantages(
        values,
        kl_reference=mean,
        constant_groups=float(groups.constant.mean()),
        unrewarded=float(np.isnan(totals).mean()),
    )


def mean_over_tokens(differences: Sequence[FloatArray]) -> float:
    """Compute the mean over all tokens of a batch of sequences of different length; 0 for a batch without tokens.

    With differences logp_sampler - logp_other it is the k1 estimate of KL(sampler || other) in nats per token: the
    trainer before the update gives ``kl_sample_train`` (health of the numerics), the trainer after it
    ``kl_post_train`` (size of the step; of :func:`measured_rows` alone), the base model ``kl_reference``.
    """
    tokens = sum(len(difference) for difference in differences)
    return float(sum(difference.sum() for difference in differences) / tokens) if tokens else 0.0


def measured_rows(group_size: int, rows: int) -> list[int]:
    """Return which rollouts, of groups one after the other, are computed once more after the update.

    They are the first two of each group: their mean change is that of the batch but for the noise of a quarter of its
    tokens, in a group of eight, at a quarter of the cost.
    """
    return [row for row in range(rows) if row % group_size < MEASURED]
