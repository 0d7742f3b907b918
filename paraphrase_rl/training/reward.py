"""Total reward: terms in [0, 1] combined to a number in [0, 1], 0 for an invalid output, NaN where a term failed.

A rollout whose total is NaN takes no part in the update, see :mod:`paraphrase_rl.training.grpo`.

A term counts by r = (value - floor) / (saturation - floor), clipped to [0, 1]; by default that is its value. Then

    mean:         total = sum of w * r / sum of w over the recipe's terms
    conditional:  total = V * (M * (sum of w over meaning + sum of w * r over evasion, fairness)
                               + sum of w * r over fluency, other) / sum of w over all these

with V the product of the gates and M the weighted geometric mean of the terms of role ``meaning``: evasion is worth
something only where the meaning is there, and one part of the meaning cannot make up for another that is lost.

A term with ``gate`` and value 0 makes the total 0. Gates come first, and only rewrites that pass them are rated by the
other terms, which cost more. No running state: "0.5 -> 0.7" means the same at every step of every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.errors import PluginError, RecipeError
from paraphrase_rl.plugin.protocols import Reward
from paraphrase_rl.plugin.rated import RewardOutcome
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, RewardRole
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.types import Failure, FloatArray, RewardBatch

Combination = Literal["mean", "conditional"]

_ONLY_WITH_MEANING: tuple[RewardRole, ...] = ("evasion", "fairness")
"""Roles that a conditional total pays for only in proportion to the meaning: both pay for a low P(AI)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedReward:
    """One term of the total.

    Attributes:
        name: name of the reward in the recipe, in failures and in values.
        reward: the component.
        weight: weight in the mean; 0 = only recorded.
        role: role of the reward, such as ``meaning``; ``validity`` = a gate.
        stem: beginning of its names in the metrics.
        floor: value up to which it counts 0 in the total.
        saturation: value from which on it counts 1.
    """

    name: str
    reward: Reward
    weight: float
    role: RewardRole = "other"
    stem: str = ""
    floor: float = 0.0
    saturation: float = 1.0

    @property
    def gate(self) -> bool:
        """True if a value of 0 makes the total 0."""
        return self.role == "validity"

    @property
    def term(self) -> RewardTerm:
        """The term as the records of a run describe it."""
        return RewardTerm(name=self.name, role=self.role, metric=self.metric)

    @property
    def metric(self) -> str:
        """Name in the metrics: ``STEM_reward``, or ``STEM_rate`` for a gate."""
        return f"{self.prefix}_{'rate' if self.gate else 'reward'}"

    @property
    def prefix(self) -> str:
        """Beginning of the names of the term's details."""
        return self.stem or self.name.rpartition("/")[2].replace("-", "_")

    def counted(self, values: FloatArray) -> FloatArray:
        """Scale values to [0, 1] between floor and saturation, before the weight is applied; NaN stays NaN."""
        found: FloatArray = np.clip((values - self.floor) / (self.saturation - self.floor), 0.0, 1.0)
        return found


