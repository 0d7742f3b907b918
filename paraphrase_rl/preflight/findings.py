"""Findings about a recipe, and the rules that they come from: each has a code, a meaning and a remedy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from paraphrase_rl.tables import Table

Severity = Literal["ok", "note", "warning", "error"]
"""``error`` keeps a run from starting; ``warning`` = probably a mistake; ``note`` = know this; ``ok`` = a fact."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note", "ok")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about a recipe.

    Attributes:
        code: code of its rule, such as ``PRL012``; `prl check --explain PRL012` explains it.
        severity: ``ok``, ``note``, ``warning`` or ``error``.
        name: subject in a word or two.
        key: recipe key that it is about, dotted, ``backend`` for the backend; empty if it is about none.
        evidence: what was found in this recipe, with its numbers.
        meaning: what such a finding means, the same in every recipe.
        remedy: what to do; empty if there is nothing to do.
    """

    code: str
    severity: Severity
    name: str
    key: str
    evidence: str
    meaning: str
    remedy: str

    @property
    def one_line(self) -> str:
        """Return evidence and remedy on one line."""
        return f"{self.evidence}; {self.remedy}" if self.remedy else self.evidence


@dataclass(frozen=True, slots=True)
class Rule:
    """Kind of finding.

    Attributes:
        code: ``PRL`` and three digits; never given to another rule.
        severity: usual severity of its findings.
        name: subject in a word or two.
        meaning: what such a finding means.
        remedy: what to do, where nothing more exact is known; empty if there is nothing to do.
    """

    code: str
    severity: Severity
    name: str
    meaning: str
    remedy: str = ""

    def found(
        self, evidence: str, *, key: str = "", severity: Severity | None = None, remedy: str | None = None
    ) -> Finding:
        """Build a finding of this rule; ``severity`` and ``remedy`` replace the rule's own."""
        return Finding(
            self.code,
            severity or self.severity,
            self.name,
            key,
            evidence,
            self.meaning,
            self.remedy if remedy is None else remedy,
        )


@dataclass(frozen=True, repr=False)
class Findings(Table[Finding]):
    """Findings about a recipe before it runs.

    Attributes:
        recipe: name of the recipe.
        backend: name of the backend that the recipe was checked for.
    """

    recipe: str = ""
    backend: str = ""

    columns: ClassVar[tuple[str, ...]] = ("severity", "code", "name", "evidence")

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return f"Findings of {self.recipe} on {self.backend}: {self.counts}"

    @property
    def counts(self) -> str:
        """Number of findings of each severity."""
        count = Counter(finding.severity for finding in self.rows)
        return f"{count['error']} errors, {count['warning']} warnings, {count['note']} notes"

    @property
    def ok(self) -> bool:
        """True if the run can start: no finding is an error."""
        return all(finding.severity != "error" for finding in self.rows)
