"""YAML reader that records the line of every key; only plain types are read, duplicate keys are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from paraphrase_rl.errors import RecipeError

_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
Keys = tuple[str | int, ...]
"""Position of a value in the document: keys of mappings and indices of lists, from the top."""


class _Loader(yaml.SafeLoader):
    """Reads ``1e-5`` as a number, as YAML 1.2 and everyone who writes it do (YAML 1.1 reads a string)."""


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
        RecipeError: the YAML has a syntax error, a key twice, an alias that contains itself, or a tag.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Keys, int] = {}
            value = None if node is None else _construct(loader, node, (), lines, name, ())
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
        return yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return text


def _construct(
    loader: _Loader,
    node: yaml.Node,
    path: Keys,
    lines: dict[Keys, int],
    name: str,
    parents: tuple[yaml.Node, ...],
) -> Any:
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
    if isinstance(node, yaml.SequenceNode):
        items = []
        for i, item in enumerate(node.value):
            lines[(*path, i)] = item.start_mark.line + 1
            items.append(_construct(loader, item, (*path, i), lines, name, parents))
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
            mapping[key] = _construct(loader, value_node, (*path, key), lines, name, parents)
        return mapping
    return loader.construct_object(node, deep=True)
