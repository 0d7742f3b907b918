"""Components: whether each is known, its options are valid and its packages are installed."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.schema import Component
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
HELD_OUT_AND_TRAINED = Rule(
    "PRL003",
    "warning",
    "held out",
    "A detector is listed as held out and is trained against: an evaluation would show its figures as transfer "
    "to a detector that the policy has never met.",
    "remove it from held_out, or from detectors",
)
UNUSABLE_LATER = Rule(
    "PRL004",
    "warning",
    "component",
    "A rewriter, metric or held-out detector of the recipe is unknown or has an option that it does not know. "
    "Training does not need it, but the evaluation after it will fail.",
    "correct the name or the option; `prl plugins` lists what is installed",
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
        wanted.append(("backend", "backends", case.backend, dict(case.backend_options)))
    failed = False
    for key, kind, name, options in wanted:
        try:
            case.registry.options(kind, name, options)
            case.registry.require(kind, name)
        except PrlError as error:
            failed = True
            yield UNUSABLE.found(error.message, key=key, remedy=error.hint)
    if not failed:
        yield USABLE.found(f"{', '.join(name for _, _, name, _ in wanted)}: known and installed")
    trained_against = {detector.name for detector in case.recipe.detectors}
    for component in case.recipe.held_out or ():
        if component.name in trained_against:
            yield HELD_OUT_AND_TRAINED.found(
                f"{component.name} is in detectors and in held_out", key="held_out"
            )
    yield from _needed_later(case)


def _needed_later(case: Case) -> Iterator[Finding]:
    recipe = case.recipe
    later: list[tuple[str, Kind, Component]] = [
        *(("held_out", "detectors", component) for component in recipe.held_out or ()),
        *(("rewriters", "rewriters", component) for component in recipe.rewriters),
        *(("metrics", "metrics", component) for component in recipe.metrics),
    ]
    for section, kind, component in later:
        try:
            case.registry.options(kind, component.name, component.options)
        except PrlError as error:
            if case.is_chosen(section):  # a default may belong to a plug-in that is switched off
                yield UNUSABLE_LATER.found(
                    error.message, key=f"{section}.{component.name}", remedy=error.hint or None
                )
