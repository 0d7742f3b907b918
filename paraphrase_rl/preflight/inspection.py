"""Inspection of a recipe with its data before it runs: the findings, and whether a run may start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.errors import CostError, PluginError, PrlError, RecipeError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.preflight import cost, signal, trial
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import preflight, rules_of
from paraphrase_rl.preflight.cost import LIMIT
from paraphrase_rl.preflight.data import UNREADABLE
from paraphrase_rl.preflight.findings import SEVERITIES, Finding, Findings
from paraphrase_rl.preflight.trial import Trial
from paraphrase_rl.recipe.cost import Prices, read_prices
from paraphrase_rl.recipe.loading import LoadedRecipe


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Findings with the recipe, its data and its cost.

    Attributes:
        found: findings about the recipe, the first of which says so if the texts cannot be read.
        case: what was looked at.
        corpus: texts of the recipe; ``None`` if they cannot be read.
        unread: why the texts cannot be read.
    """

    found: tuple[Finding, ...]
    case: Case
    corpus: Corpus | None
    unread: PrlError | None

    def findings(self, recipe: str, backend: str) -> Findings:
        """Return the findings as the result of a check, the worst first.

        Args:
            recipe: name of the recipe.
            backend: name of the backend that the recipe was checked for.
        """
        worst_first = sorted(self.found, key=lambda finding: SEVERITIES.index(finding.severity))
        return Findings(tuple(worst_first), recipe=recipe, backend=backend)

    def with_signal(self) -> Inspection:
        """Add what the detectors flag before anything is rewritten, if it was measured before, or that it was not."""
        return replace(self, found=(*self.found, *signal.check(self.case)))

    def tried(self, measure: Callable[[Corpus], Trial]) -> Inspection:
        """Try the recipe, and add what was found; hours and money are then those of the measured step.

        Args:
            measure: carries the trial out on the recipe's texts. What it raises is a finding. It is not called if
                something keeps a run from starting anyway.
        """
        if self.corpus is None or any(finding.severity == "error" for finding in self.found):
            untried = trial.STOPPED.found(
                "not tried, because of the errors found", severity="note", remedy=""
            )
            return replace(self, found=(*self.found, untried))
        try:
            measured = measure(self.corpus)
        except PrlError as error:
            stopped = trial.STOPPED.found(error.message, remedy=error.hint)
            return replace(self, found=(*self.found, stopped))
        step = measured.seconds.get("step")
        case = self.case
        if step is not None and case.seconds_per_step is None:
            case = replace(case, seconds_per_step=round(step, 1))
        costs = {rule.code for rule in rules_of(cost)}
        others = [finding for finding in self.found if finding.code not in costs]
        found = (*others, *cost.check(case), *trial.findings(measured, case))
        return replace(self, found=found, case=case)

    def texts(self) -> Corpus:
        """Return the recipe's texts if nothing keeps a run from starting.

        Raises:
            CostError: the run could cost more than its limit, and nothing else is wrong.
            RecipeError: something else is wrong; if several things are, each is a note of the error, one line each.
            PrlError: the texts cannot be read, and nothing else is wrong.
        """
        failed = [finding for finding in self.found if finding.severity == "error"]
        if self.corpus is None:  # without texts a cost cannot be told either
            failed = [finding for finding in failed if finding.code not in LIMIT]
            if len(failed) == 1:
                assert self.unread is not None
                raise self.unread
        elif not failed:
            return self.corpus
        wrong = list(dict.fromkeys(finding.one_line for finding in failed))
        if len(wrong) == 1:
            wrong_kind = CostError if failed[0].code in LIMIT else RecipeError
            raise wrong_kind(failed[0].evidence, failed[0].remedy or "`prl check` shows all findings")
        error = RecipeError(
            f"{len(wrong)} things keep this run from starting", "`prl check` shows all findings"
        )
        for line in wrong:
            error.add_note(f"- {line}")
        raise error


def inspect(
    loaded: LoadedRecipe,
    registry: Registry,
    backend: str,
    *,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    seconds_per_step: float | None = None,
    hourly: float | None = None,
    prices: Prices | None = None,
    max_cost: float | None = None,
) -> Inspection:
    """Read a recipe's data and check the recipe with it; see :func:`paraphrase_rl.preflight.checks.preflight`."""
    settings = loaded.recipe.data
    corpus, unread = None, None
    try:
        corpus = load_documents(settings.source, settings, registry)
    except PrlError as error:
        unread = error
    case = Case(
        loaded=loaded,
        registry=registry,
        corpus=corpus,
        backend=backend,
        backend_options=options or {},
        device=device,
        seconds_per_step=seconds_per_step,
        hourly=hourly,
        prices=prices,
        max_cost=max_cost,
    )
    first = (UNREADABLE.found(unread.message, key="data.source", remedy=unread.hint),) if unread else ()
    return Inspection(found=(*first, *preflight(case)), case=case, corpus=corpus, unread=unread)


def prices_of(registry: Registry, backend: str, file: Path | None) -> Prices | None:
    """Return the price table of a file, else the backend's own; ``None`` if nothing is charged.

    Raises:
        RecipeError: see :func:`paraphrase_rl.recipe.cost.read_prices`.
    """
    if file is None:
        try:
            file = registry.spec("backends", backend).prices
        except PluginError:
            return None  # preflight says that there is no such backend
    return read_prices(file) if file is not None else None
