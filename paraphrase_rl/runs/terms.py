"""Reward terms of a run with their roles, as its manifest records them, so that reading a run needs no plug-in."""

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
        role: role of the reward, such as ``evasion`` or ``meaning``.
        metric: name of the term in ``metrics.jsonl``: ``STEM_reward``, or ``STEM_rate`` for a gate.
        summary: one line.
    """

    name: str
    role: RewardRole
    metric: str
    summary: str = ""

    @property
    def stem(self) -> str:
        """Beginning of the names of the term's details."""
        return self.metric.rpartition("_")[0]

    @property
    def probability_prefix(self) -> str:
        """Beginning of the names of each detector's P(AI) in the details of a term of role ``evasion``."""
        return f"{self.stem}_p_"

    @classmethod
    def of(cls, name: str, spec: RewardSpec) -> RewardTerm:
        """Build the term of a reward that the recipe calls ``name``."""
        return cls(name=name, role=spec.role, metric=spec.metric_name, summary=spec.summary)


def recipe_terms(recipe: Recipe, registry: Registry) -> list[RewardTerm]:
    """List the reward terms of a recipe.

    Raises:
        PluginError: the recipe names an unknown reward.
    """
    return [RewardTerm.of(entry.name, registry.spec("rewards", entry.name)) for entry in recipe.rewards]


def recorded_terms(manifest: Mapping[str, Any]) -> tuple[RewardTerm, ...]:
    """Read the terms that a manifest records; an empty tuple if it records none that can be read."""
    rows = manifest.get("rewards")
    try:
        return tuple(RewardTerm(**row) for row in rows or ())
    except TypeError:
        return ()


def first_of(terms: Iterable[RewardTerm], role: RewardRole) -> RewardTerm | None:
    """Return the first term of a role in the recipe, which represents that role; ``None`` if no term has it."""
    return next((term for term in terms if term.role == role), None)
