"""The components a recipe names, and the models they load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from paraphrase_rl.plugin.registry import Kind, Registry
from paraphrase_rl.recipe.schema import Component, Recipe


def components(recipe: Recipe) -> Iterator[tuple[Kind, Component]]:
    """Detectors, rewards and the data set."""
    yield from (("detectors", component) for component in recipe.detectors)
    yield from (("rewards", component) for component in recipe.rewards)
    yield "datasets", recipe.data.source


def component_models(kind: Kind, name: str, options: Mapping[str, object], registry: Registry) -> list[str]:
    """Model references of one component: its option ``model``, else those its spec names.

    Raises:
        PluginError, RecipeError: the component or an option is unknown.
    """
    chosen = getattr(registry.options(kind, name, options), "model", None)
    return [chosen] if isinstance(chosen, str) else list(registry.get(kind, name).spec.models)


def model_references(recipe: Recipe, registry: Registry) -> list[str]:
    """Every model a recipe loads: the policy and those of its components."""
    found = {recipe.model}
    for kind, component in components(recipe):
        found.update(component_models(kind, component.name, component.options, registry))
    return sorted(found)
