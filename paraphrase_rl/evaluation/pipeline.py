"""Pipeline of an evaluation from calibrated detectors to results: rewrite, score, measure, then save the results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.cache import Cache
from paraphrase_rl.evaluation.detection_rates import detection_rates
from paraphrase_rl.evaluation.escape_depth import escape_depths
from paraphrase_rl.evaluation.false_positives import HumanTexts, false_positive_tables
from paraphrase_rl.evaluation.panel import Panel
from paraphrase_rl.evaluation.plan import Plan, rewriter_info
from paraphrase_rl.evaluation.results import ORIGINAL, MetricInfo, Results, RewriterInfo
from paraphrase_rl.evaluation.rewrite_quality import Measured, Measurer, mean_quality_rows
from paraphrase_rl.evaluation.rewrites import Rewriting
from paraphrase_rl.evaluation.scores import Scored, score_originals, score_rewrites
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.statistics.bootstrap import Design
from paraphrase_rl.statistics.fairness import equal_length_words
from paraphrase_rl.types import Failure


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Everything that an evaluation has computed, row by row; its tables are made of this.

    Attributes:
        original: AI test texts as they are.
        human: human test texts as they are.
        calibration: human calibration texts.
        rewriters: the rewriters, the baseline first.
        attacked: the AI test texts after each rewriter.
        attacked_humans: human test texts after each rewriter; empty if none is rewritten.
        quality: by rewriter, the metrics of each of its rows of AI texts.
        metrics: description of the metrics, in the order of the tables.
        notes: why something could not be measured.
    """

    original: Scored
    human: Scored
    calibration: Scored
    rewriters: tuple[RewriterInfo, ...]
    attacked: tuple[Scored, ...]
    attacked_humans: tuple[Scored, ...]
    quality: Mapping[str, Sequence[Measured]]
    metrics: tuple[MetricInfo, ...]
    notes: tuple[str, ...]


def measure(plan: Plan, panel: Panel, registry: Registry, cache: Cache, report: Report) -> Evaluated:
    """Rewrite, score, and measure quality. Values computed before, for this plan or another, come from the cache.

    Args:
        plan: everything that the evaluation depends on.
        panel: the calibrated detectors.
        registry: where rewriters and metrics come from.
        cache: values computed before, in the folder that this process has claimed.
        report: function that shows one line of progress.

    Raises:
        PrlError: a metric that was asked for cannot be built.
        RunError: the cache is damaged.
    """
    planned = [rewriter_info(attack, registry) for attack in plan.attacks(registry)]
    context = Context(
        device=plan.device,
        precision=plan.precision,
        run=plan.run,
        registry=registry,
        ensemble=panel.ensemble,
    )
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
    quality: dict[str, list[Measured]] = {}
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
        quality[label] = measurer.measure(attacked[-1])
    return Evaluated(
        original=original,
        human=human,
        calibration=calibration,
        rewriters=tuple(rewriters),
        attacked=tuple(attacked),
        attacked_humans=tuple(attacked_humans),
        quality=quality,
        metrics=tuple(metric.info() for metric in measurer.metrics),
        notes=tuple(measurer.notes),
    )


