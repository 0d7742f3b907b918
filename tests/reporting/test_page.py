"""The page as a document: whole on whatever there is, closed to hostile texts, and referring to nothing outside."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from paraphrase_rl.data.spread import spread
from paraphrase_rl.errors import EvaluationError, RunError
from paraphrase_rl.evaluation.results import ORIGINAL, DetectorInfo, EscapeDepth, Quality, RewriterInfo
from paraphrase_rl.files import read_jsonl, write_jsonl
from paraphrase_rl.reporting.fairness_charts import gaps, rates_by_group
from paraphrase_rl.reporting.formatting import number, points, share
from paraphrase_rl.reporting.heat_map import heat_map
from paraphrase_rl.reporting.inputs import read_inputs
from paraphrase_rl.reporting.page import headline_rewriter, render_page
from paraphrase_rl.reporting.quality_table import QualityRow
from paraphrase_rl.reporting.samples import MOST_CHARACTERS, MOST_DOCUMENTS, sample_browser
from paraphrase_rl.reporting.terms import CRITERIA
from paraphrase_rl.reporting.training_curves import SHOWN_STEPS
from paraphrase_rl.statistics.records import Estimate
from tests.reporting import cases

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Document(HTMLParser):
    """Tags with their attributes, and the text; refuses tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(folder: Path, evaluation: Path | None = None) -> Document:
    html = render_page(read_inputs(folder, evaluation))
    html.encode("utf-8")
    return Document(html)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return cases.write_run(tmp_path / "run")


@pytest.fixture
def full(run: Path) -> Path:
    cases.write_evaluation(run / "evaluation")
    return run


SECTIONS = [
    "verdict",
    "detectors",
    "scores",
    "meaning",
    "fairness",
    "training",
    "samples",
    "recipe",
    "provenance",
]


