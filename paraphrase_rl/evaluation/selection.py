"""Selection of some of a recipe's rewriters and detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from paraphrase_rl.evaluation.plan import label_of, rewriter_spec
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.recipe.loading import LoadedRecipe, load_recipe
from paraphrase_rl.recipe.schema import Component, Recipe
from paraphrase_rl.runs.backend import backend_of_run


def select(
    recipe: Recipe, rewriters: Sequence[Component], detectors: Sequence[Component], registry: Registry
) -> Recipe:
    """Return the recipe with only some rewriters and held-out detectors; a name alone keeps the recipe's options.

    Args:
        recipe: recipe to evaluate.
        rewriters: by label or name; empty = the recipe's.
        detectors: in addition to the recipe's own; empty = the recipe's held-out ones.
        registry: where components come from.

    Raises:
        PluginError: there is no such rewriter or detector.
        RecipeError: the recipe that results is contradictory.
    """
    named: dict[str, object] = {}
    if rewriters:
        attacks = {label_of(attack): attack for attack in recipe.rewriters}
        for component in rewriters:
            if component.name not in attacks:
                registry.get("rewriters", component.name)
        named["rewriters"] = _only(rewriters, attacks)
    if detectors:
        for component in detectors:
            registry.get("detectors", component.name)
        named["held_out"] = _only(detectors, {c.name: c for c in recipe.held_out or []})
    return load_recipe(recipe, named).recipe if named else recipe


def with_backend_options(
    recipe: Recipe, run: Path, options: Mapping[str, object], registry: Registry
) -> Recipe:
    """Return the recipe with options of the run's backend for each rewriter that samples there.

    Raises:
        RecipeError: the backend does not know an option, or its value is wrong.
        PluginError: the backend of the run is not installed.
    """
    on = backend_of_run(run, options)
    registry.options("backends", on.name, on.options)
    changed = []
    for attack in recipe.rewriters:
        spec, given = rewriter_spec(attack.name, registry), attack.options
        takes = spec is not None and "backend_options" in spec.options.model_fields
        if takes and given.get("backend") in (None, on.name) and given.get("run") is None:
            own = given.get("backend_options")
            merged = {**(own if isinstance(own, Mapping) else {}), **options}
            changed.append(attack.model_copy(update={"options": {**given, "backend_options": merged}}))
        else:
            changed.append(attack)
    return recipe.model_copy(update={"rewriters": changed})


def _only(named: Sequence[Component], listed: Mapping[str, Component]) -> list[dict[str, object]]:
    chosen = {repr(c): c if c.options else listed.get(c.name, c) for c in named}
    return [component.model_dump() for component in chosen.values()]


def select_detector(source: str | Path | Recipe | LoadedRecipe | None, detector: str) -> LoadedRecipe:
    """Return the recipe with one detector only, which keeps its options if the recipe lists it.

    Raises:
        RecipeError: the recipe cannot be read.
    """
    loaded = load_recipe(source)
    listed = {component.name: component for component in loaded.recipe.detectors}
    return load_recipe(loaded, {"detectors": _only([Component(name=detector)], listed)})
