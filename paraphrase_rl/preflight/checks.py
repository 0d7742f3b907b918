"""Checks of a recipe before it runs: what it does, needs and costs, and likely mistakes. Nothing is trained.

A module for each subject holds its rules, and a function ``check`` that yields its findings; that of the trial is
called ``findings``, and gets what was measured.
"""

from __future__ import annotations

from types import MappingProxyType, ModuleType

from paraphrase_rl.errors import UsageError
from paraphrase_rl.names import suggestion
from paraphrase_rl.preflight import (
    acceptance,
    backends,
    components,
    cost,
    data,
    learning,
    models,
    monitors,
    prompt,
    resources,
    rewards,
    schedule,
    served,
    signal,
    trial,
    warmup,
)
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule

CHECKED = (
    components,
    models,
    served,
    prompt,
    learning,
    rewards,
    backends,
    warmup,
    schedule,
    resources,
    cost,
    acceptance,
    monitors,
    data,
)
"""Subjects that need the recipe and its texts alone."""
SUBJECTS = (*CHECKED, signal, trial)
"""All subjects: the last two are about what was measured."""


def preflight(case: Case) -> list[Finding]:
    """Check a recipe, subject by subject."""
    return [finding for subject in CHECKED for finding in subject.check(case)]


def rules_of(subject: ModuleType) -> list[Rule]:
    """List the rules of a subject by their codes."""
    return sorted(
        (rule for rule in vars(subject).values() if isinstance(rule, Rule)), key=lambda rule: rule.code
    )


RULES = MappingProxyType(
    dict(sorted((rule.code, rule) for subject in SUBJECTS for rule in rules_of(subject)))
)
"""Every rule by its code, in order."""


def rule_of(code: str) -> Rule:
    """Return the rule with a code, in upper or lower case.

    Raises:
        UsageError: there is no such code.
    """
    try:
        return RULES[code.upper()]
    except KeyError:
        raise UsageError(f"there is no finding {code}", suggestion(code, RULES)) from None
