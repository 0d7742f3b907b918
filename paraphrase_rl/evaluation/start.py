"""An evaluation from its plan to its end: check, claim the folder, calibrate the detectors, evaluate."""

from __future__ import annotations

from dataclasses import replace

from paraphrase_rl.evaluation.cache import claimed
from paraphrase_rl.evaluation.panel import assemble
from paraphrase_rl.evaluation.pipeline import evaluate
from paraphrase_rl.evaluation.plan import Plan, held_out_of
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.evaluation.seen import without_seen
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report


def evaluate_plan(plan: Plan, registry: Registry, report: Report) -> Results:
    """Claim the folder of a plan for this process, and evaluate in it.

    A killed evaluation continues where it stopped and gives the same results.

    Args:
        plan: everything that the evaluation depends on.
        registry: where detectors, rewriters and metrics come from.
        report: function that shows one line of progress.

    Raises:
        EvaluationError: there is nothing to evaluate, the folder cannot be used, or the texts are not the run's.
        CalibrationError: the run has no calibration; or a detector was trained on too many of the calibration texts.
        DataError: the labels look swapped.
        RunError: the cache is damaged.
    """
    plan, notes = without_seen(plan, registry)
    plan.check(registry)
    held_out, left_out = held_out_of(plan.recipe, registry)
    with claimed(plan.out) as cache:
        context = Context(device=plan.device, run=plan.run, registry=registry)
        panel = assemble(plan, held_out, context, cache, report)
        return evaluate(
            plan, replace(panel, notes=(*notes, *left_out, *panel.notes)), registry, cache, report
        )
