"""The section on quality says what the metrics say, publishes the judge's prompt, and its figures repeat.

``PRL_WRITE_DOCS=1 pytest tests/docs`` writes its table again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from paraphrase_rl_plugins.metrics.judge import PROMPT
from paraphrase_rl_plugins.metrics.length import length_ratio
from paraphrase_rl_plugins.metrics.names import names_added, names_kept
from paraphrase_rl_plugins.metrics.negations import negations_kept
from paraphrase_rl_plugins.metrics.numbers import numbers_kept

from paraphrase_rl.evaluation.quality import ROLES
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import MetricSpec
from paraphrase_rl.types import FloatArray

FILE = Path(__file__).parents[2] / "docs" / "evaluation.md"
PAGE = FILE.read_text(encoding="utf-8")
PART = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- /metrics -->)", re.DOTALL)
SECTION = PAGE.partition("\n## Quality\n")[2].partition("\n## ")[0]


def row(metric: MetricSpec) -> str:
    low, high = metric.range
    interval = f"[{low:g}, ∞)" if np.isinf(high) else f"[{low:g}, {high:g}]"
    cells = (
        f"`{metric.name.replace('-', '_')}`",
        metric.role,
        metric.summary,
        metric.better or "",
        interval,
        metric.needs,
    )
    return f"| {' | '.join(cells)} |"


def table() -> str:
    specs = [e.spec for e in default_registry().entries("metrics") if e.plugin.bundled]
    metrics = [spec for spec in specs if isinstance(spec, MetricSpec)]
    rows = [row(metric) for metric in sorted(metrics, key=lambda metric: ROLES.index(metric.role))]
    return "\n".join(
        ["| metric | role | what it is | better | range | needs |", "|---|---|---|---|---|---|", *rows, ""]
    )


def test_the_table_is_what_the_specs_say() -> None:
    if os.environ.get("PRL_WRITE_DOCS"):
        FILE.write_text(PART.sub(lambda _: table(), PAGE), encoding="utf-8")
        return
    found = PART.search(PAGE)
    assert found is not None
    assert found[0] == table(), "make docs writes it again"


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
    measures = (numbers_kept, names_kept, negations_kept, names_added, length_ratio)
    table = [line.split("|") for line in SECTION.splitlines() if "essays" in line and line.startswith("| ")]
    for cells, (sources, rewrites) in zip(table, pairs, strict=True):
        assert cells[1].strip().endswith(f"({len(sources)})")
        for cell, measure in zip(cells[3:], measures, strict=False):
            values: FloatArray = np.array([measure(a, b) for a, b in zip(sources, rewrites, strict=True)])
            assert cell.strip() == f"{np.nanmean(values):.2f}"
