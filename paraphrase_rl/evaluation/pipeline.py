"""An evaluation from plan to results: calibrate, rewrite, score, measure, and only then write anything down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.evaluation.cache import FOLDER, Cache, claimed, key_of
from paraphrase_rl.evaluation.detection_rates import (
    CellFigures,
    Clean,
    Design,
    cell,
    cell_figures,
    empty_cell,
    transfer,
)
from paraphrase_rl.evaluation.panel import Panel, assemble
from paraphrase_rl.evaluation.plan import Plan, held_out_of, versions
from paraphrase_rl.evaluation.results import CLEAN, About, Cell, Results, RewriterInfo, Transfer
from paraphrase_rl.evaluation.rewrite_quality import Measured, Measurer, quality_table
from paraphrase_rl.evaluation.rewrites import Rewriting
from paraphrase_rl.evaluation.scores import Scored, score, untouched, write_rows
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.statistics.fairness import equal_length_words, fairness_tables
from paraphrase_rl.statistics.records import FairnessGap, FalsePositives
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.types import Document, FloatArray


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Everything that was scored and measured.

    Attributes:
        ai, human, calibration: texts untouched: AI and human test texts, calibration humans.
        rewriters: what was asked for, the baseline first.
        attacked: AI texts by every rewriter, the baseline not among them.
        humans: human texts by every rewriter; empty where none are rewritten.
        measured: by rewriter, each row of ``attacked``.
    """

    ai: Scored
    human: Scored
    calibration: Scored
    rewriters: Sequence[RewriterInfo]
    attacked: Sequence[Scored]
    humans: Sequence[Scored]
    measured: Mapping[str, Sequence[Measured]]


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
    held_out, left_out = held_out_of(plan.recipe, registry)
    with claimed(plan.out):
        scores = Cache(plan.out / FOLDER / "scores.jsonl")
        panel = assemble(plan, held_out, registry, scores, report)
        context = Context(device=plan.device, ensemble=panel.uncached(), run=plan.run)
        measurer = Measurer(plan, context, Cache(plan.out / FOLDER / "quality.jsonl"), report)
        if plan.nli is not None or plan.judge is not None:
            measurer.build()  # what was asked for must work, and it is better said now than after the rewriting
        found = _find(plan, panel, registry, context, measurer, report)
        report("tables: figures and intervals")
        design = Design.of(plan.ai, plan.human, plan.calibration, plan.resamples, plan.seed)
        cells, transfers = _cells(plan, panel, found, design)
        rates, gaps, trouble = _fairness(plan, panel, found, design, report)
        ids = [document.id for document in plan.ai]
        results = Results(
            about=_about(
                plan,
                started,
                time.monotonic() - clock,
                [*plan.notes(), *left_out, *panel.notes, *measurer.notes, *trouble],
            ),
            detectors=tuple(panel.infos),
            rewriters=tuple(found.rewriters),
            cells=tuple(cells),
            transfer=tuple(transfers),
            quality=tuple(
                row
                for scored in found.attacked
                for row in quality_table(
                    scored.rewriter, found.measured[scored.rewriter], scored.positions, ids, design.ai
                )
            ),
            false_positives=tuple(rates),
            fairness=tuple(gaps),
        )
        panel.to_file(plan.out / "calibration.json")
        write_rows(plan.out, [found.ai, found.human], found.attacked, found.humans, found.measured)
        results.write(plan.out)
    return results


def _find(
    plan: Plan, panel: Panel, registry: Registry, context: Context, measurer: Measurer, report: Report
) -> _Found:
    """Score the texts untouched; then with each rewriter in turn rewrite, score and measure."""
    ai, human, calibration = (
        score(CLEAN, documents, untouched(documents), 1, panel, report, what)
        for documents, what in (
            (plan.ai, "AI texts"),
            (plan.human, "human texts"),
            (plan.calibration, "calibration humans"),
        )
    )
    rewriting = Rewriting(
        registry=registry,
        context=context,
        context_key=key_of(plan.run_digest, panel.ensemble_key),
        seed=plan.seed,
        cache=Cache(plan.out / FOLDER / "rewrites.jsonl"),
        report=report,
    )
    rewriters = [RewriterInfo(label=CLEAN, name=CLEAN)]
    attacked, humans, measured = [], [], {}
    for attack in plan.attacks:
        info, (of_ai, of_human) = rewriting.rewrite_with(
            attack, (plan.ai, plan.samples), (plan.rewritten_humans, 1)
        )
        label = info.label
        rewriters.append(info)
        attacked.append(score(label, plan.ai, of_ai, plan.samples, panel, report))
        if plan.rewritten_humans:
            what = f"{label}, human texts"
            humans.append(score(label, plan.rewritten_humans, of_human, 1, panel, report, what))
        rows = attacked[-1].rewritten
        found = measurer.measure(label, [source for _, source, _ in rows], [made for _, _, made in rows])
        measured[label] = [Measured() for _ in attacked[-1].rows]
        for (i, _, _), one in zip(rows, found, strict=True):
            measured[label][i] = one
    return _Found(
        ai=ai,
        human=human,
        calibration=calibration,
        rewriters=rewriters,
        attacked=attacked,
        humans=humans,
        measured=measured,
    )


