"""A recipe from a file and ``--set``, with where each key came from.

Defaults, then the file, then ``--set`` in order; the last word counts. Keys are dotted: ``training.epochs``.
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
from pydantic import ValidationError

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.names import suggestion
from paraphrase_rl.recipe.problems import dotted, explain
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.recipe.yaml_positions import Keys, parse_value, read_yaml

DEFAULT = "default"
OVERRIDE = "--set"
_COMPONENT_HINT = "a component of a list is addressed by its name, such as rewards.fluency.weight"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and the origin of each of its keys.

    Attributes:
        recipe: complete and validated.
        origins: dotted key -> ``default``, ``file PATH:LINE`` or ``--set``, for every leaf.
    """

    recipe: Recipe
    origins: Mapping[str, str]


def packaged_recipes() -> dict[str, Path]:
    """Recipes that come with the package, by name: inside a wheel, else beside the checkout."""
    for folder in (_PACKAGE / "_configs", _PACKAGE.parent / "configs"):
        if found := sorted(folder.glob("*.yaml")):
            return {path.stem: path for path in found}
    return {}


def load_recipe(path: str | Path | None, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read, merge and validate a recipe.

    Args:
        path: a YAML file, the name of a packaged recipe, or ``None`` for the defaults alone.
        overrides: ``section.key=value``, the value typed as YAML.

    Raises:
        RecipeError: unreadable file, bad YAML, duplicate, unknown, ill-typed or contradictory key; the
            message names file and line.
    """
    data: dict[str, Any] = {}
    where: dict[Keys, str] = {}
    if path is not None:
        file = _find(path)
        document = read_yaml(_read(file), str(path))
        if document.value is not None and not isinstance(document.value, dict):
            raise RecipeError(f"{path}: a recipe is a mapping of keys to values", "see docs/recipe.md")
        data = document.value or {}
        where = {keys: f"file {file}:{line}" for keys, line in document.lines.items()}
    for override in overrides:
        keys, value = _apply(data, override)
        where = {known: origin for known, origin in where.items() if known[: len(keys)] != keys}
        where |= {(*keys, *inner): OVERRIDE for inner in _inside(value)}
    try:
        recipe = Recipe.model_validate(data, strict=True)
    except ValidationError as error:
        raise explain(error, data, where) from error
    whole = plain(recipe)
    origins = {dotted(keys, whole): where.get(keys, DEFAULT) for keys, _ in _leaves(whole)}
    return LoadedRecipe(recipe, origins)


def dump_recipe(loaded: LoadedRecipe) -> str:
    """The complete recipe as YAML, each key with a comment that says where it came from.

    Loading the result gives an equal recipe.
    """
    whole = plain(loaded.recipe)
    return "".join(f"{line}\n" for line in _lines(whole, (), whole, loaded.origins))


def _find(path: str | Path) -> Path:
    file = Path(path)
    if file.exists():
        return file
    packaged = packaged_recipes()
    if str(path) in packaged:
        return packaged[str(path)]
    raise RecipeError(
        f"no recipe at {path}", f"a file, or one of the packaged recipes: {', '.join(packaged)}"
    )


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: not UTF-8 at byte {error.start}", "save the file as UTF-8") from error
    except OSError as error:
        raise RecipeError(
            f"cannot read {file}: {error.strerror or error}", "a recipe is a YAML file"
        ) from error


def _apply(data: dict[str, Any], override: str) -> tuple[Keys, Any]:
    """Set one key in place; returns where it stands and its value."""
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(
            f"--set {override}: expected section.key=value", "for example --set training.max_steps=20"
        )
    keys: Keys = ()
    target: Any = data
    for part in parts[:-1]:
        keys = (*keys, _step(target, part, keys, override))
        target = target[keys[-1]]
    if not isinstance(target, dict):
        raise RecipeError(f"--set {override}: {'.'.join(parts[:-1])} is not a section", _COMPONENT_HINT)
    target[parts[-1]] = value = parse_value(text, override)
    return (*keys, parts[-1]), value


def _step(target: Any, part: str, keys: Keys, override: str) -> str | int:
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
        f"--set {override}: there is no {part} in {dotted(keys, {})}",
        suggestion(part, names) or _COMPONENT_HINT,
    )


def _default_component(keys: Keys) -> Any:
    """What a partly set section starts from: default components are completed, not replaced."""
    value: Any = plain(Recipe())
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, list) or (isinstance(value, dict) and "name" in value) else {}


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as mappings, lists and scalars."""
    return recipe.model_dump(mode="python")


def _inside(value: Any) -> Iterator[Keys]:
    """Where the value itself and everything in it stands."""
    yield ()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        for inner in _inside(item):
            yield (key, *inner)


def _is_section(value: Any) -> bool:
    """Whether its parts are shown one by one: a mapping, or a list of components."""
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
    text = yaml.safe_dump(
        value,
        default_style=style,
        default_flow_style=True,
        width=math.inf,
        allow_unicode=isinstance(value, str),  # inside a list yaml would fold a line separator into spaces
    )
    return text.removesuffix("\n").removesuffix("\n...")
