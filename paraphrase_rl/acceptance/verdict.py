"""Verdict on a trained rewriter: every criterion with its bound, value, interval and verdict.

The verdict of a line depends on its value; ``certain`` says whether the whole interval agrees. "Not measured" is a
verdict of its own, and a run is accepted only when every line passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from paraphrase_rl.acceptance import evaluation_criteria, run_criteria
from paraphrase_rl.acceptance.checkpoint_choice import EVALUATION, Candidate, candidates
from paraphrase_rl.acceptance.criteria import Case, VerdictLine, quoted
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.errors import EvaluationError, RunError
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.names import suggestion
from paraphrase_rl.recipe.schema import Acceptance
from paraphrase_rl.runs.reader import History, moment, read_history
from paraphrase_rl.statistics.records import SavedRecord
from paraphrase_rl.tables import Tabular, Titled

BEST, FINAL = "best", "final"

CRITERIA: Mapping[str, Callable[[Case], VerdictLine]] = {
    "attack_success_rate": evaluation_criteria.attack_success,
    "meaning": evaluation_criteria.meaning,
    "fairness_gap": evaluation_criteria.fairness_gap,
    "kl_sample_train": run_criteria.kl_sample_train,
    "kl_reference": run_criteria.kl_reference,
    "reward_drop": run_criteria.reward_drop,
    "reward_std": run_criteria.reward_std,
    "frac_unrewarded": run_criteria.frac_unrewarded,
    "checkpoints": run_criteria.checkpoints,
}
"""Criteria in the order of the table; their names are those of their bounds in the recipe's ``acceptance``."""


class Verdict(Tabular, SavedRecord):
    """All lines, with the run, evaluation and checkpoint; saved as ``verdict.json``. ``to_pandas()`` has the lines."""

    FILE = "verdict.json"
    MISSING = "has no verdict"
    COMMAND = "prl validate {folder}"

    format: Literal[1] = 1
    run: str
    status: str = Field(description="completed, running, interrupted, failed or killed")
    steps: int | None = Field(description="of the whole run; None where it never started")
    checkpoint: int = Field(description="step of the policy")
    evaluation: str | None = Field(description="folder of the evaluation; None where there is none")
    fairness: str | None = Field(description="folder the false positive gap is from; None = the same")
    accepted: bool = Field(description="every line passes")
    lines: tuple[VerdictLine, ...]
    candidates: tuple[Candidate, ...] = Field((), description="checkpoints the best was chosen from")

    def criteria(self, verdict: str) -> list[str]:
        """List the criteria that have this verdict."""
        return [line.criterion for line in self.lines if line.verdict == verdict]

    @property
    def conclusion(self) -> str:
        """Say in one line whether the policy is accepted, and which criteria failed or were not measured."""
        about = f"{self.run}, policy of step {self.checkpoint}"
        if not self.accepted:
            parts = [
                f"{len(found)} {said} ({', '.join(found)})"
                for kind, said in (("fail", "failed"), ("not measured", "not measured"))
                if (found := self.criteria(kind))
            ]
            return f"{about}: not accepted: {'; '.join(parts)}"
        doubtful = [line.criterion for line in self.lines if line.certain is False]
        return f"{about}: accepted" + (f", but not certainly: {', '.join(doubtful)}" if doubtful else "")

    def flat_rows(self) -> list[dict[str, object]]:
        """Return the lines as mappings."""
        return [line.model_dump() for line in self.lines]

    def shown_rows(self) -> list[dict[str, object]]:
        """Return the lines for display, without their notes."""
        return [
            {
                "criterion": line.criterion,
                "bound": line.bound,
                "value": line.value,
                "interval": None
                if line.low is None or line.high is None
                else f"{line.low:.3g} to {line.high:.3g}",
                "verdict": line.verdict,
                "certain": line.certain,
            }
            for line in self.lines
        ]

    def _shown(self) -> Titled:
        return Titled(
            tuple(self.shown_rows()),
            notes=tuple(f"{line.criterion}: {line.note}" for line in self.lines),
            heading=self.conclusion,
        )


def validate_run(
    run: Path,
    evaluation: Path | None = None,
    acceptance: Acceptance | None = None,
    checkpoint: str = FINAL,
    fairness: Path | None = None,
) -> Verdict:
    """Decide whether one policy of a run is acceptable.

    Args:
        run: the run directory.
        evaluation: folder of the evaluation; ``None`` = ``RUN/evaluation``, which need not exist.
        acceptance: the bounds; ``None`` = those of the run's recipe.
        checkpoint: ``final``, a step, or ``best``: see :func:`paraphrase_rl.acceptance.checkpoint_choice.candidates`.
        fairness: folder of the evaluation of the same detectors on other texts that the false positive gap is taken
            from, where the run's own have no groups of writers; ``None`` = the same evaluation.

    Raises:
        RunError: no run, a damaged file, no such checkpoint, or none that the best could be chosen from.
        RecipeError: the run's recipe cannot be read.
        EvaluationError: an evaluation is damaged, missing, of other detectors, or with other thresholds than the run's.
        CalibrationError: a calibration cannot be read.
    """
    history = read_history(run)
    acceptance = acceptance or history.recipe.acceptance
    folder = evaluation or run / "evaluation"
    results = Results.read(folder) if evaluation or (folder / "results.json").is_file() else None
    labels = _labels(history, results)
    chosen: tuple[Candidate, ...] = ()
    if checkpoint == BEST:
        brings = _command(history, evaluation, every=True)
        chosen = candidates(history, results, labels, acceptance.meaning, brings)
        step = _best(history, chosen, brings)
    else:
        step = _step(history, checkpoint)
    last = step == (history.steps or history.last_step)
    case = Case(
        history=history,
        acceptance=acceptance,
        step=step,
        whole=history.status == "completed" or checkpoint != FINAL,
        results=results,
        fairness=_of_same_detectors(history, fairness) if fairness else results,
        label=labels.get(step),
        stale=_of_another_run(history, evaluation, results) or (_stale(history, results) if last else ""),
        chosen_among=sum(c.source == EVALUATION for c in chosen) or 1,
        command=_command(history, evaluation, every=not last),
    )
    lines = tuple(criterion(case) for criterion in CRITERIA.values())
    return Verdict(
        run=str(run),
        status=history.status,
        steps=history.steps,
        checkpoint=step,
        evaluation=None if results is None else str(folder),
        fairness=None if fairness is None else str(fairness),
        accepted=all(line.verdict == "pass" for line in lines),
        lines=lines,
        candidates=chosen,
    )