class ComposedReward:
    """The recipe's total reward.

    Args:
        terms: at least one with a positive weight.
        notes: one line for each term that was left out, and why.
        combine: how terms are combined to the total, see the module.

    Raises:
        RecipeError: no weight is positive, or a conditional total lacks a term of role ``meaning`` or ``evasion``.
        PluginError: two terms would have the same name in the metrics.
    """

    def __init__(
        self, terms: Sequence[WeightedReward], notes: Sequence[str] = (), combine: Combination = "mean"
    ) -> None:
        if not sum(term.weight for term in terms) > 0.0:
            raise RecipeError(
                "rewards: no term has a positive weight",
                "give at least one reward of the recipe a weight above 0",
            )
        prefixes = [term.prefix for term in terms]
        if twice := sorted({prefix for prefix in prefixes if prefixes.count(prefix) > 1}):
            raise PluginError(
                f"two rewards would both be logged as {twice[0]}_…",
                "remove one of these rewards from the recipe",
            )
        roles = {term.role for term in terms if term.weight > 0.0}
        if combine == "conditional" and (missing := [r for r in ("meaning", "evasion") if r not in roles]):
            raise RecipeError(
                f"rewards_combine: conditional needs a reward of role {' and one of role '.join(missing)}",
                "add one to rewards with a weight above 0, or set rewards_combine: mean",
            )
        self.terms = tuple(terms)
        self.notes = tuple(notes)
        self.combine = combine

    def __call__(self, batch: RewardBatch) -> RewardOutcome:
        """Rate N rewrites.

        Raises:
            PluginError: see :func:`paraphrase_rl.plugin.isolation.contained`.
        """
        everything = np.arange(len(batch))
        rated = {t.name: _rate(t, batch, everything) for t in self.terms if t.gate}
        gates = [terms.values for terms in rated.values()]
        invalid = np.any([values == 0.0 for values in gates], axis=0) if gates else everything < 0
        passed = np.all([values > 0.0 for values in gates], axis=0) if gates else everything >= 0
        rated |= {t.name: _rate(t, batch, np.flatnonzero(passed)) for t in self.terms if not t.gate}
        ordered = {t.name: rated[t.name] for t in self.terms}
        return RewardOutcome(
            total=np.where(invalid, 0.0, self._total(ordered)),
            terms={name: terms.values for name, terms in ordered.items()},
            valid=passed,
            failures=tuple(failure for terms in ordered.values() for failure in terms.failures),
            details={
                f"{t.prefix}_{name.replace('-', '_')}": values
                for t in self.terms
                for name, values in ordered[t.name].details.items()
            },
            metric_names={t.name: t.metric for t in self.terms},
        )

    def _total(self, rated: Mapping[str, _Rated]) -> FloatArray:
        """Totals of shape (N,), NaN where a term is; a term of weight 0 is only recorded and does not matter."""
        terms = [t for t in self.terms if t.weight > 0.0]
        worth = {t.name: t.counted(rated[t.name].values) for t in terms}
        if self.combine == "mean":
            return _weighted_mean(terms, worth)
        valid = np.prod([worth[t.name] for t in terms if t.gate], axis=0)
        meaning = kept_meaning(terms, worth)
        paid = dict(worth)
        for t in terms:
            if t.role == "meaning":
                paid[t.name] = meaning
            elif t.role in _ONLY_WITH_MEANING:
                paid[t.name] = meaning * worth[t.name]
        total: FloatArray = valid * _weighted_mean([t for t in terms if not t.gate], paid)
        return total


def kept_meaning(terms: Sequence[WeightedReward], worth: Mapping[str, FloatArray]) -> FloatArray:
    """Compute the weighted geometric mean of the terms of role ``meaning``, shape (N,) in [0, 1]; NaN where one is.

    Args:
        terms: at least one of them has that role; weights positive.
        worth: what each term counts, by name.
    """
    parts = [t for t in terms if t.role == "meaning"]
    whole = sum(t.weight for t in parts)
    powers = [worth[t.name] ** (t.weight / whole) for t in parts]
    found: FloatArray = np.prod(powers, axis=0)
    return found


def _weighted_mean(terms: Sequence[WeightedReward], values: Mapping[str, FloatArray]) -> FloatArray:
    table = np.stack([values[t.name] for t in terms])
    mean: FloatArray = np.average(table, axis=0, weights=[t.weight for t in terms])
    return np.clip(mean, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Rated:
    """Terms of a part of a batch, spread over the whole: NaN elsewhere, without a Failure."""

    values: FloatArray
    failures: tuple[Failure, ...]
    details: Mapping[str, FloatArray]


def _rate(term: WeightedReward, batch: RewardBatch, where: NDArray[np.intp]) -> _Rated:
    """One term's values for the items at ``where``."""
    if not where.size:
        return _Rated(np.full(len(batch), np.nan), (), {})
    terms = term.reward(batch.subset(where.tolist()))
    return _Rated(
        _spread(terms.values, where, len(batch)),
        tuple(replace(failure, index=int(where[failure.index])) for failure in terms.failures),
        {name: _spread(values, where, len(batch)) for name, values in terms.details.items()},
    )


def _spread(values: FloatArray, where: NDArray[np.intp], length: int) -> FloatArray:
    whole = np.full(length, np.nan)
    whole[where] = values
    return whole


def build_reward(
    recipe: Recipe, registry: Registry, context: Context, corpus_has_groups: bool
) -> ComposedReward:
    """Build the total reward of a recipe, leaving out terms about groups of writers if no text has a group.

    Raises:
        PluginError: a reward is unknown or broken, or needs detectors and there are none.
        RecipeError: a wrong option, or no positive weight.
        MissingDependencyError: a term needs a package that is not installed.
    """
    terms: list[WeightedReward] = []
    notes: list[str] = []
    for entry in recipe.rewards:
        spec = registry.spec("rewards", entry.name)
        if spec.needs_groups and not corpus_has_groups:
            notes.append(f"reward {entry.name} is off: no text of the data has a group")
            continue
        terms.append(
            WeightedReward(
                name=entry.name,
                reward=registry.build("rewards", entry.name, entry.options, context),
                weight=spec.default_weight if entry.weight is None else entry.weight,
                role=spec.role,
                stem=spec.metric,
                floor=entry.floor,
                saturation=entry.saturation,
            )
        )
    return ComposedReward(terms, notes, recipe.rewards_combine)
