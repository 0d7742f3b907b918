"""Loading of recipes from a file and changes to it, with the origin of each key.

Defaults come first, then the file, then the changes in order; a later value replaces an earlier one.
Keys are dotted: ``training.epochs``.
A component of a list is addressed by its name: ``rewards.fluency.weight``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.files import is_file_or_folder
from paraphrase_rl.names import suggestion
from paraphrase_rl.recipe.defaults import FILE, config_files
from paraphrase_rl.recipe.problems import dotted, explain
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.recipe.yaml_positions import Dumper, Keys, parse_value, read_yaml

DEFAULT = "default"
GIVEN = "given"
OVERRIDE = "--set"
"""Origin of a change typed on the command line."""
SET = "set"
"""Origin of a change given in Python."""
_COMPONENT_HINT = "a component of a list is addressed by its name, such as rewards.fluency.weight"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")


Changes = Mapping[str, Any] | Sequence[str | tuple[str, Any]]
"""Changes to a recipe: dotted keys with Python values, or strings ``section.key=value`` with a value as YAML."""


@dataclass(frozen=True, repr=False)
class LoadedRecipe:
    """A recipe and the origin of each of its keys; its ``repr`` is YAML that says both.

    Attributes:
        recipe: complete and validated.
        origins: dotted key -> ``default``, ``file PATH:LINE``, ``--set``, ``set`` or ``given`` (as a
            :class:`Recipe`), for every leaf.
    """

    recipe: Recipe
    origins: Mapping[str, str]

    def __repr__(self) -> str:
        return dump_recipe(self)


def packaged_recipes() -> dict[str, Path]:
    """Find the recipes that come with the package, by name."""
    return {name: path for name, path in config_files().items() if path.name != FILE}


def load_recipe(source: str | Path | Recipe | LoadedRecipe | None, changes: Changes = ()) -> LoadedRecipe:
    """Read, merge and validate a recipe.

    Args:
        source: a YAML file, the name of a packaged recipe, a recipe, or ``None`` for the defaults alone.
        changes: changes to make to the recipe.

    Raises:
        RecipeError: unreadable file, bad YAML, duplicate, unknown, ill-typed or contradictory key; the
            message names file and line.
    """
    data, where = _start(source)
    for change in _listed(changes):
        name, value, origin, shown = _read_change(change)
        keys = _apply(data, name, value, shown)
        where = {known: place for known, place in where.items() if known[: len(keys)] != keys}
        where |= {(*keys, *inner): origin for inner in _inside(value)}
    try:
        recipe = Recipe.model_validate(data, strict=True)
    except ValidationError as error:
        raise explain(error, data, where) from error
    whole = plain(recipe)
    origins = {dotted(keys, whole): where.get(keys, DEFAULT) for keys, _ in _leaves(whole)}
    return LoadedRecipe(recipe, origins)


def dump_recipe(loaded: LoadedRecipe) -> str:
    """Write the complete recipe as YAML, each key with a comment that states its origin.

    Loading the result gives an equal recipe.
    """
    whole = plain(loaded.recipe)
    return "".join(f"{line}\n" for line in _lines(whole, (), whole, loaded.origins))


def _start(source: str | Path | Recipe | LoadedRecipe | None) -> tuple[dict[str, Any], dict[Keys, str]]:
    """Return the data that changes are made to, and where each of its keys was written."""
    if source is None:
        return {}, {}
    if isinstance(source, (Recipe, LoadedRecipe)):
        loaded = source if isinstance(source, LoadedRecipe) else None
        data = plain(source if isinstance(source, Recipe) else source.recipe)
        origins = loaded.origins if loaded else {}
        written = {keys: origins.get(dotted(keys, data), GIVEN) for keys, _ in _leaves(data)}
        return data, {keys: origin for keys, origin in written.items() if origin != DEFAULT}
    file = _find(source)
    document = read_yaml(_read(file), str(source))
    if document.value is not None and not isinstance(document.value, dict):
        raise RecipeError(f"{source}: a recipe must be a mapping of keys to values", "see docs/recipe.md")
    return document.value or {}, {keys: f"file {file}:{line}" for keys, line in document.lines.items()}


def _find(path: str | Path) -> Path:
    file = Path(path)
    if is_file_or_folder(file):
        return file
    packaged = packaged_recipes()
    if str(path) in packaged:
        return packaged[str(path)]
    raise RecipeError(
        f"no recipe at {path}", f"give a file, or one of the packaged recipes: {', '.join(packaged)}"
    )


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: not UTF-8 at byte {error.start}", "save the file as UTF-8") from error
    except OSError as error:
        raise RecipeError(
            f"cannot read {file}: {error.strerror or error}", "give a recipe as a YAML file"
        ) from error


def _listed(changes: Changes) -> list[str | tuple[str, Any]]:
    listed: list[Any] = list(changes.items()) if isinstance(changes, Mapping) else []
    if not isinstance(changes, (Mapping, list, tuple)):
        raise RecipeError(
            f"the changes are {changes!r:.60}, not a mapping", 'for example {"training.max_steps": 20}'
        )
    listed += () if isinstance(changes, Mapping) else changes
    for change in listed:
        key = change[0] if isinstance(change, tuple) and len(change) == 2 else change
        if not isinstance(key, str):
            raise RecipeError(
                f"{change!r:.60} is not a change to a recipe",
                'give a recipe key and its value, such as "training.max_steps": 20',
            )
    return listed


def _read_change(change: str | tuple[str, Any]) -> tuple[str, Any, str, str]:
    """Key and value of a change, where they come from, and what errors call it."""
    if isinstance(change, str):
        name, equals, text = change.partition("=")
        if not equals:
            raise RecipeError(
                f"--set {change}: expected section.key=value", "for example --set training.max_steps=20"
            )
        return name.strip(), _parse(name, text, change), OVERRIDE, f"--set {change}"
    name, value = change
    shown = f"set {name}={value!r:.60}"
    return name, _plain_value(value, shown), SET, shown


def _parse(name: str, text: str, change: str) -> Any:
    """Value after ``--set``; an option of a component that is no YAML, such as ``*.csv`` or ``#1.csv``, is text.

    The component checks its options itself, so that a mistake in YAML is not lost.
    """
    try:
        value = parse_value(text, change)
    except RecipeError:
        if ".options." not in name:
            raise
        return text.strip()
    is_comment = value is None and text.strip().startswith("#") and ".options." in name
    return text.strip() if is_comment else value


def _plain_value(value: Any, shown: str) -> Any:
    """A Python value as a recipe holds it: mappings, lists, strings, numbers, yes or no, and nothing."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="python")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain_value(item, shown) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_value(item, shown) for item in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    raise RecipeError(
        f"{shown}: a {type(value).__name__} is not allowed in a recipe",
        "use text, numbers, true, false, null, lists and mappings",
    )


