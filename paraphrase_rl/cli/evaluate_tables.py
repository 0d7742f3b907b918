"""What ``prl evaluate`` prints: the cells as a table; then quality, transfer, false positives and what failed."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, say
from paraphrase_rl.tables import cell as table_cell

if TYPE_CHECKING:
    from paraphrase_rl.evaluation.results import Cell, Results
    from paraphrase_rl.statistics.records import Estimate

_QUALITY = {
    "semantic_similarity": "similarity",
    "numbers_kept": "numbers",
    "names_kept": "names",
    "negations_kept": "negations",
    "length_ratio": "length",
    "edit_rate": "edits",
    "perplexity_ratio": "perplexity",
    "format": "format",
    "nli_forward": "entails",
    "nli_backward": "entailed",
    "judge_meaning": "judge: meaning",
    "judge_quality": "judge: quality",
}
"""Metrics of the table, with the heads of their columns; ``quality.jsonl`` and ``--format json`` have all."""
_WIDEST = 110
_LONGEST_NAME = 19


def show(results: Results, format_: str, folder: Path) -> None:
    """The results on stdout, and where they are on stderr."""
    if format_ == "table":
        _tables(results)
    else:
        emit(
            list(_flat(results)),
            format_=format_,
            schema="prl.evaluate",
            meta=results.model_dump(mode="json", exclude={"cells", "format"}),
        )
    for note in results.about.notes:
        say(f"note: {note}")
    run = results.about.run
    is_default = run is not None and folder == Path(run) / "evaluation"
    say(f"wrote {folder}; next: prl report {shlex.quote(str(run if is_default else folder))}")


def _flat(results: Results) -> Iterator[dict[str, object]]:
    """One row a cell and operating point; a cell without figures is one row with its failure."""
    for cell in results.cells:
        row: dict[str, object] = {
            "rewriter": cell.rewriter,
            "detector": cell.detector,
            **_estimate("auroc_before", cell.auroc_before),
            **_estimate("auroc_after", cell.auroc_after),
            "texts": cell.texts,
            "failed": cell.failed,
            "failure": cell.failure,
        }
        for point in cell.points:
            yield {
                **row,
                "target_fpr": point.target_fpr,
                "threshold": point.threshold,
                **_estimate("tpr_before", point.tpr_before),
                **_estimate("tpr_after", point.tpr_after),
                **_estimate("attack_success_rate", point.attack_success_rate),
            }
        if not cell.points:
            yield row


def _estimate(name: str, estimate: Estimate) -> dict[str, object]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
        f"{name}_n": estimate.n,
    }


def _tables(results: Results) -> None:
    about = results.about
    at = about.target_fpr
    click.echo(
        f"{about.ai_texts} AI and {about.human_texts} human test texts of {about.source}, {about.samples} "
        f"rewrite{'s' if about.samples > 1 else ''} a text.\n"
        f"Thresholds: {about.calibration_texts} calibration humans, of whom "
        f"{math.floor(at * about.calibration_texts + 1e-9)} may lie above (a false positive rate of {at:.3g})."
    )
    if results.cells:
        click.echo(
            "TPR and ASR are at these thresholds; before -> after, [95 % interval];\n"
            "ASR = share no longer flagged, of the n texts flagged before.\n"
        )
        emit([_cell_row(cell, at) for cell in results.cells], format_="table", schema="")
    for title, rows in (
        ("Quality (mean)", list(_quality_rows(results))),
        ("Transfer (mean over detectors)", list(_transfer_rows(results))),
        ("False positive rate of human texts by group", list(_fairness_rows(results))),
    ):
        if rows:
            click.echo(f"\n{title}\n")
            emit(rows, format_="table", schema="")
    reasons = dict.fromkeys(_failures(results))
    if reasons:
        click.echo("\nFailed\n")
        for reason in reasons:
            click.echo(
                textwrap.fill(
                    table_cell(reason, None),
                    _WIDEST,
                    initial_indent="  ",
                    subsequent_indent="    ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )


def _cell_row(cell: Cell, target_fpr: float) -> Mapping[str, object]:
    from paraphrase_rl.statistics.records import at_rate

    point = next(iter(at_rate(cell.points, target_fpr)), None)
    row: dict[str, object] = {"rewriter": _short(cell.rewriter), "detector": _short(cell.detector)}
    if point is None:
        return row | {"failed": f"{cell.failed}/{cell.texts}"}
    success = point.attack_success_rate
    return row | {
        "TPR": f"{_number(point.tpr_before)} -> {_with_interval(point.tpr_after)}",
        "AUROC": f"{_number(cell.auroc_before)} -> {_number(cell.auroc_after)}",
        "ASR": _with_interval(success),
        "n": success.n,
        "failed": f"{cell.failed}/{cell.texts}" if cell.failed else None,
    }


def _quality_rows(results: Results) -> Iterator[Mapping[str, object]]:
    there = {row.metric for row in results.quality}
    for rewriter in results.rewriters:
        means = {r.metric: r.estimate for r in results.quality if r.rewriter == rewriter.label}
        if means:
            yield {
                "rewriter": _short(rewriter.label),
                **{
                    head: _number(means[m]) if m in means else None
                    for m, head in _QUALITY.items()
                    if m in there
                },
            }


def _transfer_rows(results: Results) -> Iterator[Mapping[str, object]]:
    from paraphrase_rl.evaluation.results import CLEAN
    from paraphrase_rl.statistics.records import at_rate

    for row in at_rate(results.transfer, results.about.target_fpr):
        if row.rewriter != CLEAN:
            yield {
                "rewriter": _short(row.rewriter),
                "family": _short(row.family),
                "trained against": row.trained_against,
                "detectors": len(row.detectors),
                "TPR": f"{_number(row.tpr_before)} -> {_with_interval(row.tpr_after)}",
                "ASR": _with_interval(row.attack_success_rate),
            }


def _fairness_rows(results: Results) -> Iterator[Mapping[str, object]]:
    """Rates of the groups, where there are groups, each with its gap to the reference group."""
    from paraphrase_rl.statistics.fairness import EVERYBODY
    from paraphrase_rl.statistics.records import at_rate

    at = results.about.target_fpr
    gaps = {(g.rewriter, g.detector, g.group, g.words): g for g in at_rate(results.fairness, at)}
    for row in at_rate(results.false_positives, at):
        gap = gaps.get((row.rewriter, row.detector, row.group, row.words))
        if results.about.groups and row.group != EVERYBODY:
            yield {
                "rewriter": _short(row.rewriter),
                "detector": _short(row.detector),
                "words": row.words or "all",
                "group": _short(row.group),
                "rate": _with_interval(row.rate),
                "n": row.rate.n,
                "gap": f"{_with_interval(gap.gap)} to {_short(gap.reference)}" if gap else None,
            }


def _failures(results: Results) -> Iterator[str]:
    for detector in results.detectors:
        if detector.failure:
            yield f"detector {detector.name}: {detector.failure}"
    for rewriter in results.rewriters:
        if rewriter.failure:
            yield f"rewriter {rewriter.label}: {rewriter.failure}"
    broken = {d.name for d in results.detectors if d.failure} | {
        r.label for r in results.rewriters if r.failure
    }
    for cell in results.cells:
        if cell.failure and not {cell.rewriter, cell.detector} & broken:
            yield f"{cell.rewriter}, {cell.detector}: {cell.failed} of {cell.texts}: {cell.failure}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _number(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.2f}"


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _number(estimate)
    return f"{_number(estimate)} [{estimate.low:.2f}, {estimate.high:.2f}]"