def evaluate(plan: Plan, panel: Panel, registry: Registry, cache: Cache, report: Report) -> Results:
    """Evaluate, and write the folder of the evaluation; see :mod:`paraphrase_rl.evaluation.results`.

    The tables are written at the end: those of an earlier evaluation in the same folder remain until then. Arguments
    and errors are those of :func:`measure`.
    """
    clock = time.monotonic()
    about = plan.about(registry)
    found = measure(plan, panel, registry, cache, report)

    report("computing rates and intervals")
    design = Design.of(plan.ai, plan.human, plan.calibration, plan.resamples, plan.seed)
    cells, transfers, few = detection_rates(
        panel, found.original, found.human, found.calibration, found.attacked, design
    )
    quality = [
        row for s in found.attacked for row in mean_quality_rows(s, found.quality[s.rewriter], design.ai)
    ]
    combined = panel.calibrations.get(COMBINED)
    escapes = [
        row
        for s in found.attacked
        if combined is not None
        for row in escape_depths(combined, found.original, s, found.quality[s.rewriter], design.ai)
    ]
    treated = [HumanTexts(scored=found.human, calibration=found.calibration)]
    if (words := equal_length_words(plan.human)) is not None:
        what = f"human texts cut to {words} words"
        cut, cut_calibration = (
            score_originals(d, panel, what, words) for d in (plan.human, plan.calibration)
        )
        treated.append(HumanTexts(scored=cut, calibration=cut_calibration, words=words))
    treated += [HumanTexts(scored=scored, calibration=found.calibration) for scored in found.attacked_humans]
    rates, gaps, missing = false_positive_tables(
        panel, found.human, treated, design, plan.recipe.acceptance.reference_group
    )
    notes = (*about.notes, *panel.notes, *panel.table.truncation_notes, *found.notes, *few, *missing)
    results = Results(
        about=about.model_copy(update={"notes": notes, "seconds": round(time.monotonic() - clock, 1)}),
        detectors=tuple(panel.infos),
        rewriters=found.rewriters,
        cells=tuple(cells),
        transfer=tuple(transfers),
        metrics=found.metrics,
        quality=tuple(quality),
        escapes=tuple(escapes),
        false_positives=tuple(rates),
        fairness=tuple(gaps),
    )
    panel.to_file(plan.out / "calibration.json", plan.precision)
    _write_rows(plan.out, found)
    results.write(plan.out)
    return results


def _write_rows(folder: Path, found: Evaluated) -> None:
    """Write ``documents.jsonl``, ``rewrites.jsonl``, ``scores.jsonl`` and ``quality.jsonl``, each whole."""
    originals = (found.original, found.human)
    documents = [document for scored in originals for document in scored.documents]
    keys = ("id", "text", "label", "group", "domain", "pair")
    rewritten = (*found.attacked, *found.attacked_humans)
    rewrites = (row for scored in rewritten for row in _rewrite_rows(scored))
    scores = (row for scored in (*originals, *rewritten) for row in _score_rows(scored))
    quality = (
        {**_where(scored, i), "metrics": row.metrics}
        for scored in found.attacked
        for i, row in enumerate(found.quality.get(scored.rewriter, ()))
        if row.metrics
    )
    write_jsonl(folder / "documents.jsonl", ({key: getattr(d, key) for key in keys} for d in documents))
    write_jsonl(folder / "rewrites.jsonl", rewrites)
    write_jsonl(folder / "scores.jsonl", scores)
    write_jsonl(folder / "quality.jsonl", quality)


def _where(scored: Scored, i: int) -> dict[str, object]:
    row = scored.rows[i]
    return {"rewriter": scored.rewriter, "id": scored.documents[row.document].id, "sample": row.sample}


def _rewrite_rows(scored: Scored) -> Iterator[dict[str, object]]:
    for i, row in enumerate(scored.rows):
        if isinstance(row.rewrite, Failure):
            yield {**_where(scored, i), "failure": _failure(row.rewrite)}
        else:
            yield {**_where(scored, i), "text": row.rewrite.text, "finished": row.rewrite.finished}


def _score_rows(scored: Scored) -> Iterator[dict[str, object]]:
    for detector, scores in scored.scores.items():
        failures = {failure.index: failure for failure in scores.failures}
        cut = {truncation.index: truncation for truncation in scores.truncated}
        for i, value in enumerate(scores.values.tolist()):
            where = {"detector": detector, **_where(scored, i)}
            if i in failures:
                yield {**where, "failure": _failure(failures[i])}
            else:
                yield {**where, "score": value, **({"truncated": str(cut[i])} if i in cut else {})}


def _failure(failure: Failure) -> dict[str, str]:
    return {"kind": failure.kind, "message": failure.message}
