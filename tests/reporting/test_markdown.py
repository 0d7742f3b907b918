"""The form for pull requests: short, and tables that GitHub reads as tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from paraphrase_rl.evaluation.results import DetectorInfo, MetricInfo, Quality, RewriterInfo
from paraphrase_rl.reporting.inputs import read_inputs
from paraphrase_rl.reporting.markdown import markdown_summary
from tests.reporting import cases


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return cases.write_run(tmp_path / "run")


def tables(text: str) -> list[list[list[str]]]:
    """Cells of every table, row by row."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level > 2:
            found[-1][-1].append(token.content)
    return found


def test_verdict_cells_quality_and_fairness(run: Path) -> None:
    cases.write_evaluation(run / "evaluation")
    text = markdown_summary(read_inputs(run))
    verdict, cells, quality, fairness = tables(text)
    assert verdict[1] == ["attack success rate", "✅ pass", "0.750 (0.650 to 0.850)", "≥ 0.6"]
    assert cells[3] == ["policy", "20%", "20%", "20%", "20%", "failed"]
    assert quality[2] == ["policy", "0.860", "0.750", "–"]
    assert fairness[3] == ["non-native", "4", "22%", "18–26%"]
    assert "| --- | --- | --: | --: |" in text
    assert "8 texts of starter" in text
    assert "**Human texts of starter flagged by the ensemble**" in text
    assert "Failed: homoglyph × ensemble (1 of 8)" in text
    assert "non-native − native: +19.0 (+2.0 to +40.0)" in text


def test_a_run_without_evaluation(run: Path) -> None:
    text = markdown_summary(read_inputs(run))
    assert len(tables(text)) == 1
    assert f"`prl evaluate {run}`" in text


def test_an_evaluation_alone(tmp_path: Path) -> None:
    text = markdown_summary(read_inputs(cases.write_evaluation(tmp_path / "evaluation")))
    assert "No verdict" in text
    assert len(tables(text)) == 3


def test_at_most_sixty_lines_whatever_was_measured(run: Path) -> None:
    results = cases.results()
    many = results.model_copy(
        update={
            "rewriters": (
                *results.rewriters,
                *(RewriterInfo(label=f"r{i}", name="x", failure="f") for i in range(40)),
            ),
            "detectors": (
                *results.detectors,
                *(DetectorInfo(name=f"d{i}", family="x", trained_against=False) for i in range(40)),
            ),
            "quality": tuple(
                q.model_copy(update={"rewriter": f"r{i}"}) for i in range(40) for q in results.quality
            ),
            "false_positives": tuple(
                f.model_copy(update={"group": f"g{i}"}) for i in range(40) for f in results.false_positives
            ),
            "fairness": results.fairness * 40,
        }
    )
    cases.write_evaluation(run / "evaluation", many)
    text = markdown_summary(read_inputs(run))
    assert len(text.splitlines()) <= 60
    assert "more rows" in text


def test_metrics_stand_in_their_order_and_counts_of_what_was_added_last(run: Path) -> None:
    better = {
        "names_added": "lower",
        "semantic_similarity": "higher",
        **{f"other_{i}": None for i in range(6)},
    }
    metrics = tuple(MetricInfo(name=n, role="other", summary="s", better=b) for n, b in better.items())
    quality = tuple(
        Quality(rewriter="policy", metric=name, estimate=cases.estimate(0.5, 0.1)) for name in better
    )
    cases.write_evaluation(run / "evaluation", cases.results(metrics=metrics, quality=quality))
    head = tables(markdown_summary(read_inputs(run)))[2][0]
    assert head[1:3] == ["semantic similarity", "other 0"]
    assert head[-1] == "names added"


def test_names_cannot_break_a_table(run: Path) -> None:
    label = "a|b`c\n<script>*"
    cases.write_evaluation(
        run / "evaluation", cases.results(rewriters=(RewriterInfo(label=label, name="x", failure="f"),))
    )
    text = markdown_summary(read_inputs(run))
    cells = tables(text)[1]
    assert all(len(row) == 6 for row in cells)
    assert "<script>" not in text
