"""The page of a report: one HTML file that needs no network and no other file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from paraphrase_rl import __version__
from paraphrase_rl.acceptance.criteria import quoted
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.recipe.loading import DEFAULT
from paraphrase_rl.reporting import (
    fairness_charts,
    formatting,
    heat_map,
    quality_table,
    samples,
    score_distributions,
    trade_off,
    training_curves,
)
from paraphrase_rl.reporting.html import asset, environment, policy
from paraphrase_rl.reporting.inputs import ReportInputs
from paraphrase_rl.reporting.terms import CRITERIA, TERMS
from paraphrase_rl.statistics.fairness import EVERYBODY

LONG_LIST = 12
"""Number of lines from which a list is written as one paragraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One of the few numbers at the top of the page."""

    name: str
    value: str
    detail: str


def render_page(inputs: ReportInputs) -> str:
    """Write the page as HTML. It refers to nothing outside itself; its content security policy forbids it."""
    style, script = asset("report.css"), asset("report.js")
    return _template().render(
        inputs=inputs,
        results=inputs.results,
        run=None if inputs.run is None else quoted(inputs.run),
        style=Markup(style),
        script=Markup(script),
        policy=policy([style], [script]),
        version=__version__,
        ORIGINAL=ORIGINAL,
        DEFAULT=DEFAULT,
        CRITERIA=CRITERIA,
        TERMS=TERMS,
        EVERYBODY=EVERYBODY,
        alarms=[row for row in inputs.events if row.get("event") == "monitor"],
        verdict=_verdict(inputs),
        key_figures=key_figures(inputs),
        training=training_curves.training_curves(
            inputs.metrics, inputs.evaluations, inputs.terms, inputs.monitors
        ),
        warm_up=training_curves.warm_up(inputs.warmup, inputs.evaluations, inputs.events, inputs.terms),
        browser=samples.sample_browser(inputs),
        facts=_facts(inputs.manifest),
        recipe=[(name, list(keys)) for name, keys in groupby(inputs.recipe, lambda key: key.section)],
        **_evaluated(inputs),
    )


@cache
def _template() -> Template:
    found = environment()
    found.filters["family"] = heat_map.family_name
    return found.get_template("page.html.j2")


def _evaluated(inputs: ReportInputs) -> dict[str, Any]:
    results = inputs.results
    if results is None:
        return {"heat": None}
    fairness = inputs.fairness or results
    return {
        "heat": heat_map.heat_map(results),
        "distributions": score_distributions.distributions(results, inputs.documents, inputs.scores),
        "trade_off": trade_off.trade_off(results),
        "no_trade_off": _no_trade_off(results),
        "quality": quality_table.quality_table(results),
        "fairness": fairness,
        "groups": fairness_charts.rates_by_group(fairness),
        "gaps": fairness_charts.gaps(fairness),
        "false_positives": fairness_charts.at_target(fairness),
        "about": _facts(results.about.model_dump(exclude={"notes"})),
    }


def _no_trade_off(results: Results) -> str:
    """The reason why there is no chart."""
    if all(r.label == ORIGINAL for r in results.rewriters):
        return "no rewriter was evaluated"
    ensemble = next((d for d in results.detectors if d.name == COMBINED), None)
    if ensemble is None:
        return "the ensemble was not evaluated"
    return ensemble.failure or "similarity or the flags of the ensemble are missing"


def _verdict(inputs: ReportInputs) -> dict[str, str]:
    """The headline: a word for the style sheet, what it says, and why."""
    verdict = inputs.verdict
    if inputs.run is None:
        return {
            "kind": "none",
            "title": "An evaluation without a run",
            "why": "Nothing was trained, so nothing is accepted or not. To decide on a training run: prl validate RUN.",
        }
    if verdict is None:
        return {"kind": "none", "title": "No verdict", "why": inputs.verdict_problem}
    found = {kind: verdict.criteria(kind) for kind in ("pass", "fail", "not measured")}
    many = len(verdict.lines)
    if verdict.accepted:
        return {"kind": "pass", "title": "Accepted", "why": f"All {many} criteria pass."}
    parts = [
        f"{len(found[kind])} of {many} criteria {verb}: {', '.join(c.replace('_', ' ') for c in found[kind])}."
        for kind, verb in (("fail", "failed"), ("not measured", "not measured"))
        if found[kind]
    ]
    why = " ".join([*parts, f"{len(found['pass'])} passed."])
    if found["fail"]:
        return {"kind": "fail", "title": "Not accepted", "why": why}
    return {"kind": "none", "title": "Not decided", "why": why}


def key_figures(inputs: ReportInputs) -> list[KeyFigure]:
    """Choose the numbers that say most; fewer if less was measured."""
    checkpoint = inputs.verdict.checkpoint if inputs.verdict else None
    found = [] if inputs.results is None else _measured(inputs.results, checkpoint)
    rewards = [
        row["metrics"]["reward_mean"]
        for row in inputs.evaluations
        if row["metrics"].get("reward_mean") is not None
    ]
    if len(rewards) > 1:
        steps = f"held-out prompts, step {inputs.evaluations[0]['step']} to {inputs.evaluations[-1]['step']}"
        value = f"{rewards[0]:.2f} → {rewards[-1]:.2f}"
        found.append(KeyFigure(name="Mean reward", value=value, detail=steps))
    return found


def headline_rewriter(results: Results, checkpoint: int | None) -> str | None:
    """Choose the rewriter for the top of the page: the policy at the verdict's step, else that which evades most."""
    evading = {
        r.label: point.attack_success_rate.value
        for r in results.rewriters
        if r.label != ORIGINAL
        and (point := results.point(r.label, COMBINED, results.about.target_fpr))
        and point.attack_success_rate.value is not None
    }
    own = [r for r in results.rewriters if r.of_run and r.label in evading]
    if own:
        at_checkpoint = [r for r in own if r.options.get("checkpoint") == checkpoint]
        newest = [r for r in own if not isinstance(r.options.get("checkpoint"), int)]
        return (at_checkpoint or newest or own)[0].label
    return max(evading, key=lambda label: evading[label] or 0.0, default=None)


