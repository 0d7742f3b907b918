"""``import paraphrase_rl`` is cheap, and type checkers see what it gives."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import paraphrase_rl

STUB = Path(paraphrase_rl.__file__).with_name("__init__.pyi")


def test_the_stub_declares_the_same_names_from_the_same_modules() -> None:
    declared = {
        (alias.asname, node.module)
        for node in ast.walk(ast.parse(STUB.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    resolved = {(name, module) for module, names in paraphrase_rl._PUBLIC.items() for name in names}
    assert declared == resolved


def test_every_public_name_resolves() -> None:
    assert all(getattr(paraphrase_rl, name) is not None for name in paraphrase_rl.__all__)


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'pydantic', 'torch', 'pandas', 'yaml', 'click'}"
    code = f"import sys, paraphrase_rl; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