def _apply(data: dict[str, Any], name: str, value: Any, shown: str) -> Keys:
    """Set one key in place; returns where it stands."""
    parts = name.split(".")
    if not all(parts):
        raise RecipeError(f"{shown}: a part of the key's name is empty", "for example training.max_steps=20")
    keys: Keys = ()
    target: Any = data
    for part in parts[:-1]:
        keys = (*keys, _step(target, part, keys, shown))
        target = target[keys[-1]]
    if not isinstance(target, dict):
        raise RecipeError(f"{shown}: {'.'.join(parts[:-1])} is not a section", _COMPONENT_HINT)
    target[parts[-1]] = value
    return (*keys, parts[-1])


def _step(target: Any, part: str, keys: Keys, shown: str) -> str | int:
    """The key or index of ``part`` in ``target``; a section the file does not have is begun."""
    if isinstance(target, dict):
        if target.get(part) is None:
            target[part] = _default_component((*keys, part))
        return part
    names = (
        [str(item.get("name")) for item in target if isinstance(item, dict)]
        if isinstance(target, list)
        else []
    )
    if part in names:
        return names.index(part)
    raise RecipeError(
        f"{shown}: there is no {part} in {dotted(keys, {})}",
        suggestion(part, names) or _COMPONENT_HINT,
    )


def _default_component(keys: Keys) -> Any:
    """Start value of a section that is set in part: default components are completed, not replaced."""
    value: Any = plain(Recipe())
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, list) or (isinstance(value, dict) and "name" in value) else {}


def plain(recipe: Recipe) -> dict[str, Any]:
    """Convert a recipe to mappings, lists and scalars."""
    return recipe.model_dump(mode="python")


def leaves(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe as :func:`plain` gives it, by dotted key."""
    return {dotted(keys, data): value for keys, value in _leaves(data)}


def _inside(value: Any) -> Iterator[Keys]:
    """Keys of a value and of everything in it."""
    yield ()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        for inner in _inside(item):
            yield (key, *inner)


def _is_section(value: Any) -> bool:
    """True where the parts are shown one by one: a mapping, or a list of components."""
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "name" in v for v in value)


def _leaves(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    if not _is_section(value):
        yield keys, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(item, (*keys, key))


def _lines(value: Any, keys: Keys, whole: dict[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    """YAML lines of a section: mappings in blocks, everything else on one line."""
    indent = "  " * len(keys)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        here = (*keys, key)
        head = f"{indent}-" if isinstance(key, int) else f"{indent}{_scalar(key)}:"
        if _is_section(item):
            inner = list(_lines(item, here, whole, origins))
            if isinstance(key, int):
                yield f"{head} {inner[0].lstrip()}"
                yield from inner[1:]
            else:
                yield head
                yield from inner
        else:
            yield f"{head} {_scalar(item)}  # {origins[dotted(here, whole)]}"


def _scalar(value: Any) -> str:
    style = '"' if isinstance(value, str) and not _PLAIN.fullmatch(value) else None
    text = yaml.dump(
        value,
        Dumper=Dumper,
        default_style=style,
        default_flow_style=True,
        width=math.inf,
        allow_unicode=isinstance(value, str),  # inside a list yaml would fold a line separator into spaces
    )
    return text.removesuffix("\n").removesuffix("\n...")
