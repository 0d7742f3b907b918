"""Criteria of acceptance that an evaluation answers: success, meaning, and whom the detectors accuse falsely."""

from __future__ import annotations

import math

from paraphrase_rl.evaluation.acceptance import Case, VerdictLine, at_least, at_most, quoted
from paraphrase_rl.evaluation.pareto import SIMILARITY
from paraphrase_rl.evaluation.records import CLEAN, Estimate, FairnessGap, Results
from paraphrase_rl.scoring.ensemble import COMBINED


def attack_success(case: Case) -> VerdictLine:
    """Share not flagged after, among the texts that the ensemble flagged before."""
    name, bound = "attack_success_rate", case.acceptance.attack_success_rate
    if missing := _missing(case):
        return at_least(name, bound, None, missing)
    assert case.results is not None
    assert case.label is not None
    cell = case.results.cell(case.label, COMBINED)
    point = case.results.point(case.label, COMBINED, case.target_fpr)
    if cell is None or point is None:
        why = cell.failure if cell and cell.failure else f"it has no {COMBINED} at rate {case.target_fpr:g}"
        return at_least(name, bound, None, f"not in the evaluation: {why}; make it anew: {case.command}")
    success, before, after = point.attack_success_rate, point.tpr_before, point.tpr_after
    failed = f"; {cell.failed} of {cell.texts} rewrites failed ({cell.failure})" if cell.failed else ""
    if success.value is None:
        return at_least(name, bound, None, f"the {COMBINED} flagged no text before the rewrite{failed}")
    return at_least(
        name,
        bound,
        success,
        f"of {success.n} texts the {COMBINED} flagged before, at false positive rate {case.target_fpr:g}; "
        f"unflagged of all AI texts, no attack needed: {_missed(before)} before, {_missed(after)} after{failed}",
    )


def similarity(case: Case) -> VerdictLine:
    """Mean cosine of source and rewrite."""
    name, bound = "semantic_similarity", case.acceptance.semantic_similarity
    if missing := _missing(case):
        return at_least(name, bound, None, missing)
    assert case.results is not None
    assert case.label is not None
    quality = case.results.mean_quality(case.label, SIMILARITY)
    if quality is None or quality.estimate.value is None:
        return at_least(
            name, bound, None, f"the evaluation has no {SIMILARITY}; make it anew: {case.command}"
        )
    beside = ", ".join(
        f"{metric.replace('_', ' ')} {found.estimate.value:.2f}"
        for metric in ("numbers_kept", "names_kept", "negations_kept", "perplexity_ratio")
        if (found := case.results.mean_quality(case.label, metric)) and found.estimate.value is not None
    )
    failed = f"; {quality.failed} rewrites could not be judged" if quality.failed else ""
    return at_least(
        name,
        bound,
        quality.estimate,
        f"rewrites of {quality.estimate.n} texts; it hides damage, so see beside it: {beside or 'nothing measured'}"
        f"{failed}",
    )


def fairness_gap(case: Case) -> VerdictLine:
    """False positive rate of the group above that of the reference group, on clean human texts."""
    accepted = case.acceptance
    name, group, reference = "fairness_gap", accepted.fairness_group, accepted.reference_group
    again = f"prl evaluate {quoted(case.history.folder)} --data SOURCE, with texts of both groups"
    if case.results is None:
        return at_most(name, accepted.fairness_gap, None, f"no evaluation; make one: {again}")
    gap = _gap(case, case.results)
    if gap is None or gap.gap.value is None:
        counts = case.results.about.groups
        found = ", ".join(f"{n} of {label}" for label, n in sorted(counts.items())) or "no group named"
        return at_most(
            name,
            accepted.fairness_gap,
            None,
            f"no figure for {group} beside {reference}: the human texts evaluated are {found}; bring them: {again}",
        )
    length = "whole texts, unequal lengths count in" if gap.words is None else f"all cut to {gap.words} words"
    rates = ", ".join(
        f"{row.group} {row.rate.value:.3f} (n = {row.rate.n})"
        for row in case.results.false_positives
        if (row.rewriter, row.detector, row.words) == (gap.rewriter, gap.detector, gap.words)
        and row.group in (group, reference)
        and row.rate.value is not None
        and math.isclose(row.target_fpr, gap.target_fpr)
    )
    return at_most(
        name,
        accepted.fairness_gap,
        gap.gap,
        f"clean human texts, {COMBINED} at {gap.target_fpr:g}, {length}: {rates or f'{group} minus {reference}'}",
    )


def _gap(case: Case, results: Results) -> FairnessGap | None:
    """At equal length where that was measured."""
    accepted = case.acceptance
    found = [
        row
        for row in results.fairness
        if (row.rewriter, row.detector) == (CLEAN, COMBINED)
        and (row.group, row.reference) == (accepted.fairness_group, accepted.reference_group)
        and math.isclose(row.target_fpr, case.target_fpr)
    ]
    return min(found, key=lambda row: (row.gap.value is None, row.words is None), default=None)


def _missing(case: Case) -> str:
    """Why the evaluation says nothing about this policy; empty where it does."""
    if not case.whole:
        return case.unfinished
    if case.results is None:
        return f"no evaluation; make one: {case.command}"
    if case.stale:
        return f"{case.stale}; make it anew: {case.command}"
    if case.label is None:
        return f"the evaluation has no row of the policy at step {case.step}; make it: {case.command}"
    rewriter = next((r for r in case.results.rewriters if r.label == case.label), None)
    return f"{case.label} could not be run: {rewriter.failure}" if rewriter and rewriter.failure else ""


def _missed(rate: Estimate) -> str:
    return "?" if rate.value is None else f"{1.0 - rate.value:.2f}"
