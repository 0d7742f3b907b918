"""YAML reader that records the line of every key; only plain types are read, duplicate keys are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from paraphrase_rl.errors import RecipeError

LONGEST = 2**20
"""Most characters of a document."""
DEEPEST = 50
"""Most collections inside one another."""
MOST_VALUES = 20_000
"""Most values of a document, counted each time that an alias repeats them."""
LARGEST = 2**63
"""Integers are smaller than this, in absolute value."""
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
Keys = tuple[str | int, ...]
"""Position of a value in the document: keys of mappings and indices of lists, from the top."""


class _Loader(yaml.SafeLoader):
    """Reads ``1e-5`` as a number, as YAML 1.2 and everyone who writes it do (YAML 1.1 reads a string).

    It keeps to the limits of a recipe, so that one from somebody else costs no memory.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"more than {DEEPEST} collections inside one another", problem_mark=self.get_mark()
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Dumper(yaml.SafeDumper):
    """YAML writer that puts a string in quotes if :func:`read_yaml` would read it as a number."""


for _kind in (_Loader, Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


@dataclass(frozen=True)
class Positioned:
    """A YAML document with the line (from 1) of every key and list item."""

    value: Any
    lines: dict[Keys, int]


def read_yaml(text: str, name: str) -> Positioned:
    """Parse one YAML document; ``name`` is its name in errors.

    Raises:
        RecipeError: the YAML has a syntax error, a key twice, an alias that contains itself, or a tag; it is too long,
            too deep, or too large by its aliases; or a number is too large.
    """
    return _read(text, name, _typed)


def _read(text: str, name: str, scalar: Callable[[_Loader, yaml.ScalarNode], Any]) -> Positioned:
    if len(text) > LONGEST:
        raise RecipeError(
            f"{name}: {len(text):,} characters are no recipe",
            f"it has at most {LONGEST:,}; give another file",
        )
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Keys, int] = {}
            value = None if node is None else _construct(loader, node, (), lines, name, (), scalar)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = name if mark is None or name.startswith("--set") else f"{name}:{mark.line + 1}"
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise RecipeError(
            f"{where}: not valid YAML: {problem}", "write keys as 'name: value', indented by spaces"
        ) from error
    return Positioned(value, lines)


def parse_value(text: str, override: str) -> Any:
    """Parse a value as typed after ``--set key=``.

    Raises:
        RecipeError: the value is not valid YAML.
    """
    return read_yaml(text, f"--set {override}").value


def parse_strings(text: str) -> Any:
    """Parse a value with all scalars as strings, as written: ``{label: yes}``; the text itself where it is no YAML."""
    try:
        return _read(text, "", lambda _, node: node.value).value
    except RecipeError:
        return text


def _typed(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """Value of a scalar.

    Raises:
        ValueError: it looks like a number or a date that there is not.
    """
    try:
        value = loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:  # 2024-13-45; an integer of 5,000 digits
        if node.tag.endswith(":int"):
            raise ValueError("the integer is too large") from error
        raise ValueError(f"{node.value:.40}: {error}; write a text in quotes") from error
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise ValueError("the integer is too large")
    return value


def _construct(
    loader: _Loader,
    node: yaml.Node,
    path: Keys,
    lines: dict[Keys, int],
    name: str,
    parents: tuple[yaml.Node, ...],
    scalar: Callable[[_Loader, yaml.ScalarNode], Any],
) -> Any:
    loader.values += 1
    if loader.values > MOST_VALUES:
        raise RecipeError(
            f"{name}:{node.start_mark.line + 1}: more than {MOST_VALUES:,} values, by aliases that repeat one another",
            "write the few values that are meant",
        )
    if any(node is parent for parent in parents):
        raise RecipeError(
            f"{name}:{node.start_mark.line + 1}: this alias contains itself",
            "write the value instead of the alias",
        )
    parents = (*parents, node)
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
        raise RecipeError(
            f"{name}:{node.start_mark.line + 1}: the YAML tag {node.tag} is not supported", "remove the tag"
        )
    if isinstance(node, yaml.ScalarNode):
        try:
            return scalar(loader, node)
        except ValueError as error:
            raise RecipeError(
                f"{name}:{node.start_mark.line + 1}: {error}", "write a value that the key can have"
            ) from error
    if isinstance(node, yaml.SequenceNode):
        items = []
        for i, item in enumerate(node.value):
            lines[(*path, i)] = item.start_mark.line + 1
            items.append(_construct(loader, item, (*path, i), lines, name, parents, scalar))
        return items
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError(f"{name}:{line}: a key must be a plain word", "write 'name: value'")
            key = str(key_node.value)
            if key in mapping:
                raise RecipeError(
                    f"{name}:{line}: the key {key} occurs twice, first in line {lines[(*path, key)]}",
                    "keep one of them",
                )
            lines[(*path, key)] = line
            mapping[key] = _construct(loader, value_node, (*path, key), lines, name, parents, scalar)
        return mapping
    raise AssertionError("a node is a scalar, a sequence or a mapping")