def _step(history: History, checkpoint: str) -> int:
    if checkpoint == FINAL:
        return history.steps if history.status == "completed" and history.steps else history.last_step
    steps = sorted({row.step for row in history.checkpoints if row.damage is None})
    if not checkpoint.isdecimal():
        raise RunError(
            f"no checkpoint is called {checkpoint!r}",
            suggestion(checkpoint, [BEST, FINAL])
            + f", or a step: {', '.join(map(str, steps)) or 'none yet'}",
        )
    if int(checkpoint) not in steps:
        there = ", ".join(map(str, steps)) or "none"
        raise RunError(f"{history.folder} has no checkpoint of step {checkpoint}", f"choose from: {there}")
    return int(checkpoint)


def _best(history: History, chosen: tuple[Candidate, ...], brings: str) -> int:
    best = next((candidate.step for candidate in chosen if candidate.chosen), None)
    if best is None:
        what = "no evaluation of its checkpoints" if chosen else "no checkpoint"
        raise RunError(
            f"{history.folder} has {what}, so none can be chosen as the best",
            f"evaluate the checkpoints: {brings}" if chosen else "train the run to its first checkpoint",
        )
    return best


def _labels(history: History, results: Results | None) -> dict[int, str]:
    """Step -> the row of this run's policy at that step; one without a step is that of the last."""
    found: dict[int, str] = {}
    for rewriter in results.rewriters if results else ():
        if not rewriter.of_run:
            continue
        step = rewriter.options.get("checkpoint")
        if not isinstance(step, int):
            step = history.steps or history.last_step
        if rewriter.label in (rewriter.name, f"{rewriter.name}@{step}") or step not in found:
            found[step] = rewriter.label
    return found


def _of_same_detectors(history: History, folder: Path) -> Results:
    """Require an evaluation whose ensemble is that of the run."""
    results = Results.read(folder)
    there = [(d.name, d.options) for d in results.detectors if d.trained_against and d.name != COMBINED]
    wanted = [(d.name, d.options) for d in history.recipe.detectors]
    if sorted(there, key=repr) != sorted(wanted, key=repr):
        raise EvaluationError(
            f"{folder} evaluates the detectors {', '.join(name for name, _ in there) or 'none'}; the run was trained "
            f"against {', '.join(name for name, _ in wanted)}, or the same detectors with other options",
            f"evaluate again with --config {quoted(history.folder / 'recipe.yaml')}",
        )
    deployed, used = (_thresholds(path) for path in (history.folder, folder))
    if deployed is not None and (used is None or not _agree(deployed, used)):
        raise EvaluationError(
            f"{folder} has thresholds of its own, not those that {history.folder} was calibrated with",
            f"evaluate again with --calibration {quoted(history.folder)}",
        )
    return results


def _thresholds(folder: Path) -> dict[str, float] | None:
    """Threshold of the target rate by detector in a folder's calibration; ``None`` without one."""
    path = folder / "calibration.json"
    if not path.is_file():
        return None
    return {record.detector: record.target.threshold for record in CalibrationSet.read(path).records}


def _agree(deployed: Mapping[str, float], used: Mapping[str, float]) -> bool:
    return all(math.isclose(used.get(name, math.nan), t, rel_tol=1e-9) for name, t in deployed.items())


def _of_another_run(history: History, evaluation: Path | None, results: Results | None) -> str:
    """Whether an evaluation that was named is of another run. One inside the run moves with it and is its own."""
    run = history.folder.resolve()
    if results is None or results.about.run is None or evaluation is None:
        return ""
    theirs = Path(results.about.run)
    if evaluation.resolve().is_relative_to(run) or not theirs.is_dir() or theirs.resolve() == run:
        return ""
    return f"the evaluation is of another run, {theirs}"


def _stale(history: History, results: Results | None) -> str:
    """Whether the evaluation was begun before the training ended: then its policy was an earlier one."""
    started = moment(results.about.started) if results else None
    if history.ended is None or started is None or started >= history.ended:
        return ""
    return f"the evaluation was begun at {started:%Y-%m-%d %H:%M}, before the training ended"


def _command(history: History, evaluation: Path | None, *, every: bool) -> str:
    checkpoints = " --checkpoints all" if every else ""
    out = f" --out {quoted(evaluation)}" if evaluation else ""
    return f"prl evaluate {quoted(history.folder)}{checkpoints}{out}"
