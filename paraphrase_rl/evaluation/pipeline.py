"""An evaluation from plan to results: calibrate, rewrite, score, measure, and only then write anything down."""

from __future__ import annotations

import time
from dataclasses import replace

from paraphrase_rl.evaluation.cache import claimed
from paraphrase_rl.evaluation.detection_rates import detection_rates
from paraphrase_rl.evaluation.false_positives import HumanTexts, false_positive_tables
from paraphrase_rl.evaluation.panel import assemble
from paraphrase_rl.evaluation.plan import Plan, held_out_of, rewriter_info
from paraphrase_rl.evaluation.results import ORIGINAL, Results, RewriterInfo
from paraphrase_rl.evaluation.rewrite_quality import Measured, Measurer, quality_table
from paraphrase_rl.evaluation.rewrites import Rewriting
from paraphrase_rl.evaluation.rows import write_rows
from paraphrase_rl.evaluation.scores import Scored, score_originals, score_rewrites
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.statistics.bootstrap import Design
from paraphrase_rl.statistics.fairness import equal_length_words


def evaluate(plan: Plan, registry: Registry, report: Report) -> Results:
    """Evaluate, and write the folder of the evaluation; see :mod:`paraphrase_rl.evaluation.results`.

    What was computed before, for this plan or another, is taken from the cache. A killed evaluation goes on where it
    was and gives the same results. The tables are written when all is done: those of an earlier evaluation in the same
    folder stand until then.

    Args:
        plan: what to do.
        registry: where detectors and rewriters come from.
        report: shows a line.

    Raises:
        EvaluationError: there is nothing to evaluate, the folder cannot be used, or the texts are not the run's.
        CalibrationError: the run has no calibration.
        RunError: the cache is damaged.
    """
    clock = time.monotonic()
    plan.check(registry)
    about = plan.about(registry)
    held_out, left_out = held_out_of(plan.recipe, registry)
    planned = [rewriter_info(attack, registry) for attack in plan.attacks(registry)]
    with claimed(plan.out) as cache:
        context = Context(device=plan.device, run=plan.run, registry=registry)
        panel = assemble(plan, held_out, context, cache, report)
        context = replace(context, ensemble=panel.ensemble)
        measurer = Measurer(plan, registry, context, cache, report)
        if plan.recipe.metrics:
            measurer.build()  # what was asked for must work, and it is better said now than after the rewriting

        original = score_originals(plan.ai, panel, "AI texts")
        human = score_originals(plan.human, panel, "human texts")
        calibration = score_originals(plan.calibration, panel, "calibration humans")

        rewriting = Rewriting(context, (plan.run_digest, panel.ensemble_identity), plan.seed, cache, report)
        rewriters = [RewriterInfo(label=ORIGINAL, name=ORIGINAL)]
        attacked: list[Scored] = []
        attacked_humans: list[Scored] = []
        measured: dict[str, list[Measured]] = {}
        for asked in planned:
            info, (of_ai, of_human) = rewriting.rewrite_with(
                asked, (plan.ai, plan.samples), (plan.rewritten_humans, 1)
            )
            label = info.label
            rewriters.append(info)
            attacked.append(score_rewrites(label, plan.ai, of_ai, plan.samples, panel, label))
            if plan.rewritten_humans:
                what = f"{label}, human texts"
                attacked_humans.append(score_rewrites(label, plan.rewritten_humans, of_human, 1, panel, what))
            measured[label] = measurer.measure(attacked[-1])

        report("tables: figures and intervals")
        design = Design.of(plan.ai, plan.human, plan.calibration, plan.resamples, plan.seed)
        cells, transfers = detection_rates(panel, original, human, calibration, attacked, design)
        quality = [row for s in attacked for row in quality_table(s, measured[s.rewriter], design.ai)]
        treated = [HumanTexts(scored=human, calibration=calibration)]
        if (words := equal_length_words(plan.human)) is not None:
            what = f"human texts cut to {words} words"
            cut, cut_calibration = (
                score_originals(d, panel, what, words) for d in (plan.human, plan.calibration)
            )
            treated.append(HumanTexts(scored=cut, calibration=cut_calibration, words=words))
        treated += [HumanTexts(scored=scored, calibration=calibration) for scored in attacked_humans]
        rates, gaps, missing = false_positive_tables(
            panel, human, treated, design, plan.recipe.acceptance.reference_group
        )
        notes = (*about.notes, *left_out, *panel.notes, *measurer.notes, *missing)
        results = Results(
            about=about.model_copy(update={"notes": notes, "seconds": round(time.monotonic() - clock, 1)}),
            detectors=tuple(panel.infos),
            rewriters=tuple(rewriters),
            cells=tuple(cells),
            transfer=tuple(transfers),
            metrics=tuple(metric.info() for metric in measurer.metrics),
            quality=tuple(quality),
            false_positives=tuple(rates),
            fairness=tuple(gaps),
        )
        panel.to_file(plan.out / "calibration.json")
        write_rows(plan.out, [original, human], attacked, attacked_humans, measured)
        results.write(plan.out)
    return results
