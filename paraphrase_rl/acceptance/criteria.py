"""Lines of a verdict: a value, its bound, and whether the value and its whole interval meet the bound."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.recipe.schema import Acceptance
from paraphrase_rl.runs.reader import History
from paraphrase_rl.statistics.records import Estimate, Record

Verdicts = Literal["pass", "fail", "not measured"]


class VerdictLine(Record):
    """One line of a verdict: a criterion with its value."""

    criterion: str = Field(description="the key of its bound in the recipe's acceptance; or checkpoints")
    bound: str = Field(description="such as '>= 0.6'")
    value: float | None
    low: float | None = None
    high: float | None = None
    verdict: Verdicts
    certain: bool | None = Field(
        None, description="whether the whole interval gives the same verdict; None = there is no interval"
    )
    note: str = Field(description="source of the value, or what is missing and the command that measures it")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Run, evaluation and checkpoint that a verdict is about.

    Attributes:
        step: step of the policy; later steps do not count.
        whole: True if the run is complete, or if the verdict is about an earlier checkpoint.
        fairness: the evaluation that the false positive gap is taken from; ``None`` = there is none.
        label: label of the policy's row in the evaluation; ``None`` if it has none.
        stale: why the evaluation is not of this policy; an empty string if it is.
        chosen_among: number of checkpoints that this one was chosen from by the same values; 1 = it was not chosen.
        command: the `prl evaluate` command that measures what is missing.
    """

    history: History
    acceptance: Acceptance
    step: int
    whole: bool
    results: Results | None
    fairness: Results | None
    label: str | None
    stale: str
    chosen_among: int
    command: str

    @property
    def target_fpr(self) -> float:
        """Target false positive rate of the operating point that the verdict is about."""
        return self.history.recipe.calibration.target_fpr

    @property
    def unfinished(self) -> str:
        """State of an unfinished run and what to do; an empty string if the policy is final."""
        if self.whole:
            return ""
        history = self.history
        where = f"the run is at step {history.last_step} of {history.steps or '?'}"
        if history.status == "running":
            return f"{where} and still running: wait for it to end"
        return f"{where}, {history.status}: prl train --resume {quoted(history.folder)}"


def at_least(criterion: str, bound: float, value: Estimate | None, note: str) -> VerdictLine:
    """Build a line that passes if its value is at least the bound; ``value`` is ``None`` if it was not measured."""
    return _line(criterion, f">= {bound:g}", value, note, lambda figure: figure >= bound)


def at_most(criterion: str, bound: float, value: Estimate | None, note: str) -> VerdictLine:
    """Build a line that passes if its value is at most the bound; ``value`` is ``None`` if it was not measured."""
    return _line(criterion, f"<= {bound:g}", value, note, lambda figure: figure <= bound)


def _line(
    criterion: str, bound: str, value: Estimate | None, note: str, meets: Callable[[float], bool]
) -> VerdictLine:
    if value is None or value.value is None:
        return VerdictLine(criterion=criterion, bound=bound, value=None, verdict="not measured", note=note)
    passed = meets(value.value)
    ends = [end for end in (value.low, value.high) if end is not None]
    return VerdictLine(
        criterion=criterion,
        bound=bound,
        value=value.value,
        low=value.low,
        high=value.high,
        verdict="pass" if passed else "fail",
        certain=all(meets(end) == passed for end in ends) if ends else None,
        note=note,
    )


def quoted(folder: Path) -> str:
    """Quote the path of a folder for a shell."""
    return shlex.quote(str(folder))
