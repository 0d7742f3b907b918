"""The summary of a run, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import append_jsonl, dumps
from paraphrase_rl.runs.summary import paragraph, summarise
from paraphrase_rl.tables import record


def evaluation(step: int, mean: float, prompts: dict[str, float | None], **metrics: float | None) -> dict:
    return {"step": step, "metrics": {"reward_mean": mean, **metrics}, "prompts": prompts}


def sample(step: int, name: str, total: float | None, kind: str = "evaluation") -> dict:
    terms = {"format": 1.0, "fluency": None}
    return {
        "step": step, "kind": kind, "id": name, "source": f"S {name}", "rewrite": f"R\n{name}", "total": total,
        "terms": terms, "details": {"detector_p_toy": 0.25, "detector_p_mute": None, "format_length": 1.0},
    }  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    before = {"a": 0.1, "b": 0.2, "c": 0.4, "d": None}
    after = {"a": 0.3, "b": 0.2, "c": 0.5, "d": 0.9}
    for row in (
        evaluation(0, 0.25, before, semantic_reward=0.9, format_rate=0.5, perplexity=12.0),
        evaluation(5, 0.3, before, semantic_reward=0.8, format_rate=0.6),
        evaluation(9, 0.35, after, semantic_reward=None, format_rate=1.0),
    ):
        append_jsonl(tmp_path / "evaluations.jsonl", row)
    for row in (
        sample(0, "early", 0.99),
        sample(9, "training", 0.99, "training"),
        sample(9, "failed", None),
        *[sample(9, f"n{i}", i / 10) for i in range(8)],
    ):
        append_jsonl(tmp_path / "samples.jsonl", row)
    terms = [{"name": "detector-evasion", "role": "evasion", "metric": "detector_reward"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"rewards": terms}))
    return tmp_path


def test_numbers(run: Path) -> None:
    found = summarise(run)
    # changes of the prompts known twice: 0.2, 0.0, 0.1
    assert found.gain == pytest.approx(0.1)
    assert found.gain_se == pytest.approx(0.1 / math.sqrt(3))
    assert (found.first_step, found.last_step, found.prompts) == (0, 9, 3)
    rows = {row.term: (row.before, row.after, row.change) for row in found.rows}
    assert list(rows) == ["reward_mean", "format_rate", "semantic_reward"]
    assert rows["reward_mean"] == (0.25, 0.35, pytest.approx(0.1))
    assert rows["semantic_reward"] == (0.9, None, None)


def test_samples_are_of_the_last_evaluation_across_the_range(run: Path) -> None:
    assert [row["id"] for row in summarise(run).samples] == ["n2", "n4", "n7"]


def test_text_and_json(run: Path) -> None:
    found = summarise(run)
    text = found.text(run)
    assert "+0.100 (standard error of the change 0.058)" in text
    assert "after (step 9)" in text
    assert "nan" not in text
    assert "rewrite  R\\nn7" in text
    assert "P(AI) of the rewrite: toy 0.25\n" in text
    assert text.endswith(f"run directory: {run}")
    json.loads(dumps({**found.meta(run), "rows": [record(row) for row in found.rows]}))
    assert "reward_mean" in repr(found)


def test_one_evaluation_has_no_after(run: Path) -> None:
    lines = (run / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (run / "evaluations.jsonl").write_text(lines[0])
    found = summarise(run)
    assert {(row.after, row.change) for row in found.rows} == {(None, None)}
    assert math.isnan(found.gain)
    text = found.text(run)
    assert "no change to show yet" in text
    assert "after" not in text
    assert "nan" not in text


def test_nothing_evaluated(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no evaluation"):
        summarise(tmp_path)


def test_line_breaks_of_a_rewrite_are_seen_and_quotes_are_as_written() -> None:
    assert paragraph("source", 'all "necessary"\nmeasures') == '  source  all "necessary"\\nmeasures'