def _measured(results: Results, checkpoint: int | None) -> list[KeyFigure]:
    found, target = [], results.about.target_fpr
    rewriter = headline_rewriter(results, checkpoint)
    if rewriter is not None and (point := results.point(rewriter, COMBINED, target)):
        success = point.attack_success_rate
        found.append(
            KeyFigure(
                name=f"Attack success of {rewriter}",
                value=formatting.share(success.value),
                detail=_joined(
                    _interval(formatting.share_interval_text(success)),
                    f"of {success.n} AI texts the ensemble flagged, the share it no longer flags",
                ),
            )
        )
        found.append(
            KeyFigure(
                name="AI texts flagged",
                value=f"{formatting.share(point.tpr_before.value)} → {formatting.share(point.tpr_after.value)}",
                detail="by the ensemble, before and after the rewrite; its target false positive rate is "
                + formatting.share(target),
            )
        )
        if (meaning := results.meaning(rewriter)) and meaning.estimate.value is not None:
            detail = _joined(
                _interval(formatting.number_interval_text(meaning.estimate)),
                "similarity to the source, at most 1",
            )
            found.append(
                KeyFigure(
                    name="Meaning preserved", value=formatting.number(meaning.estimate.value), detail=detail
                )
            )
    for rate in fairness_charts.at_target(results):
        if (rate.rewriter, rate.detector, rate.group, rate.words) == (ORIGINAL, COMBINED, EVERYBODY, None):
            detail = _joined(
                _interval(formatting.share_interval_text(rate.rate)),
                f"of {rate.rate.n} human texts; target {formatting.share(target)}",
            )
            found.append(
                KeyFigure(name="False positive rate", value=formatting.share(rate.rate.value), detail=detail)
            )
    return found


def _interval(text: str) -> str:
    return f"95% interval {text}" if text else ""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _facts(values: Mapping[str, Any]) -> list[tuple[str, Sequence[str]]]:
    """Plain data as names with lines of text."""
    found: list[tuple[str, Sequence[str]]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines = [f"{key}: {_plain(inner)}" for key, inner in value.items()]
        elif name == "command" and isinstance(value, list):
            lines = [" ".join(map(str, value))]
        elif isinstance(value, (list, tuple)):
            lines = [_plain(inner) for inner in value]
        else:
            lines = [_plain(value)]
        if len(lines) > LONG_LIST:
            lines = [", ".join(lines)]
        found.append((name.replace("_", " "), lines or [formatting.NOTHING]))
    return found


def _plain(value: Any) -> str:
    if value is None:
        return formatting.NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
