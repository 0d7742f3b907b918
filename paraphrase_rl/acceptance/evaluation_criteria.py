"""Criteria of acceptance that an evaluation answers: attack success, meaning, and the fairness gap."""

from __future__ import annotations

from paraphrase_rl.acceptance.criteria import Case, VerdictLine, at_least, at_most, quoted
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.statistics.records import Estimate, FairnessGap, at_rate

SHOWN = ("facts", "fluency", "validity")
"""Roles of the metrics shown with the similarity, because they show damage that it hides;
metrics where lower is better are left out."""


def attack_success(case: Case) -> VerdictLine:
    """Check the attack success rate: of the texts that the ensemble flagged, the share not flagged when rewritten."""
    name, bound = "attack_success_rate", case.acceptance.attack_success_rate
    row = _policy_row(case)
    if isinstance(row, str):
        return at_least(name, bound, None, row)
    results, label = row
    cell = results.cell(label, COMBINED)
    point = results.point(label, COMBINED, case.target_fpr)
    if cell is None or point is None:
        why = (
            cell.failure
            if cell and cell.failure
            else f"it has no result of the {COMBINED} at rate {case.target_fpr:g}"
        )
        return at_least(name, bound, None, f"not in the evaluation: {why}; evaluate again: {case.command}")
    success, before, after = point.attack_success_rate, point.tpr_before, point.tpr_after
    chosen = (
        f"; chosen among {case.chosen_among} checkpoints on these texts, so slightly too good"
        if case.chosen_among > 1
        else ""
    )
    failed = f"; {cell.failed} of {cell.texts} rewrites failed ({cell.failure})" if cell.failed else ""
    if success.value is None:
        return at_least(name, bound, None, f"the {COMBINED} flagged no text before rewriting{failed}")
    return at_least(
        name,
        bound,
        success,
        f"of {success.n} texts the {COMBINED} flagged before, at false positive rate {case.target_fpr:g}; "
        f"1 - TPR over all AI texts: {_missed(before)} before, {_missed(after)} after{failed}{chosen}"
        + ("" if success.low is not None else "; no interval: n too small at this rate"),
    )


def meaning(case: Case) -> VerdictLine:
    """Check the mean cosine of source and rewrite."""
    name, bound = "meaning", case.acceptance.meaning
    row = _policy_row(case)
    if isinstance(row, str):
        return at_least(name, bound, None, row)
    results, label = row
    quality = results.meaning(label)
    if quality is None or quality.estimate.value is None:
        return at_least(
            name, bound, None, f"the evaluation has no metric of meaning; evaluate again: {case.command}"
        )
    others = ", ".join(
        f"{metric.name.replace('_', ' ')} {found.estimate.value:.2f}"
        for metric in results.metrics
        if metric.role in SHOWN
        and metric.better != "lower"
        and (found := results.mean_quality(label, metric.name))
        and found.estimate.value is not None
    )
    failed = f"; {quality.failed} rewrites could not be measured" if quality.failed else ""
    return at_least(
        name,
        bound,
        quality.estimate,
        f"rewrites of {quality.estimate.n} texts; a high similarity can hide damage, so see also: "
        f"{others or 'nothing measured'}{failed}",
    )


def fairness_gap(case: Case) -> VerdictLine:
    """Check how far a group's false positive rate is above the reference group's, on original human texts.

    At the deployed threshold and at that of the reference group alone; the worse of the two counts. Where only the
    deployed one is known, it can fail and cannot pass.
    """
    name, bound = "fairness_gap", case.acceptance.fairness_gap
    group, reference = case.acceptance.fairness_group, case.acceptance.reference_group
    results = case.fairness
    if results is None:
        return at_most(
            name,
            bound,
            None,
            f"the run is not evaluated; evaluate it: prl evaluate {quoted(case.history.folder)}",
        )
    deployed, own = (_gap(case, results, which) for which in ("deployed", "reference"))
    if deployed is None or deployed.gap.value is None:
        counts = results.about.groups
        found = ", ".join(f"{n} of {label}" for label, n in sorted(counts.items())) or "without a group"
        return at_most(
            name,
            bound,
            None,
            f"no false positive rates of both {group} and {reference}: the human texts evaluated are {found}; evaluate "
            f"the same detectors on texts of both: {elsewhere(case)}, then validate with --fairness DIR",
        )
    measured = [gap for gap in (deployed, own) if gap is not None and gap.gap.value is not None]
    worse = max(measured, key=lambda gap: gap.gap.value or 0.0)
    shown = "; ".join(
        f"{'deployed threshold' if gap.threshold == 'deployed' else f'threshold of {reference} alone'}: "
        f"gap {gap.gap.value:.3f}{_rates(gap, results)}"
        for gap in measured
    )
    about = (
        f"clean human texts of {results.about.source}, {COMBINED} at {worse.target_fpr:g}, {_length(worse, results)}; "
        f"{shown}"
    )
    if len(measured) < 2 and (worse.gap.value or 0.0) <= bound:
        return at_most(
            name,
            bound,
            None,
            f"{about}; not measured at the threshold of {reference} alone: too few of its human texts are in the "
            "calibration split",
        )
    return at_most(name, bound, worse.gap, about)


def elsewhere(case: Case) -> str:
    """Return the command that measures false positives of a run's detectors, as calibrated, on other texts."""
    run = case.history.folder
    return (
        f"prl evaluate --config {quoted(run / 'recipe.yaml')} --calibration {quoted(run)} "
        "--set data.source.name=SOURCE --set 'rewriters=[]' --out DIR"
    )


def _length(gap: FairnessGap, results: Results) -> str:
    if gap.words is not None:
        return f"all cut to {gap.words} words"
    words = results.about.excerpt_words
    return "whole texts, whose lengths may differ" if words is None else f"excerpts of at most {words} words"


def _rates(gap: FairnessGap, results: Results) -> str:
    return "".join(
        f", {row.group} {row.rate.value:.3f} (n = {row.rate.n})"
        for row in at_rate(results.false_positives, gap.target_fpr)
        if (row.rewriter, row.detector, row.words, row.threshold)
        == (gap.rewriter, gap.detector, gap.words, gap.threshold)
        and row.group in (gap.group, gap.reference)
        and row.rate.value is not None
    )


def _gap(case: Case, results: Results, threshold: str) -> FairnessGap | None:
    """Choose the gap at equal length where that was measured."""
    accepted = case.acceptance
    found = [
        row
        for row in at_rate(results.fairness, case.target_fpr)
        if (row.rewriter, row.detector, row.threshold) == (ORIGINAL, COMBINED, threshold)
        and (row.group, row.reference) == (accepted.fairness_group, accepted.reference_group)
    ]
    return min(found, key=lambda row: (row.gap.value is None, row.words is None), default=None)


def _policy_row(case: Case) -> tuple[Results, str] | str:
    """The evaluation and the label of this policy in it, or why it does not cover this policy."""
    if not case.whole:
        return case.unfinished
    if case.results is None:
        return f"the run is not evaluated; evaluate it: {case.command}"
    if case.stale:
        return f"{case.stale}; evaluate again: {case.command}"
    if case.label is None:
        return (
            f"the evaluation has no row of the policy at step {case.step}; evaluate that step: {case.command}"
        )
    rewriter = next((r for r in case.results.rewriters if r.label == case.label), None)
    if rewriter and rewriter.failure:
        return f"{case.label} could not be run: {rewriter.failure}"
    return case.results, case.label


def _missed(rate: Estimate) -> str:
    return "?" if rate.value is None else f"{1.0 - rate.value:.2f}"
