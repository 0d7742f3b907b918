"""Run: a training run in Python, read from its directory."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import ClassVar

from paraphrase_rl.errors import PrlError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.reader import Checkpoint, History, read_history, recipe_file, recipe_of_run
from paraphrase_rl.runs.summary import Summary, summarise
from paraphrase_rl.tables import Table


@dataclass(frozen=True, repr=False)
class StepMetrics(Table[Mapping[str, float]]):
    """Metrics by step: each row maps ``step`` and the names of metrics to numbers; NaN = there was nothing to measure.

    The names are the same on every backend; docs/training.md explains them.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "step",
        "reward_mean",
        "reward_std",
        "kl_reference",
        "kl_sample_train",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A rewrite that the reward rated in a run.

    Attributes:
        step: step after which it was sampled; 0 = before training.
        kind: ``training``, or ``evaluation`` on a held-out prompt.
        id: id of the document it was made from.
        source: that document's text.
        rewrite: the rewritten text.
        finished: True if the policy ended the text itself, False if the text was cut at the token limit.
        total: its reward, in [0, 1] before penalties; ``None`` if it could not be rated.
        terms: reward term -> value in [0, 1]; ``None`` if the term could not be computed.
        details: further numbers, such as P(AI) by detector.
    """

    step: int
    kind: str
    id: str
    source: str
    rewrite: str
    finished: bool
    total: float | None
    terms: Mapping[str, float | None]
    details: Mapping[str, float | None]


@dataclass(frozen=True, repr=False)
class Samples(Table[Sample]):
    """Rewrites of a run with their sources."""

    columns: ClassVar[tuple[str, ...]] = ("step", "kind", "id", "total", "source", "rewrite")


@dataclass(frozen=True, repr=False)
class Checkpoints(Table[Checkpoint]):
    """Checkpoints of a run, the oldest first."""


@dataclass(frozen=True, repr=False, init=False)
class Run:
    """A training run. It stores only its directory, and reads the files at each access.

    Two runs are equal if their folders are. Every function that takes a run takes this object or the path of the run.
    Reading a directory that is not a run, or a damaged one, raises :class:`paraphrase_rl.errors.RunError`.

    Attributes:
        folder: the run directory; docs/training.md describes its files.
    """

    folder: Path

    def __init__(self, folder: str | PathLike[str] | Run) -> None:
        path = folder.folder if isinstance(folder, Run) else Path(folder)
        object.__setattr__(self, "folder", path)

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def status(self) -> str:
        """``completed``, ``running``, ``interrupted``, ``stopped``, ``failed``, or ``killed`` if no event says."""
        return self.history.status

    @property
    def recipe(self) -> Recipe:
        """The complete recipe of the run.

        Raises:
            RecipeError: this version cannot read the recipe.
        """
        return recipe_of_run(self.folder)

    @property
    def metrics(self) -> StepMetrics:
        """Metrics of each training step, in order."""
        return StepMetrics(_by_step(self.history.metrics))

    @property
    def evaluations(self) -> StepMetrics:
        """Metrics of each evaluation on the held-out prompts, in order; step 0 is before the first step."""
        return StepMetrics(_by_step(self.history.evaluations))

    @property
    def samples(self) -> Samples:
        """All rewrites that the reward rated, in the order of their steps."""
        recipe_file(self.folder)  # there is a run
        keys = [field.name for field in fields(Sample)]
        rows = read_jsonl(self.folder / "samples.jsonl", keys)
        return Samples(tuple(Sample(**{key: row[key] for key in keys}) for row in rows))

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints listed in the ledger of the run."""
        return Checkpoints(self.history.checkpoints)

    @property
    def summary(self) -> Summary:
        """Reward terms on the held-out prompts before and after training, with three rewrites.

        Raises:
            RunError: nothing was evaluated yet.
        """
        return summarise(self.folder)

    @property
    def history(self) -> History:
        """Metrics, evaluations and checkpoints by step, read at once."""
        return read_history(self.folder)

    def __repr__(self) -> str:
        try:
            history = self.history
        except PrlError as error:
            return f"Run {self.folder}: {error.one_line}"
        lines = [f"Run {self.folder}: {history.status}, step {history.last_step} of {history.steps or '?'}"]
        if history.evaluations:
            lines.append(repr(self.summary))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        first, *_ = repr(self).splitlines()
        try:
            table = self.summary._repr_html_()
        except PrlError:
            table = ""
        return f"<p>{html.escape(first)}</p>{table}"


def _by_step(found: Mapping[int, Mapping[str, float]]) -> tuple[Mapping[str, float], ...]:
    return tuple({"step": step, **metrics} for step, metrics in found.items())
