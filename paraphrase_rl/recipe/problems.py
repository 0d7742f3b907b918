"""Errors in a recipe, one line each: file and line, key, problem, suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.names import nearest
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.recipe.yaml_positions import Keys

_EVERY_KEY = "docs/recipe.md lists every key"


def dotted(keys: Keys, data: Any) -> str:
    """Join keys with dots; a component of a list in ``data`` is addressed by its name."""
    parts: list[str] = []
    for key in keys:
        data = _inner(data, key)
        named = isinstance(key, int) and isinstance(data, Mapping) and isinstance(data.get("name"), str)
        parts.append(data["name"] if named else str(key))
    return ".".join(parts)


def known_keys(section: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """List all dotted keys of the schema, without sections and components of lists."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        keys += [f"{prefix}{name}"] if inner is None else known_keys(inner, f"{prefix}{name}.")
    return keys


def explain(error: ValidationError, data: Mapping[str, Any], where: Mapping[Keys, str]) -> RecipeError:
    """Turn all errors of a pydantic validation into one RecipeError."""
    problems: dict[Keys, list[dict[str, Any]]] = {}
    for problem in error.errors(include_url=False):
        problems.setdefault(_written(problem["loc"], data), []).append(dict(problem))
    lines, hints = [], []
    for keys, found in problems.items():
        message, hint = _sentence(keys, found, data)
        origin = _origin(keys, where)
        lines.append(f"{origin}: {message}" if origin else message)
        hints.append(hint)
    if len(lines) == 1:
        return RecipeError(lines[0], hints[0] or _EVERY_KEY)
    shown = [f"{line} ({hint})" if hint else line for line, hint in zip(lines, hints, strict=True)]
    return RecipeError("\n  ".join([f"the recipe has {len(lines)} errors:", *shown]), _EVERY_KEY)


def _sentence(keys: Keys, problems: list[dict[str, Any]], data: Any) -> tuple[str, str]:
    key = dotted(keys, data)
    first = problems[0]
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}", _instead(keys, key)
    if first["type"] == "missing":
        return f"{key} is missing", "every component needs a name" if keys[-1] == "name" else ""
    said = " or ".join(dict.fromkeys(_message(problem) for problem in problems))
    if first["type"] == "value_error":
        return (f"{key}: {said}" if key and not said.startswith(str(keys[-1])) else said), ""
    return f"{key}: {said}, got {first['input']!r}", ""


def _message(problem: Mapping[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _instead(keys: Keys, key: str) -> str:
    """The same name in another section, else the nearest name in this one, else the names there are."""
    name = str(keys[-1])
    elsewhere = [known for known in known_keys() if known.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    section = _section_at(keys[:-1])
    here = sorted(section.model_fields) if section else []
    parent = key[: -len(name)]
    if close := nearest(name, here):
        return f"did you mean {' or '.join(parent + match for match in close)}?"
    return f"known here: {', '.join(here)}"


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a section or component; for a list, none: its items have keys of their own."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _section_at(keys: Keys) -> type[BaseModel] | None:
    section: type[BaseModel] | None = Recipe
    items: type[BaseModel] | None = None
    for key in keys:
        if isinstance(key, int) or (
            section is None and items is not None
        ):  # of a list, or of a mapping by name
            section, items = items, None
            continue
        if section is None or key not in section.model_fields:
            return None
        annotation = section.model_fields[key].annotation
        held = [part for argument in get_args(annotation) for part in (argument, *get_args(argument))]
        items = next((s for s in map(_section, held) if s), None)
        section = _section(annotation)
    return section


def _inner(data: Any, key: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(key)
    if isinstance(data, list) and isinstance(key, int) and key < len(data):
        return data[key]
    return None


def _written(loc: tuple[int | str, ...], data: Any) -> Keys:
    """The part of pydantic's location that stands in the recipe; behind it come names of union members."""
    keys: list[int | str] = []
    for key in loc:
        if not isinstance(data, (Mapping, list)):
            break
        keys.append(key)
        data = _inner(data, key)
    return tuple(keys)


def _origin(keys: Keys, where: Mapping[Keys, str]) -> str:
    """Of the key, else of what it stands in, else of what stands in it."""
    around = [where[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in where]
    inside = [origin for known, origin in where.items() if known[: len(keys)] == keys]
    return next(iter(around + inside), "").removeprefix("file ")
