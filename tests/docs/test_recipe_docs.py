"""docs/recipe.md lists every key of the schema, with default and meaning.

``PRL_WRITE_DOCS=1 pytest tests/docs/test_recipe_docs.py`` writes it anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from paraphrase_rl.recipe.monitors import PUBLISHED, Monitor
from paraphrase_rl.recipe.schema import Component, Recipe, RewardTermSettings, Weighted

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipe.md"
MARK = (
    "<!-- generated from here on from paraphrase_rl/recipe/schema.py by tests/docs/test_recipe_docs.py -->\n"
)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, list):
        value = [item.name for item in value]
    if isinstance(value, dict) and all(isinstance(item, Monitor) for item in value.values()):
        value = list(value) if value else value
    if isinstance(value, Component):
        value = {"name": value.name}
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("...").strip()
    return f"`{text}`"


def sections(section: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, section
    for key, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not Component:
            yield from sections(inner, f"{name}.{key}" if name else key)


def table(section: type[BaseModel], name: str, rows: list[str]) -> str:
    title = f"## {name}\n\n{(section.__doc__ or '').strip()}" if name else "## Top level"
    return f"{title}\n\n| key | default | meaning |\n|---|---|---|\n" + "".join(rows)


def generated() -> str:
    parts = []
    components: list[tuple[str, type[BaseModel]]] = [
        ("a detector", Weighted),
        ("a reward", RewardTermSettings),
        ("a data source", Component),
        ("a monitor", Monitor),
    ]
    for name, section in [*sections(Recipe, ""), *components]:
        prefix = f"{name}." if name and " " not in name else ""
        rows = [
            f"| {prefix}{key} | {default(field)} | {field.description.replace('|', chr(92) + '|')} |\n"
            for key, field in section.model_fields.items()
            if field.description
        ]
        parts.append(table(section, name, rows))
    return "\n".join([*parts, published_rules()])


def published_rules() -> str:
    rows = [
        f"| {name} | `{rule.metric}` | {band(rule)} | {rule.patience} | {rule.action} | {rule.advice} |\n"
        for name, rule in PUBLISHED.items()
    ]
    head = "| rule | metric | alarm | patience | action | advice |\n|---|---|---|---|---|---|\n"
    intro = "## The published monitors\n\nThe rules that every recipe has unless it says otherwise.\n\n"
    return intro + head + "".join(rows)


def band(rule: Monitor) -> str:
    ends = [("below", rule.low), ("above", rule.high)]
    return " or ".join(f"{side} {end:g}" for side, end in ends if end is not None)


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    intro, mark, _ = text.partition(MARK)
    assert mark, "the mark is gone"
    wanted = f"{intro}{MARK}\n{generated()}"
    if os.environ.get("PRL_WRITE_DOCS"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted, (
        "PRL_WRITE_DOCS=1 pytest tests/docs/test_recipe_docs.py"
    )


def test_every_leaf_has_a_description() -> None:
    for _, section in sections(Recipe, ""):
        for key, field in section.model_fields.items():
            is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            assert field.description or is_section, f"{section.__name__}.{key}"
