"""Inspection of a recipe with its data before it runs: the findings, and whether a run may start."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.errors import CostError, PluginError, PrlError, RecipeError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.preflight.checks import MAX_COST, Check, preflight
from paraphrase_rl.recipe.cost import Prices, read_prices
from paraphrase_rl.recipe.loading import LoadedRecipe
from paraphrase_rl.tables import Table


@dataclass(frozen=True, repr=False)
class Findings(Table[Check]):
    """Findings about a recipe before it runs.

    Attributes:
        recipe: name of the recipe.
        backend: name of the backend that the recipe was checked for.
    """

    recipe: str = ""
    backend: str = ""

    columns: ClassVar[tuple[str, ...]] = ("level", "name", "message")

    @property
    def title(self) -> str:
        """First line of ``repr``."""
        return f"Findings of {self.recipe} on {self.backend}: {self.counts}"

    @property
    def counts(self) -> str:
        """Number of findings of each level."""
        count = Counter(check.level for check in self.rows)
        return f"{count['error']} errors, {count['warning']} warnings, {count['note']} notes"

    @property
    def ok(self) -> bool:
        """True if the run can start: no finding is an error."""
        return all(check.level != "error" for check in self.rows)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Findings with the recipe, its data and its cost.

    Attributes:
        checks: findings about the recipe.
        corpus: texts of the recipe; ``None`` if they cannot be read.
        unread: why the texts cannot be read.
    """

    checks: tuple[Check, ...]
    corpus: Corpus | None
    unread: PrlError | None

    def findings(self, recipe: str, backend: str) -> Findings:
        """Return the findings, the first of which says so if the data cannot be read.

        Args:
            recipe: name of the recipe.
            backend: name of the backend that the recipe was checked for.
        """
        first = (Check("data", "error", self.unread.one_line),) if self.unread is not None else ()
        return Findings((*first, *self.checks), recipe=recipe, backend=backend)

    def texts(self) -> Corpus:
        """Return the recipe's texts if nothing keeps a run from starting.

        Raises:
            CostError: the run could cost more than its limit, and nothing else is wrong.
            RecipeError: something else is wrong; if several things are, each is a note of the error, one line each.
            PrlError: the texts cannot be read, and nothing else is wrong.
        """
        if self.corpus is None:  # without texts a cost cannot be told either
            failed = [c for c in self.checks if c.level == "error" and c.name != MAX_COST]
        else:
            failed = [c for c in self.checks if c.level == "error"]
        if not failed:
            if self.corpus is None:
                assert self.unread is not None
                raise self.unread
            return self.corpus
        told = [*([self.unread.one_line] if self.unread else []), *(check.message for check in failed)]
        wrong = list(dict.fromkeys(told))
        if len(wrong) == 1 and failed[0].name == MAX_COST:
            raise CostError(wrong[0])
        if len(wrong) == 1:
            raise RecipeError(wrong[0], "`prl check` shows all findings")
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
    seconds_per_step: float | None = None,
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
    checks = preflight(
        loaded,
        registry,
        corpus,
        backend,
        seconds_per_step=seconds_per_step,
        prices=prices,
        max_cost=max_cost,
    )
    return Inspection(checks=tuple(checks), corpus=corpus, unread=unread)


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
