"""The declared surface: what it holds, how that is called, and that the bundled plug-ins need nothing else.

``PRL_WRITE_DOCS=1 pytest tests/plugins/test_surface.py`` writes ``surface.txt`` and the stub again.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import paraphrase_rl
import paraphrase_rl.plugin
import paraphrase_rl.testing

SURFACE = (paraphrase_rl, paraphrase_rl.plugin, paraphrase_rl.testing)
SNAPSHOT = Path(__file__).with_name("surface.txt")
STUB = Path(paraphrase_rl.plugin.__file__).with_suffix(".pyi")
BUNDLED = Path(__file__).resolve().parents[2] / "plugins" / "paraphrase_rl_plugins"
WRITE = bool(os.environ.get("PRL_WRITE_DOCS"))


def signature(thing: object) -> str:
    try:
        return str(inspect.signature(thing)).replace("'", "")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""


def described(name: str, thing: object) -> Iterator[str]:
    """What callers rely on: the signature of a function; of a class its fields, methods and bases of our own."""
    if isinstance(thing, type):
        yield f"class {name}"
        if dataclasses.is_dataclass(thing):
            for field in dataclasses.fields(thing):
                optional = (
                    field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
                )
                yield f"    {field.name}: {field.type}{'' if optional else ' = ...'}"
        elif fields := getattr(thing, "model_fields", None):
            for key, field in fields.items():
                yield f"    {key}{'' if field.is_required() else ' = ...'}"
        for key, member in sorted(vars(thing).items()):
            if key.startswith("_") and key != "__call__":
                continue
            if isinstance(member, property):
                yield f"    {key}: property"
            elif isinstance(member, (staticmethod, classmethod)):
                yield f"    {key}{signature(member.__func__)}"
            elif inspect.isfunction(member):
                yield f"    {key}{signature(member)}"
    elif callable(thing) and not isinstance(thing, type(paraphrase_rl.plugin.hookimpl)):
        yield f"{name}{signature(thing)}"
    else:
        yield f"{name}: {type(thing).__name__}"


def surface() -> str:
    lines: list[str] = []
    for module in SURFACE:
        lines += [f"[{module.__name__}]", ""]
        for name in sorted(set(module.__all__) - {"__version__"}):
            lines += described(name, getattr(module, name))
        lines.append("")
    return "\n".join(lines)


def test_names_and_signatures_are_as_declared() -> None:
    if WRITE:
        SNAPSHOT.write_text(surface(), encoding="utf-8")
    assert surface() == SNAPSHOT.read_text(encoding="utf-8"), (
        "meant? PRL_WRITE_DOCS=1 writes surface.txt again"
    )


def test_the_stub_declares_the_names_of_the_table() -> None:
    public = paraphrase_rl.plugin._PUBLIC
    if WRITE:
        table = sorted((module, name) for module, names in public.items() for name in names)
        head = STUB.read_text(encoding="utf-8").partition("\n")[0]
        lines = [f"from {module} import {name} as {name}" for module, name in table]
        STUB.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    declared = {
        (alias.asname, node.module)
        for node in ast.walk(ast.parse(STUB.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == {(name, module) for module, names in public.items() for name in names}


@pytest.mark.parametrize("module", SURFACE, ids=lambda module: module.__name__)
def test_every_name_resolves_and_no_other_does(module: ModuleType) -> None:
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing
    assert {name for name in dir(module) if not name.startswith("_")} >= set(module.__all__) - {"__version__"}


def imports(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of each import from ``paraphrase_rl``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "paraphrase_rl":
            yield from ((node.lineno, node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            named = (alias.name for alias in node.names if alias.name.split(".")[0] == "paraphrase_rl")
            yield from ((node.lineno, name, "") for name in named)


def test_bundled_plugins_import_the_surface_alone() -> None:
    allowed = {(module.__name__, name) for module in SURFACE for name in module.__all__}
    allowed |= {(module.__name__, "") for module in SURFACE}
    files = sorted(BUNDLED.rglob("*.py"))
    assert len(files) > 50
    beyond = [
        f"{file.relative_to(BUNDLED)}:{line}: {module} {name}"
        for file in files
        for line, module, name in imports(file)
        if (module, name) not in allowed
    ]
    assert not beyond, (
        "not of the declared surface: add it to paraphrase_rl/plugin/__init__.py, or do without"
    )


def test_the_surface_holds_nothing_that_no_plugin_uses() -> None:
    """Helpers are there for bundled plug-ins; contracts, types and errors for everybody's."""
    used = {name for file in BUNDLED.rglob("*.py") for _, _, name in imports(file)}
    helpers = {
        name
        for module, names in paraphrase_rl.plugin._PUBLIC.items()
        for name in names
        if not module.startswith("paraphrase_rl.plugin") and module != "paraphrase_rl.types"
    }
    assert helpers - used == set()


def test_importing_the_surface_is_cheap() -> None:
    heavy = "{'numpy', 'pydantic', 'torch', 'yaml', 'click', 'transformers'}"
    code = (
        f"import sys, paraphrase_rl.plugin, paraphrase_rl.testing; print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_the_surface_holds_is_documented() -> None:
    bare = [
        f"{module.__name__}.{name}"
        for module in SURFACE
        for name in module.__all__
        if inspect.isfunction(found := getattr(import_module(module.__name__), name))
        or isinstance(found, type)
        if not inspect.getdoc(found)
    ]
    assert not bare
