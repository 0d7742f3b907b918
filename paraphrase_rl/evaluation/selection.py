"""A recipe with only some of its rewriters and detectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from paraphrase_rl.evaluation.plan import label_of
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.recipe.loading import LoadedRecipe, load_recipe
from paraphrase_rl.recipe.schema import Component, Recipe


def select(
    recipe: Recipe, rewriters: Collection[str], detectors: Collection[str], registry: Registry
) -> Recipe:
    """The recipe with only the rewriters and held-out detectors named; those it lists keep their options.

    Args:
        recipe: what is evaluated.
        rewriters: by label or name; empty = the recipe's.
        detectors: beside the recipe's own; empty = the recipe's held-out ones.
        registry: where components come from.

    Raises:
        PluginError: there is no such rewriter or detector.
        RecipeError: the recipe that results is contradictory.
    """
    named: dict[str, object] = {}
    if rewriters:
        attacks = {label_of(attack): attack for attack in recipe.rewriters}
        for name in rewriters:
            if name not in attacks:
                registry.get("rewriters", name)
        named["rewriters"] = _only(rewriters, attacks)
    if detectors:
        for name in detectors:
            registry.get("detectors", name)
        named["held_out"] = _only(detectors, {c.name: c for c in recipe.held_out or []})
    return load_recipe(recipe, named).recipe if named else recipe


def _only(names: Collection[str], listed: Mapping[str, Component]) -> list[dict[str, object]]:
    return [listed[n].model_dump() if n in listed else {"name": n} for n in dict.fromkeys(names)]


def select_detector(source: str | Path | Recipe | LoadedRecipe | None, detector: str) -> LoadedRecipe:
    """The recipe with one detector alone; one that it lists keeps its options.

    Raises:
        RecipeError: the recipe cannot be read.
    """
    loaded = load_recipe(source)
    listed = {component.name: component for component in loaded.recipe.detectors}
    return load_recipe(loaded, {"detectors": _only([detector], listed)})
