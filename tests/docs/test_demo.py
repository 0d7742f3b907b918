"""What the demo ends with, and the page that is written of it, on runs and results written by hand."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paraphrase_rl.evaluation.results import ORIGINAL, Results
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.recipe.loading import load_recipe
from tests import demo
from tests.benchmarks import bench_demo
from tests.demo import AGAINST, HELD_OUT, REWRITER, TEXTS, Rewritten, chosen, ending, evading
from tests.reporting import cases

ROOT = Path(__file__).resolve().parents[2]


def found() -> Results:
    """Results of the demo's rewriter; the threshold of both detectors is 0."""
    cells = (cases.cell(REWRITER, AGAINST, 0.4), cases.cell(REWRITER, HELD_OUT, 0.1))
    return cases.results(cells=cells)


def one(kept: float = 1.0, added: int = 0, similarity: float = 0.9) -> Rewritten:
    return Rewritten(source="s", rewrite="r", similarity=similarity, kept=kept, added=added)


def write_evaluation(folder: Path) -> Path:
    """Eight texts, of which the rewrites of the first two evade whole; each other lacks one thing."""
    folder.mkdir(parents=True)
    quality = {
        "semantic_similarity": 0.9,
        "format": 1.0,
        "numbers_kept": 1.0,
        "names_kept": 1.0,
        "negations_kept": None,
        "numbers_added": 0.0,
        "names_added": 0.0,
        "negations_added": 0.0,
    }
    lacking = [
        ({}, 1.0, -1.0),
        ({"names_kept": 0.5, "names_added": 2.0}, 1.0, 0.0),  # a score at the threshold is not flagged
        ({}, 1.0, 0.1),  # still flagged
        ({}, -0.1, -1.0),  # was not flagged before
        ({"format": 0.0}, 1.0, -1.0),
        ({"semantic_similarity": 0.79}, 1.0, -1.0),
        ({"numbers_kept": None, "names_kept": None}, 1.0, -1.0),  # no facts to keep
        ({}, 1.0, None),  # no score
    ]
    documents, rewrites, scores, measured = [], [], [], []
    for i, (changes, before, after) in enumerate(lacking):
        key = {"rewriter": REWRITER, "id": f"ai-{i}", "sample": 0}
        failed = {"failure": {"kind": "too-short", "message": "too short"}}
        documents.append({"id": f"ai-{i}", "text": f"Source {i}."})
        rewrites.append({**key, "text": f"Rewrite {i}.", "finished": True})
        measured.append({**key, "metrics": quality | changes})
        for detector in (AGAINST, HELD_OUT):
            other = -5.0 if detector == HELD_OUT else 0.0  # by it none would be flagged
            scores.append({**key, "detector": detector, "rewriter": ORIGINAL, "score": before + other})
            scored = failed if after is None else {"score": after + other}
            scores.append({**key, "detector": detector, **scored})
    rewrites.append({**rewrites[0], "rewriter": "policy", "text": "Of another rewriter."})
    measured.append({**measured[0], "rewriter": "policy"})
    for name, rows in (
        ("documents", documents), ("rewrites", rewrites), ("scores", scores), ("quality", measured)
    ):  # fmt: skip
        write_jsonl(folder / f"{name}.jsonl", rows)
    found().write(folder)
    return folder


def test_only_whole_evasions_are_shown(tmp_path: Path) -> None:
    rows = evading(found(), write_evaluation(tmp_path / "evaluation"))
    assert [(row.source, row.rewrite, row.kept, row.added) for row in rows] == [
        ("Source 0.", "Rewrite 0.", 1.0, 0),
        ("Source 1.", "Rewrite 1.", 0.75, 2),
    ]


@pytest.mark.parametrize(
    ("whole", "expected"),
    [(3, [0, 1, 2]), (4, [1, 2, 3]), (5, [2, 3, 4]), (7, [3, 4, 6]), (11, [5, 7, 10])],
)
def test_shown_are_the_median_one_between_and_the_best(whole: int, expected: list[int]) -> None:
    rows = [one(similarity=0.8 + i / 100) for i in range(whole)]
    lossy = [one(kept=0.9, similarity=0.99), one(added=1, similarity=0.99)]
    rule, shown = chosen([*lossy, *rows[::-1]])
    assert shown == [rows[i] for i in expected]
    assert f": {whole + 2}. Of these, {whole} keep all facts and add none" in rule
    assert ("the median" in rule) == (whole > 3), "of three the first is the least similar"


def test_where_few_keep_everything_the_most_faithful_are_shown() -> None:
    rows = [one(kept=0.5), one(added=2), one(added=1, similarity=0.81), one(added=1, similarity=0.95), one()]
    rule, shown = chosen(rows)
    assert shown == [rows[4], rows[3], rows[2]]
    assert rule.endswith("those that keep most facts and add fewest:")
    assert chosen([])[0].startswith("There is no complete rewrite that tfidf does not flag")
    assert chosen(rows[:1])[1] == rows[:1]


def test_the_end_has_the_shares_with_intervals_then_the_rewrites(tmp_path: Path) -> None:
    text = ending(found(), write_evaluation(tmp_path / "evaluation"))
    assert re.search(r"^tfidf +trained against +0\.80 \[0\.70, 0\.90\] +0\.40 \[0\.30, 0\.50\]$", text, re.M)
    assert re.search(r"^function-words +held out +0\.80 \[0\.70, 0\.90\] +0\.10 ", text, re.M)
    assert text.index("function-words") < text.index("  source  Source 0.\n rewrite  Rewrite 0.\n")
    assert text.endswith(" rewrite  Rewrite 1.\n          similarity 0.90; facts kept 75%, added 2")
    assert max(map(len, text.splitlines())) <= 100


