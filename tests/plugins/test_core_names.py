"""The core names no bundled component.

Checked is every string in the code of ``paraphrase_rl`` and every identifier, docstrings and comments apart (they may
give examples). A name of a bundled component must not occur as a whole word, with hyphens or with underscores; nor
must the names in ``metrics.jsonl`` that a bundled reward has.

Some names are words that the core needs in a sense of its own; :data:`WORDS` says in which. Whoever adds one to it
must find that the core says it of something else than the component.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import RewardSpec

CORE = Path(__file__).resolve().parents[2] / "paraphrase_rl"
WORDS = {
    "best-of-n": "a method of the warm-up",
    "entropy": "a statistic of a token",
    "fairness": "the part of an evaluation about groups of writers; a role",
    "files": "files on disk",
    "finished": "a rewrite that was not cut",
    "fluency": "a role",
    "format": "of a file or of printed output",
    "none": "absence; the label of the original texts",
    "policy": "the model that is trained",
    "recursive": "into folders",
    "whitespace": "characters",
}
PACKAGES = {"runs/manifest.py": {"trl", "tinker"}}
"""Python packages, whose versions a manifest records, may be called like a component that uses them."""


def bundled_names() -> set[str]:
    names = set()
    for entry in default_registry().entries():
        if entry.plugin.bundled and entry.kind != "commands":
            names |= {entry.spec.name, entry.spec.name.replace("-", "_")}
            if isinstance(entry.spec, RewardSpec):
                names.add(entry.spec.metric_name)
    return names - WORDS.keys()


def strings_and_identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What the code says, with its line."""
    bodies = [body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list)]
    docstrings = {
        id(statement.value)
        for body in bodies
        for statement in body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield line, node.value
        elif isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield line, node.name
        elif isinstance(node, (ast.arg, ast.keyword)):
            yield line, node.arg or ""


def found_in(source: str, names: set[str]) -> set[tuple[int, str]]:
    pattern = re.compile(
        rf"(?<![\w-])(?:{'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})(?![\w-])"
    )
    said = strings_and_identifiers(ast.parse(source))
    return {(line, name) for line, text in said for name in pattern.findall(text)}


def test_the_core_names_no_bundled_component() -> None:
    names = bundled_names()
    found = []
    for path in sorted(CORE.rglob("*.py")):
        where = path.relative_to(CORE).as_posix()
        allowed = PACKAGES.get(where, set())
        found += [
            f"{where}:{line}: {name}"
            for line, name in sorted(found_in(path.read_text(encoding="utf-8"), names))
            if name not in allowed
        ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Give tfidf."""\nx = 1  # tfidf', set()),
        ('def f():\n    """Give tfidf."""', set()),
        ('x = "tfidf"', {(1, "tfidf")}),
        ('x = f"--set rewards.semantic-similarity.weight={y}"', {(1, "semantic-similarity")}),
        ('x = "add semantic-similarity"', {(1, "semantic-similarity")}),
        ("tfidf = 1", {(1, "tfidf")}),
        ("x.log_rank()", {(1, "log_rank")}),
        ('x = "semantic_reward"', {(1, "semantic_reward")}),
        ('x = "tfidfs and a-tfidf"', set()),
    ],
)
def test_what_counts_as_naming_one(source: str, found: set[tuple[int, str]]) -> None:
    assert found_in(source, bundled_names()) == found


def test_a_word_with_a_sense_of_its_own_is_a_component_too() -> None:
    assert {entry.spec.name for entry in default_registry().entries()} >= WORDS.keys()
