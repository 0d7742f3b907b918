"""An evaluation from its plan to its end: check, claim the folder, calibrate the detectors, evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from paraphrase_rl.evaluation.cache import Cache, claimed
from paraphrase_rl.evaluation.panel import Panel, assemble
from paraphrase_rl.evaluation.pipeline import evaluate
from paraphrase_rl.evaluation.plan import Plan, held_out_of
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.evaluation.seen import without_seen
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report


def evaluate_plan(plan: Plan, registry: Registry, report: Report) -> Results:
    """Claim the folder of a plan for this process, and evaluate in it.

    A killed evaluation continues where it stopped and gives the same results. Arguments and errors are those of
    :func:`prepared`.
    """
    with prepared(plan, registry, report) as ready:
        return evaluate(ready.plan, ready.panel, registry, ready.cache, report)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan without the texts that its detectors were trained on, the calibrated detectors, and the cache."""

    plan: Plan
    panel: Panel
    cache: Cache


@contextmanager
def prepared(plan: Plan, registry: Registry, report: Report) -> Iterator[Prepared]:
    """Check a plan, claim its folder for this process, and calibrate the detectors.

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
        context = Context(device=plan.device, precision=plan.precision, run=plan.run, registry=registry)
        panel = assemble(plan, held_out, context, cache, report)
        yield Prepared(plan=plan, panel=replace(panel, notes=(*notes, *left_out, *panel.notes)), cache=cache)
