"""Components: whether each is known, its options are valid and its packages are installed."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.types import Kind

UNUSABLE = Rule(
    "PRL001",
    "error",
    "component",
    "A detector, reward, data set or backend is not installed, has an option that it does not know, or lacks a "
    "package.",
    "correct the name or the option, or install what is missing; `prl plugins` lists what is installed",
)
USABLE = Rule(
    "PRL002",
    "ok",
    "components",
    "Every component of the recipe is known and its packages are installed.",
)


def check(case: Case) -> Iterator[Finding]:
    """Check every component of the recipe, and the backend."""
    wanted: list[tuple[str, Kind, str, dict[str, object]]] = [
        (
            "data.source" if kind == "datasets" else f"{kind}.{component.name}",
            kind,
            component.name,
            component.options,
        )
        for kind, component in case.recipe.components()
    ]
    if case.backend is not None:
        wanted.append(("backend", "backends", case.backend, {}))
    failed = False
    for key, kind, name, options in wanted:
        try:
            if kind != "backends":  # whose options are given with a run, not by its recipe
                case.registry.options(kind, name, options)
            case.registry.require(kind, name)
        except PrlError as error:
            failed = True
            yield UNUSABLE.found(error.message, key=key, remedy=error.hint)
    if not failed:
        yield USABLE.found(f"{', '.join(name for _, _, name, _ in wanted)}: known and installed")
