"""An evaluation from plan to results: calibrate, rewrite, score, measure, and only then write anything down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from paraphrase_rl.evaluation.cache import claimed, key_of
from paraphrase_rl.evaluation.detection_rates import detection_rates
from paraphrase_rl.evaluation.false_positives import HumanTexts, false_positive_tables
from paraphrase_rl.evaluation.panel import assemble
from paraphrase_rl.evaluation.plan import Plan, versions
from paraphrase_rl.evaluation.results import CLEAN, About, Results, RewriterInfo
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
    started, clock = datetime.now(UTC), time.monotonic()
    plan.check()
    with claimed(plan.out) as cache:
        panel = assemble(plan, registry, cache, report)
        context = Context(device=plan.device, ensemble=panel.ensemble, run=plan.run)
        measurer = Measurer(plan, registry, context, cache, report)
        if plan.recipe.metrics:
            measurer.build()  # what was asked for must work, and it is better said now than after the rewriting

        original = score_originals(plan.ai, panel, "AI texts")
        human = score_originals(plan.human, panel, "human texts")
        calibration = score_originals(plan.calibration, panel, "calibration humans")

        context_key = key_of(plan.run_digest, panel.ensemble_key)
        rewriting = Rewriting(registry, context, context_key, plan.seed, cache, report)
        rewriters = [RewriterInfo(label=CLEAN, name=CLEAN)]
        attacked: list[Scored] = []
        attacked_humans: list[Scored] = []
        measured: dict[str, list[Measured]] = {}
        for attack in plan.attacks:
            info, (of_ai, of_human) = rewriting.rewrite_with(
                attack, (plan.ai, plan.samples), (plan.rewritten_humans, 1)
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
        notes = [*plan.notes(), *panel.notes, *measurer.notes, *missing]
        results = Results(
            about=_about(plan, started, time.monotonic() - clock, notes),
            detectors=tuple(panel.infos),
            rewriters=tuple(rewriters),
            cells=tuple(cells),
            transfer=tuple(transfers),
            metrics=tuple(metric.info() for metric in measurer.metrics),
            quality=tuple(
                row
                for scored in attacked
                for row in quality_table(scored, measured[scored.rewriter], design.ai)
            ),
            false_positives=tuple(rates),
            fairness=tuple(gaps),
        )
        panel.to_file(plan.out / "calibration.json")
        write_rows(plan.out, [original, human], attacked, attacked_humans, measured)
        results.write(plan.out)
    return results


def _about(plan: Plan, started: datetime, seconds: float, notes: Sequence[str]) -> About:
    groups = Counter(document.group for document in plan.human if document.group is not None)
    return About(
        run=str(plan.run) if plan.run is not None else None,
        source=plan.corpus.source,
        digest=plan.digest,
        excerpt_words=plan.recipe.data.excerpt_words,
        ai_texts=len(plan.ai),
        human_texts=len(plan.human),
        calibration_texts=len(plan.calibration),
        groups=dict(sorted(groups.items())),
        samples=plan.samples,
        seed=plan.seed,
        resamples=plan.resamples,
        target_fpr=plan.recipe.calibration.target_fpr,
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        versions=dict(versions()),
        notes=tuple(notes),
    )