def check_document(document: Document) -> None:
    """What holds for every page."""
    ids = [a["id"] for _, a in document.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert [a["id"] for a in document.all("section")] == SECTIONS
    links = [a["href"] for a in document.all("a")]
    assert links
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    levels = [int(tag[1]) for tag, _ in document.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert len(document.all("caption")) == len(document.all("table"))
    assert all(a.get("scope") in ("col", "row", "colgroup") for a in document.all("th"))
    assert all(a.get("role") == "img" and "aria-labelledby" in a for a in document.all("svg"))
    assert all(
        {"aria-label", "tabindex"} <= set(a) for a in document.all("div") if a.get("class") == "scroll"
    )
    for word in ("nan", "None", "undefined", "Undefined", "Estimate("):
        assert not re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", document.text), word


def check_closed(document: Document) -> None:
    """Nothing is fetched, and no text brought a tag or a handler."""
    for tag, attributes in document.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            assert attributes.get(name, "#")[0] == "#" or attributes[name] == "data:,", (tag, attributes)
    assert len(document.all("script")) == len(document.all("style")) == 1
    assert not document.all("img")


def test_a_whole_report(full: Path) -> None:
    document = page(full)
    check_document(document)
    check_closed(document)
    assert "Not accepted" in document.text
    assert "Not measured" not in document.text


def test_styles_and_scripts_fetch_nothing() -> None:
    folder = Path(cases.__file__).parents[2] / "paraphrase_rl" / "reporting"
    for name in ("report.css", "report.js"):
        text = (folder / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch|XMLHttp|innerHTML|eval\(", text), name


def test_hostile_texts_stay_texts(run: Path) -> None:
    name = "x<script>\u202e"
    label = "\"'><b onclick=x>"
    results = cases.results(
        detectors=(
            DetectorInfo(name=name, family=name, trained_against=True, failure=cases.HOSTILE),
            *cases.DETECTORS,
        ),
        rewriters=(*cases.results().rewriters, RewriterInfo(label=label, name=name, failure=cases.HOSTILE)),
    )
    cases.write_evaluation(run / "evaluation", results, hostile=True)
    (run / "manifest.json").write_text(json.dumps({cases.HOSTILE: [cases.HOSTILE, {"a": cases.HOSTILE}]}))
    document = page(run)
    check_document(document)
    check_closed(document)
    assert '<script>alert("x")</script>' in document.text
    assert "{{ 7 * 7 }}" in document.text
    assert not set(document.text) & set("\x00\x1b\u202e\u202c\u200b")
    assert "U+202E" in document.text


def test_policy_of_the_page_allows_only_its_own_style_and_script(full: Path) -> None:
    policy = next(a["content"] for a in page(full).all("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


def test_a_run_without_evaluation_names_the_command(run: Path) -> None:
    document = page(run)
    check_document(document)
    assert f"prl evaluate {run}" in document.text
    assert "8 of 8 held-out prompts of the training" in document.text
    assert document.text.count("policy, step 12") >= 8


def test_an_evaluation_without_a_run(tmp_path: Path) -> None:
    document = page(cases.write_evaluation(tmp_path / "evaluation"))
    check_document(document)
    assert "An evaluation without a run" in document.text
    assert "prl evaluate RUN" not in document.text
    assert "prl report RUN" not in document.text
    assert "prl validate RUN" in document.text


def test_an_evaluation_that_lies_elsewhere(run: Path, tmp_path: Path) -> None:
    elsewhere = cases.write_evaluation(tmp_path / "elsewhere")
    assert "80% → 20%" in page(run, elsewhere).text


def test_a_warm_up_has_its_curve_its_pairs_and_what_it_changed(run: Path) -> None:
    before = page(run)
    assert "Warm-up" not in before.text
    cases.write_warm_up(run)
    document = page(run)
    check_document(document)
    check_closed(document)
    assert "12 of 20 pairs were kept; left out: 5 by format, 3 by <b>." in document.text
    assert "warmup_loss by step of the warm-up. First 2.500, last 2.000." in document.text
    assert len(document.all("svg")) == len(before.all("svg")) + 1
    rows = re.findall(r"<tr><th scope=\"row\">(\w+)</th>" + r"<td class=\"figure\">([^<]+)</td>" * 2 + "</tr>",
                      render_page(read_inputs(run)))  # fmt: skip
    assert rows == [
        ("reward_mean", "0.400", "0.550"),
        ("detector_reward", "0.400", "0.900"),
        ("semantic_reward", "0.600", "0.500"),
        ("format_rate", "0.900", "–"),
    ]


def test_a_run_that_ended_in_its_warm_up_shows_how_far_it_came(run: Path) -> None:
    cases.write_warm_up(run, losses=(2.5,), evaluated=False)
    for name in ("metrics", "evaluations", "samples"):
        write_jsonl(run / f"{name}.jsonl", [])
    document = page(run)
    check_document(document)
    assert "First 2.500, last 2.500." in document.text
    assert "before the warm-up and after it" not in document.text
    assert "Curves of a training run" in document.text
    (run / "warmup.jsonl").unlink()  # stopped before its first step
    document = page(run)
    check_document(document)
    assert "12 of 20 pairs were kept" in document.text
    assert "warmup_loss" not in document.text


def test_a_long_warm_up_is_averaged(run: Path) -> None:
    losses = tuple(3.0 - i / 1000 for i in range(SHOWN_STEPS + 1))
    cases.write_warm_up(run, losses=losses)
    assert "Each dot is the mean of 2 steps." in page(run).text


def test_one_step_and_unknown_values(run: Path) -> None:
    row = cases.metrics_row(1, reward_std=None, kl_reference=None)
    write_jsonl(run / "metrics.jsonl", [row])
    document = page(run)
    check_document(document)
    write_jsonl(run / "metrics.jsonl", [])
    for name in ("evaluations", "samples", "events"):
        (run / f"{name}.jsonl").unlink()
    (run / "manifest.json").unlink()
    document = page(run)
    check_document(document)
    assert "Curves of a training run" in document.text


@pytest.mark.parametrize(
    "changes",
    [
        {"cells": ()},
        {"quality": (), "transfer": ()},
        {"false_positives": (), "fairness": ()},
        {"detectors": (), "cells": ()},
        {"rewriters": (), "cells": (), "quality": ()},
        {
            "cells": tuple(
                c.model_copy(update={"points": (), "failure": "gone"}) for c in cases.results().cells
            )
        },
    ],
)
def test_missing_tables(run: Path, changes: dict[str, Any]) -> None:
    cases.write_evaluation(run / "evaluation", cases.results(**changes))
    document = page(run)
    check_document(document)


def test_an_evaluation_of_tables_alone(full: Path) -> None:
    for name in ("documents", "rewrites", "scores"):
        (full / "evaluation" / f"{name}.jsonl").unlink()
    document = page(full)
    check_document(document)
    assert "Scores of single texts." in document.text


def test_a_recipe_that_no_longer_loads_leaves_the_page(full: Path) -> None:
    (full / "recipe.yaml").write_text("modell: x  # default\n")
    document = page(full)
    check_document(document)
    assert "No verdict" in document.text


def test_recipe_keys_with_their_origins(run: Path) -> None:
    keys = {key.key: (key.value, key.origin) for key in read_inputs(run).recipe}
    assert keys["training.learning_rate"] == ("0.0006", "file configs/quickstart.yaml:12")
    assert keys["rewards.fluency.weight"] == ("null", "default")
    assert keys["prompt.instruction"] == ('"Rewrite: keep # of facts"', "default")
    assert keys["training.max_steps"] == ("12", "--set")


@pytest.mark.parametrize("characters", [3, MOST_CHARACTERS // 50])
def test_samples_are_capped_and_from_all_over_the_set(full: Path, characters: int) -> None:
    folder = full / "evaluation"
    documents = [
        {
            "id": f"ai-{i}",
            "text": "a" * characters,
            "label": "ai",
            "group": None,
            "domain": None,
            "pair": None,
        }
        for i in range(100)
    ]
    write_jsonl(folder / "documents.jsonl", documents)
    write_jsonl(
        folder / "rewrites.jsonl",
        [
            {"rewriter": "policy", "id": d["id"], "sample": s, "text": f"{s}", "finished": True}
            for d in documents
            for s in (0, 1)
        ],
    )
    found = sample_browser(read_inputs(full))
    assert found is not None
    shown = len(found.samples)
    assert found.total == 100
    assert shown == MOST_DOCUMENTS if characters == 3 else 5 < shown < MOST_DOCUMENTS
    assert [s.id for s in found.samples] == [f"ai-{i}" for i in spread(range(100), shown)]
    assert all("<ins>0</ins>" in s.rewrites[0].text for s in found.samples)
    assert f"{shown} of 100 texts" in page(full).text


def test_flags_of_a_sample_are_strictly_above_the_threshold(full: Path) -> None:
    scores = read_jsonl(full / "evaluation" / "scores.jsonl")
    for row in scores:
        if (row["id"], row["rewriter"], row["detector"]) == ("ai-0", "policy", "tfidf"):
            row["score"] = 0.0
    write_jsonl(full / "evaluation" / "scores.jsonl", scores)
    found = sample_browser(read_inputs(full))
    assert found is not None
    policy = next(r for r in found.samples[0].rewrites if r.rewriter == "policy")
    assert next(j.change for j in policy.score_changes if j.detector == "tfidf") == "evaded"


def test_damaged_or_missing_input_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither a run nor an evaluation"):
        read_inputs(tmp_path)
    with pytest.raises(EvaluationError, match="holds no evaluation"):
        read_inputs(run, tmp_path / "nowhere")


def test_the_saved_verdict_serves_until_its_files_change(full: Path) -> None:
    from paraphrase_rl.acceptance.verdict import validate_run

    decided = validate_run(full)
    kept = decided.model_copy(update={"checkpoint": 7})
    kept.write(full)
    assert read_inputs(full).verdict == kept
    later = (full / "verdict.json").stat().st_mtime + 1  # a clock of files may be coarse
    os.utime(full / "metrics.jsonl", (later, later))
    assert read_inputs(full).verdict == decided


def test_the_policy_of_the_verdicts_step_is_in_the_headline() -> None:
    labels = ("policy@6", "policy", "policy@9")
    results = cases.results(
        rewriters=tuple(
            RewriterInfo(
                label=label,
                name="policy",
                options={"checkpoint": int(label[7:])} if "@" in label else {},
                of_run=True,
            )
            for label in labels
        ),
        cells=tuple(cases.cell(label, "ensemble", 0.5) for label in labels),
    )
    assert headline_rewriter(results, 9) == "policy@9"
    assert headline_rewriter(results, 12) == "policy"
    assert (
        headline_rewriter(cases.results(rewriters=(RewriterInfo(label="homoglyph", name="homoglyph"),)), 12)
        == "homoglyph"
    )


def test_checkpoints_the_best_was_chosen_from(full: Path) -> None:
    from paraphrase_rl.acceptance.checkpoint_choice import Candidate
    from paraphrase_rl.acceptance.verdict import validate_run

    one = Candidate(step=6, evasion=0.4, similarity=None, source="evaluation", on_front=True, chosen=True)
    validate_run(full).model_copy(update={"candidates": (one,)}).write(full)
    document = page(full)
    check_document(document)
    assert "6, chosen" in document.text


def test_groups_from_another_evaluation(full: Path, tmp_path: Path) -> None:
    from paraphrase_rl.acceptance.verdict import validate_run

    about = cases.results().about.model_copy(
        update={"source": "essays", "digest": "other", "human_texts": 77}
    )
    elsewhere = cases.write_evaluation(tmp_path / "essays", cases.results(about=about))
    validate_run(full).model_copy(update={"fairness": str(elsewhere)}).write(full)
    assert "77 of essays" in page(full).text
    for file in elsewhere.iterdir():
        file.unlink()
    assert "77 of essays" not in page(full).text


def test_the_headline_names_the_criteria_that_decide(full: Path) -> None:
    from paraphrase_rl.acceptance.verdict import validate_run

    verdict = validate_run(full)
    failed = [line.criterion.replace("_", " ") for line in verdict.lines if line.verdict == "fail"]
    assert failed
    many = f"{len(failed)} of {len(verdict.lines)} criteria failed: {', '.join(failed)}."
    assert many in page(full).text


def test_every_criterion_is_said_in_plain_words(full: Path) -> None:
    from paraphrase_rl.acceptance.verdict import validate_run

    assert [line.criterion for line in validate_run(full).lines] == list(CRITERIA)


def test_detectors_that_see_nothing_before_the_attack_are_named() -> None:
    clean = cases.cell(ORIGINAL, "log-rank", 0.8)
    weak = tuple(
        p.model_copy(update={"tpr_before": cases.estimate(0.08), "tpr_after": cases.estimate(0.08)})
        for p in clean.points
    )
    cells = tuple(
        c.model_copy(update={"points": weak}) if (c.rewriter, c.detector) == (ORIGINAL, "log-rank") else c
        for c in cases.results().cells
    )
    assert heat_map(cases.results(cells=cells)).without_power == ["log-rank"]
    assert heat_map(cases.results()).without_power == []
    assert heat_map(cases.results(rewriters=())).without_power == []


def test_a_metric_says_on_how_many_texts_it_rests(full: Path) -> None:
    def row(*counts: int) -> QualityRow:
        found = [
            Quality(rewriter="policy", metric="numbers_kept", estimate=cases.estimate(0.5, n=n))
            for n in counts
        ]
        return QualityRow(metric="numbers_kept", summary="", better="higher", found=[*found, None])

    assert row(8, 8).fewer(8) == ""
    assert row(3, 3).fewer(8) == "3"
    assert row(8, 3).fewer(8) == "3–8"
    quality = (
        Quality(rewriter="policy", metric="numbers_kept", estimate=cases.estimate(0.5, n=3), failed=2),
    )
    cases.write_evaluation(full / "evaluation", cases.results(quality=quality))
    text = page(full).text
    assert "on 3 of 8 texts" in text
    assert "2 failed" in text


def test_deep_escapes_are_a_table_of_the_halves_and_their_change(run: Path) -> None:
    halves = EscapeDepth(
        rewriter="policy",
        detector="ensemble",
        metric="semantic_similarity",
        at=cases.estimate(0.88, 0.02, 9),
        beyond=cases.estimate(0.75, 0.02, 8),
        change=Estimate(value=-0.13, low=-0.2, high=-0.06, n=17),
    )
    unknown = halves.model_copy(update={"metric": "numbers_kept", "change": cases.estimate(None)})
    cases.write_evaluation(run / "evaluation", cases.results(escapes=(halves, unknown)))
    document = page(run)
    check_document(document)
    caption = document.text.index("The rewrites that evade the ensemble, in two halves by their score")
    table = document.text[caption : document.text.index("False positives by group", caption)]
    shown = [table.index(text) for text in ("policy", "semantic similarity", "17", "0.88", "0.75", "−0.13")]
    assert shown == sorted(shown)
    assert "numbers kept" not in table, "nothing is known of its change"


def test_why_nothing_is_drawn_where_the_ensemble_failed(full: Path) -> None:
    results = cases.results()
    detectors = tuple(
        d.model_copy(update={"failure": "run `prl calibrate`"}) if d.name == "ensemble" else d
        for d in results.detectors
    )
    cells = tuple(c for c in results.cells if c.detector != "ensemble")
    cases.write_evaluation(full / "evaluation", cases.results(detectors=detectors, cells=cells))
    html = render_page(read_inputs(full))
    assert "similarity: run <code>prl calibrate</code>." in html


def test_one_chart_of_false_positives_where_no_groups_are_named() -> None:
    results = cases.results()
    everybody = tuple(r for r in results.false_positives if r.group == "all")
    assert [f.name for f in rates_by_group(cases.results(false_positives=everybody))] == ["All human texts"]
    assert len(rates_by_group(results)) == 4


def test_the_gap_that_is_missing_names_both_commands(full: Path) -> None:
    cases.write_evaluation(full / "evaluation", cases.results(fairness=()))
    assert f"prl validate {full} --fairness DIR" in page(full).text


def test_gaps_are_those_of_the_verdicts_threshold_with_the_ensemble_first() -> None:
    (gap,) = cases.results().fairness
    found = gaps(
        cases.results(
            fairness=(
                gap.model_copy(update={"detector": "log-rank"}),
                gap.model_copy(update={"target_fpr": 0.01}),
                gap,
            )
        )
    )
    assert [(g.detector, g.target_fpr) for g in found] == [("ensemble", 0.05), ("log-rank", 0.05)]


def test_no_gap_has_no_sign() -> None:
    assert points(Estimate(value=0.0, low=-0.1, high=-0.00001, n=9)) == "0 (−10.0 to 0)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.5, "0.500"),
        (-2.25, "−2.250"),
        (123.456, "123.5"),
        (1e-6, "1e−06"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value: float | None, expected: str) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0%"), (1.0, "100%"), (0.05, "5%"), (0.054, "5.4%"), (0.626, "63%"), (None, "–")],
)
def test_shares(value: float | None, expected: str) -> None:
    assert share(value) == expected
