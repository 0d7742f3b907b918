"""The section on quality says what the metrics say, publishes the judge's prompt, and its figures repeat."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paraphrase_rl.evaluation import quality_facts as facts
from paraphrase_rl.evaluation.quality import METRICS, Metric
from paraphrase_rl.evaluation.quality_judge import PROMPT
from paraphrase_rl.evaluation.quality_text import length_ratio
from paraphrase_rl.types import FloatArray

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Quality\n")[2].partition("\n## ")[0]


def row(metric: Metric) -> str:
    low, high = metric.range
    interval = f"[{low:g}, ∞)" if np.isinf(high) else f"[{low:g}, {high:g}]"
    return f"| `{metric.name}` | {metric.summary} | {metric.better or ''} | {interval} | {metric.needs} |"


def test_every_metric_has_its_row() -> None:
    rows = [line for line in SECTION.splitlines() if line.startswith("| `")]
    assert rows == [row(metric) for metric in METRICS.values()]


def test_the_judges_prompt_is_published() -> None:
    assert f"\n```text\n{PROMPT}\n```\n" in SECTION


def essays(folder: Path) -> list[str]:
    return [entry["document"] for entry in json.loads((folder / "data.json").read_text(encoding="utf-8"))]


def test_the_figures_on_essays_repeat(shared_data: Path) -> None:
    human = shared_data / "liang" / "Human_Data"
    if not human.is_dir():
        pytest.skip("../shared/data/liang is not here")
    toefl, students = essays(human / "TOEFL_real_91"), essays(human / "HewlettStudentEssay_real_88")
    pairs = [
        (toefl, essays(human / "TOEFL_gpt4polished_91")),
        (students, essays(human / "HewlettStudentEssay_GPTsimplify_88")),
        (students, [*students[1:], students[0]]),
    ]
    measures = (facts.numbers_kept, facts.names_kept, facts.negations_kept, facts.names_added, length_ratio)
    table = [line.split("|") for line in SECTION.splitlines() if "essays" in line and line.startswith("| ")]
    for cells, (sources, rewrites) in zip(table, pairs, strict=True):
        assert cells[1].strip().endswith(f"({len(sources)})")
        for cell, measure in zip(cells[3:], measures, strict=False):
            values: FloatArray = np.array([measure(a, b) for a, b in zip(sources, rewrites, strict=True)])
            assert cell.strip() == f"{np.nanmean(values):.2f}"