def _cells(plan: Plan, panel: Panel, found: _Found, design: Design) -> tuple[list[Cell], list[Transfer]]:
    """Every rewriter against every detector, the baseline first; and the means by family. Without AI texts none."""
    if not plan.ai:
        return [], []
    clean = {
        name: Clean.of(
            calibration,
            found.ai.scores[name].values,
            found.human.scores[name].values,
            found.calibration.scores[name].values,
            plan.target_fprs,
            design,
        )
        for name, calibration in panel.calibrations.items()
    }
    cells: list[Cell] = []
    transfers: list[Transfer] = []
    for label, scored in ((CLEAN, found.ai), *((a.rewriter, a) for a in found.attacked)):
        families: dict[tuple[str, bool], dict[str, CellFigures]] = {}
        for info in panel.infos:
            if info.name not in clean:
                cells.append(empty_cell(label, info.name, len(scored.rows), info.failure or "not calibrated"))
                continue
            after = scored.scores[info.name]
            figures = cell_figures(clean[info.name], after.values, scored.positions, design)
            before = {failure.index: failure for failure in found.ai.scores[info.name].failures}
            reasons = [failure.message for failure in after.failures] + [
                before[row.document].message
                for row, value in zip(scored.rows, after.values, strict=True)
                if row.document in before and np.isfinite(value)
            ]
            cells.append(cell(label, info.name, figures, len(scored.rows), reasons))
            if info.name != COMBINED and cells[-1].points:
                families.setdefault((info.family, info.trained_against), {})[info.name] = figures
        for (family, trained_against), figures_by_name in families.items():
            transfers += transfer(label, family, trained_against, figures_by_name)
    return cells, transfers


def _fairness(
    plan: Plan, panel: Panel, found: _Found, design: Design, report: Report
) -> tuple[list[FalsePositives], list[FairnessGap], list[str]]:
    """False positives on clean human texts, on texts of equal length, and on rewritten human texts; and notes."""
    position = {document.id: i for i, document in enumerate(plan.human)}
    everybody = list(range(len(plan.human)))
    chosen = [position[document.id] for document in plan.rewritten_humans]
    compared: list[tuple[str, int | None, list[int], Scored, Scored]] = [
        (CLEAN, None, everybody, found.human, found.calibration)
    ]
    words = equal_length_words(plan.human)
    if words is not None:
        cut = [_cut(documents, words) for documents in (plan.human, plan.calibration)]
        what = f"human texts cut to {words} words"
        human, calibration = (score(CLEAN, d, untouched(d), 1, panel, report, what) for d in cut)
        compared.append((CLEAN, words, everybody, human, calibration))
    compared += [(scored.rewriter, None, chosen, scored, found.calibration) for scored in found.humans]
    rates: list[FalsePositives] = []
    gaps: list[FairnessGap] = []
    notes: list[str] = []
    for name in panel.calibrations:
        for rewriter, at_length, rows, scored, calibration in compared:
            try:
                new_rates, new_gaps = fairness_tables(
                    [plan.human[i] for i in rows],
                    scored.scores[name].values,
                    calibration.scores[name].values,
                    detector=name,
                    rewriter=rewriter,
                    target_fprs=plan.target_fprs,
                    words=at_length,
                    reference=plan.recipe.acceptance.reference_group,
                    weights=_columns(design.human, rows),
                    calibration_weights=design.calibration,
                )
            except CalibrationError as error:
                length = f" at {at_length} words" if at_length else ""
                notes.append(f"no false positive rates of {name}{length}: {error.message}")
                continue
            rates += new_rates
            gaps += new_gaps
    return rates, gaps, notes


def _cut(documents: Sequence[Document], words: int) -> list[Document]:
    return [replace(d, text=excerpt(d.text, words)) for d in documents]


def _columns(weights: FloatArray, rows: Sequence[int]) -> FloatArray:
    return weights[:, np.array(rows, dtype=np.int64)]


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
