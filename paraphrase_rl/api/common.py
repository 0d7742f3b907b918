"""Functions that the verbs share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from paraphrase_rl.errors import CalibrationError, RecipeError, UsageError
from paraphrase_rl.files import expanded

if TYPE_CHECKING:
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.plugin.specs import DetectorSpec
    from paraphrase_rl.recipe.loading import LoadedRecipe
    from paraphrase_rl.recipe.schema import Component, Recipe
    from paraphrase_rl.runs.run import Run

    AnyPath: TypeAlias = str | PathLike[str]
    RecipeSource: TypeAlias = str | Path | Recipe | LoadedRecipe
    RunOrPath: TypeAlias = Run | AnyPath
    Components: TypeAlias = str | Component | Iterable[str | Component] | Mapping[str, Mapping[str, object]]
    Detectors: TypeAlias = Components | DetectorSpec | Iterable[str | Component | DetectorSpec]


def registry_or_default(registry: Registry | None) -> Registry:
    """Return the registry that was given, or else the default registry of this process."""
    if registry is not None:
        return registry
    from paraphrase_rl.plugin.registry import default_registry

    return default_registry()


def device_or_default(device: str | None, runs_on_torch: bool = True) -> str:
    """Return the device given, if available; else ``cuda`` if available and of use, else ``cpu``.

    Raises:
        UsageError: torch has no such device here.
    """
    from paraphrase_rl.models.devices import check_device, default_device

    if device is None:
        return default_device(runs_on_torch)
    check_name(device, "device")
    check_device(device)
    return device


def device_for(device: str | None, registry: Registry, detectors: Iterable[str]) -> str:
    """Choose the device as :func:`device_or_default` does, for detectors that must all be installed.

    Raises:
        PluginError, MissingDependencyError: there is no such detector, or it lacks a package.
        UsageError: see :func:`device_or_default`.
    """
    needed: set[str] = set()
    for name in detectors:
        registry.require("detectors", name)
        needed.update(registry.spec("detectors", name).modules)
    return device_or_default(device, "torch" in needed)


def components_of(named: Components) -> list[Component]:
    """Convert an argument that names components to a list of components with their options.

    Args:
        named: a name, a component of a recipe, a list of these, or names with options as a mapping.

    Raises:
        UsageError: the argument is none of these.
        RecipeError: a component has no name, or its options are not a mapping.
    """
    from paraphrase_rl.recipe.schema import Component

    if isinstance(named, (str, Component)):
        named = [named]
    if isinstance(named, Mapping):
        return [_component(name, options) for name, options in named.items()]
    listed = list_of(named)
    if listed is None:
        raise UsageError(
            f"cannot read components from {type(named).__name__}",
            "give a name, a list of names, or a mapping of names to options",
        )
    return [one if isinstance(one, Component) else _component(one, {}) for one in listed]


def named_detectors(given: Detectors, registry: Registry) -> tuple[list[Component], Registry]:
    """Convert an argument that names detectors to components, and add those made with ``prl.detector`` to a registry.

    Raises:
        UsageError, RecipeError: see :func:`components_of`.
        PluginError: a detector made with ``prl.detector`` has the name of another.
    """
    from paraphrase_rl.plugin.specs import DetectorSpec

    listed = [given] if isinstance(given, DetectorSpec) else list_of(given)
    if listed is None or isinstance(given, Mapping):
        return components_of(given), registry  # type: ignore[arg-type]
    made = [one for one in listed if isinstance(one, DetectorSpec)]
    names = [one.name if isinstance(one, DetectorSpec) else one for one in listed]
    return components_of(names), registry.extended("detectors", made) if made else registry


def _component(name: object, options: object) -> Component:
    from pydantic import ValidationError

    from paraphrase_rl.recipe.schema import Component

    try:
        return Component.model_validate({"name": name, "options": {} if options is None else options})
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(
            f"component {name!r:.60}: {first['loc'][0]}: {first['msg']}",
            "options are a mapping of names to values",
        ) from error


def list_of(given: object) -> list[Any] | None:
    """Convert an iterable to a list; ``None`` for anything else, bytes and mappings included."""
    if isinstance(given, (bytes, str, Mapping)) or not isinstance(given, Iterable):
        return None
    try:
        return list(given)
    except TypeError:  # an array of no dimension says that it can be iterated
        return None


def path_of(given: AnyPath, what: str) -> Path:
    """Return the path that was given, with ``~`` as the home directory; ``what`` is the name of the argument.

    Raises:
        UsageError: the argument is not a path.
    """
    if not isinstance(given, (str, PathLike)):
        raise UsageError(f"{what} is {given!r:.60}, not a path", "give a string or a pathlib.Path")
    return expanded(Path(given))


def check_name(given: object, what: str) -> None:
    """Refuse a name that is not a string; ``what`` is the name of the argument, for error messages.

    Raises:
        UsageError: the value is not of this kind.
    """
    if not isinstance(given, str):
        raise UsageError(f"{what} is {given!r:.60}, not a name", "give a string")


def mapping_of(given: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
    """Return the mapping that was given, an empty one for ``None``; ``what`` is the name of the argument.

    Raises:
        UsageError: the argument is not a mapping.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise UsageError(
            f"{what} is {given!r:.60}, not a mapping of names",
            "give names with values, such as {'rate': 0.1}",
        )
    return given


def check_rate(value: object, name: str) -> None:
    """Check that a value is a rate in (0, 1).

    Raises:
        CalibrationError: the value is not such a rate.
    """
    if not isinstance(value, Real) or not 0.0 < float(value) < 1.0:
        raise CalibrationError(f"{name} is {value!r:.60}, not a rate between 0 and 1", "write 5 % as 0.05")


def check_whole(value: object, name: str, least: int) -> None:
    """Check that a value is a whole number of at least ``least``.

    Raises:
        UsageError: the value is not of this kind.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise UsageError(f"{name} is {value!r:.60}", f"give a whole number that is at least {least}")
