"""Total reward: a weighted mean of terms in [0, 1], 0 for an invalid output, NaN where a term failed.

total = sum of w * r / sum of w over the recipe's terms. A term with ``gate`` and value 0 makes the total 0.
Gates come first, and only rewrites that pass them are rated by the other terms, which cost more. No running
state, no normalisation: "0.5 -> 0.7" means the same at every step of every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedReward:
    """One term of the total.

    Attributes:
        name: name of the reward in the recipe, in failures and in values.
        reward: the component.
        weight: weight in the mean; 0 = only recorded.
        role: role of the reward, such as ``meaning``; ``validity`` = a gate.
        stem: beginning of its names in the metrics.
    """

    name: str
    reward: Reward
    weight: float
    role: RewardRole = "other"
    stem: str = ""

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


class ComposedReward:
    """The recipe's total reward.

    Args:
        terms: at least one with a positive weight.
        notes: one line for each term that was left out, and why.

    Raises:
        RecipeError: no weight is positive.
        PluginError: two terms would have the same name in the metrics.
    """

    def __init__(self, terms: Sequence[WeightedReward], notes: Sequence[str] = ()) -> None:
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
        self.terms = tuple(terms)
        self.notes = tuple(notes)

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
            total=np.where(invalid, 0.0, self._mean(ordered)),
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

    def _mean(self, rated: Mapping[str, _Rated]) -> FloatArray:
        """Weighted mean, NaN where a term is; a term of weight 0 is only recorded and does not matter."""
        counted = [t for t in self.terms if t.weight > 0.0]
        values = np.stack([rated[t.name].values for t in counted])
        mean: FloatArray = np.average(values, axis=0, weights=[t.weight for t in counted])
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
            )
        )
    return ComposedReward(terms, notes)
