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
    yield EVALUATIONS.found(
        f"{work.evaluations} (every {recipe.evaluation.every} steps), and one before and after; "
        f"{work.evaluation_rollouts:,} rewrites",
        key="evaluation",
    )
    yield CHECKPOINTS.found(_checkpoints(steps, recipe.checkpoints, case.remote), key="checkpoints")


def _checkpoints(steps: int, settings: CheckpointSettings, remote: bool) -> str:
    """Checkpoints that will exist at the end, and where."""
    if remote:
        periodic = f"{steps // settings.every} (every {settings.every} steps)"
        return f"at the service, none on disk: {periodic} and the final one; prl export downloads one"
    kept = kept_checkpoints(steps, settings)
    which = f"steps {', '.join(map(str, kept))} and the final one" if kept else "the final one only"
    return f"on disk at the end: {which}"
