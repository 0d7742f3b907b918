"""Runs code as a notebook does: in one namespace, with what it prints and the value of the last expression."""

from __future__ import annotations

import ast
import contextlib
import io
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """What a block gave: its stdout, and its last expression where that has a value."""

    printed: str
    value: Any

    @property
    def text(self) -> str:
        """As a terminal shows it."""
        shown = "" if self.value is None else f"{self.value!r}\n"
        return self.printed + shown


def run(code: str, namespace: dict[str, Any]) -> Output:
    """Execute a block; an exception in it is raised."""
    block = ast.parse(code)
    last = block.body.pop() if block.body and isinstance(block.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block, "<block>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<block>", "eval"), namespace) if last else None  # type: ignore[attr-defined]
    return Output(printed.getvalue(), value)
