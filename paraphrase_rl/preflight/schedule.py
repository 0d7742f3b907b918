"""Schedule: steps, rollouts, evaluations and checkpoints of the run."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.arithmetic import kept_checkpoints
from paraphrase_rl.recipe.schema import CheckpointSettings

STEPS = Rule(
    "PRL065",
    "ok",
    "steps",
    "The number of updates. Each epoch drops its last incomplete batch: the published 3,468 steps come from "
    "4,625 texts so; keeping the rest would give 3,471.",
)
NO_STEP = Rule(
    "PRL066",
    "error",
    "steps",
    "The train split has fewer AI texts than one batch, so that there is no step.",
    "lower training.batch_size, or add AI texts to the train split",
)
ROLLOUTS = Rule(
    "PRL067",
    "ok",
    "rollouts",
    "The number of completions that are sampled for training.",
)
EVALUATIONS = Rule(
    "PRL068",
    "ok",
    "evaluations",
    "The number of evaluations on held-out texts, and of the rewrites they sample.",
)
CHECKPOINTS = Rule(
    "PRL069",
    "ok",
    "checkpoints",
    "The checkpoints that exist at the end of the run, and where.",
)
NO_LIMIT = Rule(
    "PRL070",
    "note",
    "dead key",
    "training.max_steps is not below the number of steps that the texts and epochs give, and limits nothing.",
    "remove it, or raise training.epochs",
)
NO_CHECKPOINT = Rule(
    "PRL071",
    "warning",
    "checkpoints",
    "There is no checkpoint before the end of a run of 50 steps or more: whatever stops it loses everything.",
    "lower checkpoints.every",
)
NO_EVALUATION = Rule(
    "PRL072",
    "note",
    "evaluations",
    "The held-out texts are rewritten before and after the run only: its curves show training texts alone.",
    "lower evaluation.every",
)
DEAR_EVALUATION = Rule(
    "PRL073",
    "warning",
    "evaluations",
    "The evaluations sample more rewrites than the training.",
    "raise evaluation.every, or lower evaluation.prompts or evaluation.samples",
)


def check(case: Case) -> Iterator[Finding]:
    """Check what the run does, step by step; nothing if the texts are not known."""
    if case.corpus is None:
        return
    recipe, work = case.recipe, case.work
    training, prompts, steps = recipe.training, len(case.prompts("train")), work.steps
    if not steps:
        yield NO_STEP.found(
            f"{prompts} AI texts in the train split, fewer than training.batch_size {training.batch_size}",
            key="training.batch_size",
        )
        return
    dropped = prompts % training.batch_size
    yield STEPS.found(
        f"{steps:,} = floor({prompts:,} / {training.batch_size}) x {training.epochs} epochs"
        + (f", limited by max_steps {training.max_steps}" if steps == training.max_steps else "")
        + (
            f"; the incomplete last batch of an epoch ({dropped} of its prompts) is dropped"
            if dropped
            else ""
        ),
        key="training",
    )
    a_step = training.batch_size * training.group_size
    yield ROLLOUTS.found(f"{a_step} per step, {work.rollouts:,} in all", key="training.group_size")
    around = "one before and after" + (", one after the warm-up" if recipe.warmup.method is not None else "")
    yield EVALUATIONS.found(
        f"{work.evaluations} (every {recipe.evaluation.every} steps), and {around}; "
        f"{work.evaluation_rollouts:,} rewrites",
        key="evaluation",
    )
    yield CHECKPOINTS.found(_checkpoints(steps, recipe.checkpoints, case.remote), key="checkpoints")
    yield from _intervals(case)


def _intervals(case: Case) -> Iterator[Finding]:
    """Intervals that are longer than the run, or too short."""
    recipe, work = case.recipe, case.work
    most = len(case.prompts("train")) // recipe.training.batch_size * recipe.training.epochs
    if recipe.training.max_steps is not None and recipe.training.max_steps >= most:
        said = (
            f"training.max_steps {recipe.training.max_steps:,} limits nothing: the epochs have {most:,} steps"
        )
        yield NO_LIMIT.found(said, key="training.max_steps")
    if work.steps >= 50 and recipe.checkpoints.every > work.steps:
        said = f"checkpoints.every {recipe.checkpoints.every:,} is beyond the {work.steps:,} steps of the run"
        yield NO_CHECKPOINT.found(said, key="checkpoints.every")
    if recipe.evaluation.every >= work.steps:
        said = (
            f"evaluation.every {recipe.evaluation.every:,} is not below the {work.steps:,} steps of the run"
        )
        yield NO_EVALUATION.found(said, key="evaluation.every")
    elif work.evaluation_rollouts > work.rollouts:
        said = f"{work.evaluation_rollouts:,} rewrites in evaluations, {work.rollouts:,} rollouts in training"
        yield DEAR_EVALUATION.found(said, key="evaluation.every")


def _checkpoints(steps: int, settings: CheckpointSettings, remote: bool) -> str:
    """Checkpoints that will exist at the end, and where."""
    if remote:
        periodic = f"{steps // settings.every} (every {settings.every} steps)"
        return f"at the service, none on disk: {periodic} and the final one; prl export downloads one"
    kept = kept_checkpoints(steps, settings)
    which = f"steps {', '.join(map(str, kept))} and the final one" if kept else "the final one only"
    return f"on disk at the end: {which}"