def test_make_demo_takes_as_many_steps_and_texts_as_the_page() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"^demo: TEXTS = (\d+)$", makefile, re.M) == [str(TEXTS)]
    steps = load_recipe("demo").recipe.training.max_steps
    assert re.findall(r"^demo: STEPS = (\d+)$", makefile, re.M) == [str(steps)]
    assert f"(STEPS={steps} SEED=0 SET=)" in makefile
    assert f" {steps} steps of " in " ".join((ROOT / "docs" / "demo.md").read_text(encoding="utf-8").split())


def test_what_is_evaluated_is_what_the_end_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    run = SimpleNamespace(recipe=load_recipe("demo").recipe)
    monkeypatch.setattr(demo.prl, "Run", lambda _: run)
    monkeypatch.setattr(demo.prl, "fit", lambda *_, **__: None)
    monkeypatch.setattr(demo.prl, "evaluate", lambda _, **options: asked.update(options))
    demo.evaluate(tmp_path, 3)
    [best] = asked["rewriters"]
    assert best.name == REWRITER
    assert best.options == {"candidates": 8, "min_similarity": 0.8, "min_facts_kept": 1.0}
    words = " ".join(ending(found(), write_evaluation(tmp_path / "evaluation")).split())
    assert (
        "is the best of 8 by the policy: complete, with a similarity of 0.8 and 100% of the numbers" in words
    )
    assert (asked["texts"], list(asked["detectors"])) == (3, [HELD_OUT])


def write_run(folder: Path, semantic: tuple[float, float, float]) -> Path:
    """A run whose semantic reward is this before, after the warm-up, and at the end."""
    cases.write_run(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    packages = {"torch": "1", "transformers": "2", "trl": "3", "peft": "4"}
    text = json.dumps(manifest | {"precision": "bf16", "packages": packages})
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    terms = {name: {"facts_reward": 0.3, "format_rate": 0.9, "detector_reward": None} for name in "abc"}
    before, warm, after = (
        terms[name] | {"semantic_reward": value, "reward_mean": value / 2}
        for name, value in zip("abc", semantic, strict=True)
    )
    write_jsonl(
        folder / "evaluations.jsonl",
        [
            {"step": 0, "metrics": before, "prompts": {"x": 0.1, "y": 0.3}},
            {"step": 12, "metrics": after, "prompts": {"x": 0.3, "y": 0.4}},
        ],
    )
    write_jsonl(
        folder / "warmup.jsonl",
        [
            {"warmup_step": 1, "metrics": {"warmup_loss": 2.0}},
            {"warmup_step": 1, "evaluation": warm, "prompts": {"x": 0.2, "y": 0.3}},
        ],
    )
    write_evaluation(folder / "evaluation")
    return folder


def test_the_page_says_what_the_runs_measured(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / f"seed{i}", (0.6 + i / 10, 0.4, 0.8)) for i in range(2)]
    rows = [bench_demo.row(folder, seed, found()) for seed, folder in enumerate(folders)]
    text = bench_demo.page(folders, rows, found(), 11.6, 8.4)
    assert "| 0 | +0.150 (0.050) | 0.300 → 0.400 | 0.600 → 0.800 |" in text
    assert "| 0.80 → 0.40 [0.30, 0.50] | 0.80 → 0.10 [0.00, 0.20] |\n" in text
    assert "| mean of 2 seeds | before | after the warm-up | at the end |\n|---|---|---|---|\n" in text
    assert "| semantic | 0.650 | 0.400 | 0.800 |" in text
    assert "| evasion | not measured | not measured | not measured |" in text
    assert "more than its standard error in 2 of 2 seeds" in text
    assert (
        "\nA demo takes about 8 minutes alone on two cores, or 12 minutes of CPU time by one thread, in bf16.\n"
        in text
    )
    assert "restore" not in text, "what the warm-up and the steps do is in the table"
    assert ending(found(), folders[0] / "evaluation") in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
    without = bench_demo.page(folders, rows, found(), 11.6, None)
    assert "\nA demo takes about 12 minutes of CPU time by one thread, in bf16.\n" in without
    assert "CPU time" not in bench_demo.page(folders, rows, found(), None, 8.4)


def test_cpu_time_is_that_of_seeds_recorded_whole(tmp_path: Path) -> None:
    file = tmp_path / "cpu.jsonl"
    assert bench_demo.cpu_minutes(file) is None
    rows = [(0, "train", 500), (0, "evaluate", 100), (1, "evaluate", 90), (2, "train", 60), (2, "train", 600),
            (2, "evaluate", 180)]  # fmt: skip
    write_jsonl(file, [{"seed": seed, "stage": stage, "cpu": cpu} for seed, stage, cpu in rows])
    assert bench_demo.cpu_minutes(file) == pytest.approx((600 + 780) / 2 / 60), "the last time"
    write_jsonl(file, [{"seed": 0, "stage": "evaluate", "cpu": 90.0}])
    assert bench_demo.cpu_minutes(file) is None


def test_the_time_of_child_processes_counts(tmp_path: Path) -> None:
    import subprocess

    with bench_demo.recorded(tmp_path / "cpu.jsonl", 3, "train"):
        subprocess.run(
            [sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True
        )
    [row] = bench_demo.read_jsonl(tmp_path / "cpu.jsonl")
    assert (row["seed"], row["stage"]) == (3, "train")
    assert row["cpu"] >= 0.25
