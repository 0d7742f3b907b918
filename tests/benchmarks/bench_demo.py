"""The demo with several seeds: does it learn, does it evade? Writes docs/demo.md, and what README.md and
configs/demo.yaml say of it.

    OMP_WAIT_POLICY=PASSIVE .venv/bin/python tests/benchmarks/bench_demo.py --runs runs/demo-seeds

Trains configs/demo.yaml once a seed (a run that is there and complete is read, not repeated), evaluates it as
`make demo` does, and compares the mean total reward of the held-out prompts before and after: prompts are paired,
samples of a prompt averaged first, and the standard error is that of the mean change over prompts. What training and
evaluation took of the processor is in cpu.jsonl with the runs; `--alone` is what `time make demo` says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import mean

from paraphrase_rl_plugins.rewards.detector_evasion import EvasionOptions

import paraphrase_rl as prl
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.files import append_jsonl, read_jsonl
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.runs.metrics_files import WARMUP_ROWS
from paraphrase_rl.runs.summary import summarise

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.demo import (  # noqa: E402
    AGAINST,
    CANDIDATES,
    HELD_OUT,
    LEAST_FACTS_KEPT,
    LEAST_SIMILARITY,
    TEXTS,
    ending,
    evaluate,
    point,
)
from tests.evidence.page import prose  # noqa: E402

PAGE = ROOT / "docs" / "demo.md"
TERMS = {
    "total": "reward_mean",
    "semantic": "semantic_reward",
    "facts": "facts_reward",
    "format": "format_rate",
    "evasion": "detector_reward",
}
"""Metrics of the pages' tables, by their names there."""


@contextmanager
def recorded(file: Path, seed: int, stage: str) -> Iterator[None]:
    """Record the CPU seconds of a stage, those of its processes too."""
    before = sum(os.times()[:4])
    try:
        yield
    finally:
        append_jsonl(file, {"seed": seed, "stage": stage, "cpu": sum(os.times()[:4]) - before})


def cpu_minutes(file: Path) -> float | None:
    """Mean over the seeds of which training and evaluation were recorded; ``None`` if there is none."""
    seeds: dict[int, dict[str, float]] = {}
    for row in read_jsonl(file):
        seeds.setdefault(row["seed"], {})[row["stage"]] = row["cpu"]
    whole = [sum(stages.values()) for stages in seeds.values() if stages.keys() >= {"train", "evaluate"}]
    return mean(whole) / 60 if whole else None


def is_complete(folder: Path) -> bool:
    return any(row.get("status") == "completed" for row in read_jsonl(folder / "events.jsonl"))


def check_recipe(folder: Path, seed: int) -> None:
    """Refuse a run of an earlier recipe of the demo: the page would mix the two."""
    if prl.Run(folder).recipe != load_recipe("demo", {"training.seed": seed}).recipe:
        sys.exit(f"{folder} is of another recipe than configs/demo.yaml: move it away")


