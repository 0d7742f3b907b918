"""The page: material in, one HTML file out that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from paraphrase_rl import __version__
from paraphrase_rl.acceptance.checkpoint_choice import SIMILARITY
from paraphrase_rl.acceptance.criteria import quoted
from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.plan import POLICY
from paraphrase_rl.evaluation.results import CLEAN, Results
from paraphrase_rl.recipe.loading import DEFAULT
from paraphrase_rl.report import curves, figures, groups, samples, sections
from paraphrase_rl.report.inputs import Material
from paraphrase_rl.report.terms import CRITERIA, TERMS
from paraphrase_rl.report.word_changes import printable
from paraphrase_rl.statistics.fairness import EVERYBODY

LONG_LIST = 12
"""From so many lines on a list is written as one paragraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One of the few figures at the top."""

    name: str
    value: str
    beside: str


def render(material: Material) -> str:
    """The whole page. It refers to nothing outside itself, and its security policy forbids it to."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    return _template().render(
        material=material,
        results=material.results,
        run=None if material.run is None else quoted(material.run),
        style=Markup(style),
        script=Markup(script),
        policy=policy,
        version=__version__,
        CLEAN=CLEAN,
        DEFAULT=DEFAULT,
        CRITERIA=CRITERIA,
        TERMS=TERMS,
        EVERYBODY=EVERYBODY,
        alarms=[row for row in material.events if row.get("event") == "monitor"],
        verdict=_verdict(material),
        key_figures=key_figures(material),
        training=curves.training(material.metrics, material.evaluations),
        browser=samples.browser(material),
        facts=_facts(material.manifest),
        recipe=[(name, list(keys)) for name, keys in groupby(material.recipe, lambda key: key.section)],
        **_evaluated(material),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("paraphrase_rl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "share": figures.share,
        "number": figures.number,
        "share_interval": figures.share_interval,
        "number_interval": figures.number_interval,
        "points": figures.points,
        "score": figures.score,
        "criterion_value": figures.criterion_value,
        "commands": _commands,
        "family": sections.family,
    }
    return environment.get_template("page.html.j2")


def _evaluated(material: Material) -> dict[str, Any]:
    results = material.results
    if results is None:
        return {"heat": None}
    fairness = material.fairness or results
    return {
        "heat": sections.heat_map(results),
        "distributions": sections.distributions(results, material.documents, material.scores),
        "trade_off": sections.trade_offs(results),
        "no_trade_off": _no_trade_off(results),
        "quality": sections.quality_table(results),
        "fairness": fairness,
        "groups": groups.rates_by_group(fairness),
        "gaps": groups.gaps(fairness),
        "false_positives": groups.at_target(fairness),
        "about": _facts(results.about.model_dump(exclude={"notes"})),
    }


def _no_trade_off(results: Results) -> str:
    """Why there is nothing to draw."""
    if all(r.label == CLEAN for r in results.rewriters):
        return "no rewriter was evaluated"
    ensemble = next((d for d in results.detectors if d.name == COMBINED), None)
    if ensemble is None:
        return "the ensemble was not evaluated"
    return ensemble.failure or "similarity or the flags of the ensemble are missing"


def _commands(text: str) -> Markup:
    """What stands between backticks as code."""
    pieces = [escape(printable(piece)) for piece in text.split("`")]
    if len(pieces) % 2 == 0:
        return escape(printable(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else piece for i, piece in enumerate(pieces)
    )


def _shown(value: Any) -> Any:
    """Every text on the page has its invisible characters written out; what is markup already stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    return (files("paraphrase_rl.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _verdict(material: Material) -> dict[str, str]:
    """The headline: a word for the style sheet, what it says, and why."""
    verdict = material.verdict
    if material.run is None:
        return {
            "kind": "none",
            "title": "An evaluation without a run",
            "why": "Nothing was trained, so nothing is accepted or not. prl validate RUN judges a training run.",
        }
    if verdict is None:
        return {"kind": "none", "title": "No verdict", "why": material.verdict_problem}
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


def key_figures(material: Material) -> list[KeyFigure]:
    """The few that say most; fewer where less was measured."""
    judged = material.verdict.checkpoint if material.verdict else None
    found = [] if material.results is None else _measured(material.results, judged)
    rewards = [
        row["metrics"]["reward_mean"]
        for row in material.evaluations
        if row["metrics"].get("reward_mean") is not None
    ]
    if len(rewards) > 1:
        steps = (
            f"held-out prompts, step {material.evaluations[0]['step']} to {material.evaluations[-1]['step']}"
        )
        value = f"{rewards[0]:.2f} → {rewards[-1]:.2f}"
        found.append(KeyFigure(name="Mean reward", value=value, beside=steps))
    return found


def headline_rewriter(results: Results, checkpoint: int | None) -> str | None:
    """The trained policy, of the step judged if it is there by itself, else the rewriter that evades most."""
    evading = {
        r.label: point.attack_success_rate.value
        for r in results.rewriters
        if r.label != CLEAN
        and (point := results.point(r.label, COMBINED, results.about.target_fpr))
        and point.attack_success_rate.value is not None
    }
    policies = [r.label for r in results.rewriters if r.name == POLICY and r.label in evading]
    if policies:
        return next((label for label in (f"{POLICY}@{checkpoint}", POLICY) if label in policies), policies[0])
    return max(evading, key=lambda label: evading[label] or 0.0, default=None)


def _measured(results: Results, checkpoint: int | None) -> list[KeyFigure]:
    found, target = [], results.about.target_fpr
    rewriter = headline_rewriter(results, checkpoint)
    if rewriter is not None and (point := results.point(rewriter, COMBINED, target)):
        success = point.attack_success_rate
        found.append(
            KeyFigure(
                name=f"Attack success of {rewriter}",
                value=figures.share(success.value),
                beside=_joined(
                    _interval(figures.share_interval(success)),
                    f"of {success.n} AI texts the ensemble flagged, the share it no longer flags",
                ),
            )
        )
        found.append(
            KeyFigure(
                name="AI texts flagged",
                value=f"{figures.share(point.tpr_before.value)} → {figures.share(point.tpr_after.value)}",
                beside=f"by the ensemble, before and after the rewrite; it aims to flag {figures.share(target)} of "
                "human texts",
            )
        )
        if (meaning := results.mean_quality(rewriter, SIMILARITY)) and meaning.estimate.value is not None:
            beside = _joined(
                _interval(figures.number_interval(meaning.estimate)), "similarity to the source, at most 1"
            )
            found.append(
                KeyFigure(name="Meaning kept", value=figures.number(meaning.estimate.value), beside=beside)
            )
    for rate in groups.at_target(results):
        if (rate.rewriter, rate.detector, rate.group, rate.words) == (CLEAN, COMBINED, EVERYBODY, None):
            beside = _joined(
                _interval(figures.share_interval(rate.rate)),
                f"of {rate.rate.n} human texts, aimed at {figures.share(target)}",
            )
            found.append(
                KeyFigure(name="Humans falsely flagged", value=figures.share(rate.rate.value), beside=beside)
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
        found.append((name.replace("_", " "), lines or [figures.NOTHING]))
    return found


def _plain(value: Any) -> str:
    if value is None:
        return figures.NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
