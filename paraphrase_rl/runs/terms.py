"""Reward terms of a run with their roles, as its manifest records them: who reads a run needs no plug-in for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import RewardRole, RewardSpec
from paraphrase_rl.recipe.schema import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerm:
    """One term of the total reward.

    Attributes:
        name: as in the recipe.
        role: what it is for.
        metric: its name in ``metrics.jsonl``: ``STEM_reward``, or ``STEM_rate`` for a gate.
        summary: one line.
    """

    name: str
    role: RewardRole
    metric: str
    summary: str = ""

    @property
    def stem(self) -> str:
        """The beginning of the names of its details."""
        return self.metric.rpartition("_")[0]

    @property
    def probability_prefix(self) -> str:
        """The beginning of the names of P(AI) by detector, among the details of a term of role ``evasion``."""
        return f"{self.stem}_p_"

    @classmethod
    def of(cls, name: str, spec: RewardSpec) -> RewardTerm:
        """The term of a reward that the recipe calls ``name``."""
        return cls(name=name, role=spec.role, metric=spec.metric_name, summary=spec.summary)


def recipe_terms(recipe: Recipe, registry: Registry) -> list[RewardTerm]:
    """The terms of a recipe.

    Raises:
        PluginError: an unknown reward.
    """
    return [RewardTerm.of(entry.name, registry.spec("rewards", entry.name)) for entry in recipe.rewards]


def recorded_terms(manifest: Mapping[str, Any]) -> tuple[RewardTerm, ...]:
    """The terms that a manifest records; none where it records none, or something else."""
    rows = manifest.get("rewards")
    try:
        return tuple(RewardTerm(**row) for row in rows or ())
    except TypeError:
        return ()


def first_of(terms: Iterable[RewardTerm], role: RewardRole) -> RewardTerm | None:
    """The term that stands for a role: the first of it in the recipe."""
    return next((term for term in terms if term.role == role), None)