def command(*arguments: str) -> None:
    """Carry out a command of prl with the recipe of the demo."""
    line = [sys.executable, "-m", "paraphrase_rl", *arguments, "--config", "configs/demo.yaml"]
    subprocess.run(line, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def shares(results: Results, detector: str) -> str:
    rates = point(results, detector)
    before, after = rates.tpr_before, rates.tpr_after
    assert before.value is not None
    return f"{before.value:.2f} → {after.shown()}"


def terms(folder: Path) -> dict[str, Mapping[str, float | None]]:
    """Reward terms of the held-out prompts: before, after the warm-up, at the end."""
    evaluations = read_jsonl(folder / "evaluations.jsonl")
    warmed = [row["evaluation"] for row in read_jsonl(folder / WARMUP_ROWS) if "evaluation" in row]
    return {
        "before": evaluations[0]["metrics"],
        "after the warm-up": warmed[-1] if warmed else {},
        "at the end": evaluations[-1]["metrics"],
    }


def row(folder: Path, seed: int, results: Results) -> str:
    summary, found = summarise(folder), terms(folder)
    shown = " | ".join(
        f"{found['before'][TERMS[name]]:.3f} → {found['at the end'][TERMS[name]]:.3f}"
        for name in ("total", "semantic", "facts", "format")
    )
    evaded = " | ".join(shares(results, name) for name in (AGAINST, HELD_OUT))
    return f"| {seed} | {summary.gain:+.3f} ({summary.gain_se:.3f}) | {shown} | {evaded} |\n"


def means(folders: Sequence[Path]) -> str:
    """Table of the means over the seeds."""
    found = [terms(folder) for folder in folders]
    lines = [f"| mean of {len(folders)} seeds | " + " | ".join(found[0]) + " |", "|---" * 4 + "|"]
    for name, metric in TERMS.items():
        cells = []
        for when in found[0]:
            values = [v for one in found if (v := one[when].get(metric)) is not None]
            cells.append(f"{mean(values):.3f}" if values else "not measured")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def at_thresholds() -> float:
    """The demo's reward for evasion of a rewrite that lies at every detector's threshold."""
    [options] = [r.options for r in load_recipe("demo").recipe.rewards if r.name == "detector-evasion"]
    found = EvasionOptions.model_validate(options)
    return 1.0 - found.margin / found.width


def takes(cpu: float | None, alone: float | None, precision: str) -> str:
    """Say what a demo takes, as README.md and configs/demo.yaml repeat it; empty where it is not recorded."""
    if cpu is None:
        return ""
    spent = f"{cpu:.0f} minutes of CPU time by one thread, in {precision}"
    return f"about {spent}" if alone is None else f"about {alone:.0f} minutes alone on two cores, or {spent}"


def page(
    folders: Sequence[Path], rows: Sequence[str], results: Results, cpu: float | None, alone: float | None
) -> str:
    """Write the page.

    Args:
        folders: runs, one a seed.
        rows: their rows of the table.
        results: those of the first seed.
        cpu: minutes that training and evaluation take of the processor; ``None`` = not recorded.
        alone: wall minutes of a demo with nothing else on the machine; ``None`` = not measured.
    """
    learned = sum(summarise(f).gain > summarise(f).gain_se for f in folders)
    first, recipe = summarise(folders[0]), prl.Run(folders[0]).recipe
    manifest = json.loads((folders[0] / "manifest.json").read_text(encoding="utf-8"))
    packages = manifest["packages"]
    took = takes(cpu, alone, manifest["precision"])
    about = (
        "`make demo SEED=n`: SmolLM2-135M-Instruct learns to rewrite excerpts of AI texts against Fast-DetectGPT, "
        "log-likelihood and tf-idf: a small warm-up on inverse paraphrases of human texts, then "
        f"{first.last_step} steps of {recipe.training.batch_size} prompts x {recipe.training.group_size} rollouts. "
        f"Terms are of {first.prompts} held-out prompts, with the same sampling noise before and after. Flagged is the "
        f"share of {results.about.ai_texts} AI test texts of all three kinds, and of their rewrites, above thresholds "
        "for a false positive rate of "
        f"{results.about.target_fpr:.0%}, with its 95 % interval: by {AGAINST}, which was trained against, "
        f"and by {HELD_OUT}, a detector that the policy never saw. The rewrite is the best of {CANDIDATES} by the "
        f"policy (`best-of-n`): complete, with a similarity of {LEAST_SIMILARITY} and {LEAST_FACTS_KEPT:.0%} of the "
        "numbers, names and negations where one has them, then the lowest P(AI) by the detectors trained against. Made "
        f"by `tests/benchmarks/bench_demo.py` in {manifest['precision']}, with "
        + ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "trl", "peft"))
        + "."
    )
    return (
        f"# The demo, seed by seed\n\n{prose(about)}\n\n"
        "| seed | gain (s.e.) | total | semantic | facts | format | "
        f"flagged by {AGAINST} | by {HELD_OUT} "
        "|\n"
        "|---|---|---|---|---|---|---|---|\n"
        + "".join(rows)
        + f"\nThe mean total reward rose by more than its standard error in {learned} of {len(folders)} seeds.\n"
        + (f"A demo takes {took}.\n" if took else "")
        + "\n"
        + means(folders)
        + "\n\n"
        + prose(
            "Terms other than total and format are means over valid rewrites, so the columns compare different sets.",
            "`facts` is 1 where all numbers, names and negations are kept and none added. `evasion` is high from the",
            "start: a rewrite that loses the meaning evades too, and one at the thresholds has",
            f"{at_thresholds():.2f} of it. What is learned is to keep the meaning and lose little evasion. With a",
            "larger warm-up, more steps and detectors of other families, and with what stops it: `make evidence`.",
        )
        + "\n\n"
        f"Seed 0 ends like this:\n\n```text\n{ending(results, folders[0] / 'evaluation')}\n```\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "demo-seeds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--alone", type=float, help="minutes that `time make demo` takes alone on two cores, set up"
    )
    given = parser.parse_args()
    folders = [given.runs / f"seed{seed}" for seed in range(given.seeds)]
    spent = given.runs / "cpu.jsonl"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    found, rows = [], []
    if not all(map(is_complete, folders)):
        command("fit", "tfidf")
    for seed, folder in enumerate(folders):
        given.runs.mkdir(parents=True, exist_ok=True)
        if is_complete(folder):
            check_recipe(folder, seed)
        else:
            with recorded(spent, seed, "train"):
                command("train", "--out", str(folder), "--set", f"training.seed={seed}")
        done = (folder / "evaluation" / Results.FILE).is_file()
        with nullcontext() if done else recorded(spent, seed, "evaluate"):
            found.append(evaluate(folder, TEXTS))
        rows.append(row(folder, seed, found[-1]))
        print(rows[-1], end="", flush=True)
    PAGE.write_text(page(folders, rows, found[0], cpu_minutes(spent), given.alone), encoding="utf-8")
    tests = [sys.executable, "-m", "pytest", "-q", "tests/docs/test_readme.py", "-k", "the_demo"]
    subprocess.run(tests, check=True, cwd=ROOT, env={**os.environ, "PRL_WRITE_DOCS": "1"})


if __name__ == "__main__":
    main()
