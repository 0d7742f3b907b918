"""Backend: what the chosen backend refuses, ignores, or does only in part."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule, Severity

IGNORED = Rule(
    "PRL075",
    "note",
    "dead key",
    "The backend ignores this key. It is a warning if the recipe sets the key to something else than its default.",
    "remove the key, or choose another backend",
)
IN_PART = Rule(
    "PRL076",
    "note",
    "backend",
    "The backend does something of its own with this key.",
)
REFUSED = Rule(
    "PRL077",
    "error",
    "backend",
    "The backend cannot run this recipe here.",
    "change what it names, or choose another backend",
)


def check(case: Case) -> Iterator[Finding]:
    """Ask the spec of the backend; nothing if none is chosen."""
    spec, name, options = case.backend_spec, case.backend, case.options
    if spec is None or spec.check is None or options is None:
        return
    try:
        treatment = spec.check(case.recipe, options, case.device)
    except PrlError as error:
        yield REFUSED.found(error.message, key="backend", remedy=error.hint)
        return
    for key, instead in treatment.ignored.items():
        severity: Severity = "warning" if case.deviates(key) else "note"
        yield IGNORED.found(f"{key} has no effect on {name}: {instead}", key=key, severity=severity)
    for key, does in treatment.partly.items():
        yield IN_PART.found(f"{key} on {name}: {does}", key=key)
