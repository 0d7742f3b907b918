"""Rated rollouts, as a backend gets them: their rewards, and the advantages of their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.types import Document, Failure, FloatArray, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardOutcome:
    """Rewards of N rewrites.

    Attributes:
        total: shape (N,), in [0, 1]; 0 for an invalid output, NaN if a failure leaves a rollout without a total: such
            a rollout takes no part in the update.
        terms: values by reward name, shape (N,); NaN if the term failed or was not computed because a gate was 0.
        valid: shape (N,): whether the rewrite passed every gate.
        failures: of all terms, indices into the batch.
        details: further numbers by metric name, shape (N,); NaN if not computed.
        metric_names: reward -> its name in the metrics.
    """

    total: FloatArray
    terms: Mapping[str, FloatArray]
    valid: NDArray[np.bool_]
    failures: tuple[Failure, ...] = ()
    details: Mapping[str, FloatArray] = field(default_factory=dict)
    metric_names: Mapping[str, str] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Metrics by name, as every backend logs them.

        ``reward_mean`` and ``reward_std`` (n in the denominator) are over all known totals of the batch, the
        zeros of invalid outputs included. A term and a detail are averaged over the rewrites they were
        computed for: gates over all, the other terms over valid rewrites only. A mean over no rewrites is NaN.
        ``reward_failures`` counts rollouts without a total.
        """
        known = self.total[np.isfinite(self.total)]
        return {
            "reward_mean": _mean(known),
            "reward_std": float(known.std()) if known.size else float("nan"),
            **{self.metric_names[name]: _mean(values) for name, values in self.terms.items()},
            "reward_failures": float(np.isnan(self.total).sum()),
            **{name: _mean(values) for name, values in self.details.items()},
        }

    @classmethod
    def join(cls, parts: Sequence[RewardOutcome]) -> RewardOutcome:
        """Concatenate outcomes of the same rewards into the outcome of one batch."""
        lengths = [len(part.total) for part in parts]
        starts = np.cumsum([0, *lengths])
        return cls(
            total=np.concatenate([part.total for part in parts]),
            terms=joined([part.terms for part in parts], lengths),
            valid=np.concatenate([part.valid for part in parts]),
            failures=tuple(
                replace(failure, index=failure.index + int(start))
                for part, start in zip(parts, starts[:-1], strict=True)
                for failure in part.failures
            ),
            details=joined([part.details for part in parts], lengths),
            metric_names=parts[0].metric_names,
        )


@dataclass(frozen=True, slots=True)
class TokenAdvantages:
    """Advantages of tokens, by which a backend multiplies the probability ratios.

    Attributes:
        values: one array of shape (T_i,) for each rollout, groups one after the other.
        kl_reference: mean over all completion tokens of the batch of logp_sampler - logp_base, in nats a token: the
            policy's distance from the base model (estimator k1 of Schulman's note on approximating KL).
        constant_groups: share of groups whose rewards are all equal, which contribute nothing.
        unrewarded: share of rollouts without a total.
        kl_warmup: the same distance from the policy after the warm-up; ``None`` without a warm-up.
    """

    values: list[FloatArray]
    kl_reference: float
    constant_groups: float
    unrewarded: float
    kl_warmup: float | None = None

    def metrics(self) -> dict[str, float]:
        """Metrics by name, as every backend logs them."""
        return {
            "kl_reference": self.kl_reference,
            **({} if self.kl_warmup is None else {"kl_warmup": self.kl_warmup}),
            "frac_constant_groups": self.constant_groups,
            "frac_unrewarded": self.unrewarded,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedExample:
    """A completion to be learnt from its prompt, by cross-entropy on its tokens.

    Attributes:
        prompt_ids: token ids of the prompt, without padding.
        completion_ids: token ids of the completion, with the end token.
        weight: weight of each of its tokens in the loss of the batch, the same for all tokens of a batch: the loss is
            the sum over tokens of minus weight times log-probability, in nats a token.
    """

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    weight: float


@dataclass(kw_only=True)
class RatedRollouts:
    """Rollouts with their rewards, groups one after the other.

    Attributes:
        documents: the source of each rollout.
        base_logprobs: set by the backend: shape (T_i,) for each rollout, under the frozen base model.
        warmup_logprobs: the same under the policy after the warm-up; empty without a warm-up.
        advantages: kept by the session, so that the update and the metrics share one result.
    """

    documents: list[Document]
    rollouts: list[Rollout]
    outcome: RewardOutcome
    base_logprobs: list[FloatArray] = field(default_factory=list)
    warmup_logprobs: list[FloatArray] = field(default_factory=list)
    advantages: TokenAdvantages | None = None

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the parts of all processes, in their order, into one batch."""
        return cls(
            documents=[d for part in parts for d in part.documents],
            rollouts=[r for part in parts for r in part.rollouts],
            outcome=RewardOutcome.join([part.outcome for part in parts]),
            base_logprobs=[b for part in parts for b in part.base_logprobs],
            warmup_logprobs=[w for part in parts for w in part.warmup_logprobs],
        )


def joined(tables: Sequence[Mapping[str, FloatArray]], lengths: Sequence[int]) -> dict[str, FloatArray]:
    """Concatenate the columns of several tables; NaN where a table lacks a column.

    Args:
        tables: arrays of shape (n,) by name.
        lengths: n of each table.
    """
    names = list(dict.fromkeys(name for table in tables for name in table))
    return {
        name: np.concatenate(
            [table.get(name, np.full(n, np.nan)) for table, n in zip(tables, lengths, strict=True)]
        )
        for name in names
    }


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
