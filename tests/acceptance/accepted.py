"""A run and its evaluation, written by hand, that meet every criterion; tests spoil one thing at a time."""

from __future__ import annotations

import json
import struct
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
)
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.statistics.records import Estimate, FairnessGap, FalsePositives

STEPS = 12
ENDED = "2026-01-01T10:00:00+00:00"
EVALUATED = "2026-01-01T11:00:00+00:00"


def metrics(steps: int = STEPS) -> list[dict[str, Any]]:
    """Rewards that only rise, small KLs."""
    return [
        {
            "step": step,
            "metrics": {
                "reward_mean": 0.5 + 0.01 * step,
                "reward_std": 0.2 + 0.01 * (step % 3),
                "frac_unrewarded": 0.0,
                "kl_sample_train": -0.001,
                "kl_reference": 0.1 + 0.01 * step,
            },
        }
        for step in range(1, steps + 1)
    ]


def write_run(
    folder: Path,
    *,
    rows: list[dict[str, Any]] | None = None,
    recipe: str = "",
    status: str | None = "completed",
    steps: int = STEPS,
    ledger: list[dict[str, Any]] | None = None,
    evaluations: list[dict[str, Any]] | None = None,
) -> Path:
    """A run with checkpoints every 4 steps, of which 2 are kept; ``status`` None = it ended without a word."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(f"model: tiny\ncheckpoints:\n  every: 4\n  keep: 2\n{recipe}")
    write_jsonl(folder / "metrics.jsonl", metrics() if rows is None else rows)
    terms = [
        {"name": "detector-evasion", "role": "evasion", "metric": "detector_reward"},
        {"name": "semantic-similarity", "role": "meaning", "metric": "semantic_reward"},
    ]
    (folder / "manifest.json").write_text(json.dumps({"rewards": terms}))
    write_jsonl(folder / "evaluations.jsonl", evaluations or [])
    end = [{"time": ENDED, "event": "end", "status": status}] if status else []
    start = {"time": "2026-01-01T09:00:00+00:00", "event": "start", "resumed_after": None, "steps": steps}
    write_jsonl(folder / "events.jsonl", [start, {"event": "monitor", "step": 3, "rule": "x"}, *end])
    if ledger is None:
        ledger = [
            {"step": 8, "kind": "periodic", "path": "checkpoints/checkpoint-8"},
            {"step": 12, "kind": "periodic", "path": "checkpoints/checkpoint-12"},
            {"step": 12, "kind": "final", "path": "adapter"},
        ]
    write_jsonl(folder / "checkpoints.jsonl", ledger)
    for row in ledger:
        if "path" in row:
            write_adapter(folder / row["path"])
    return folder


def write_adapter(folder: Path) -> None:
    """A folder in PEFT's format with one tensor of two numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text("{}")
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    ).encode()
    weights = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.0, 2.0)
    (folder / "adapter_model.safetensors").write_bytes(weights)


def point(success: Estimate, target_fpr: float = 0.05) -> Point:
    """An operating point: 40 of 50 flagged before, 16 after."""
    return Point(
        target_fpr=target_fpr,
        threshold=0.5,
        tpr_before=Estimate(value=0.8, low=0.7, high=0.9, n=50),
        tpr_after=Estimate(value=0.32, low=0.2, high=0.44, n=50),
        attack_success_rate=success,
    )


def cell(label: str, success: Estimate, **changes: Any) -> Cell:
    """A rewriter against the ensemble."""
    nothing = Estimate(value=None, n=0)
    return Cell(
        **{
            "rewriter": label,
            "detector": "ensemble",
            "auroc_before": nothing,
            "auroc_after": nothing,
            "points": (point(Estimate(value=0.1, n=40), 0.01), point(success)),
            "texts": 50,
            **changes,
        }
    )


def results(
    *,
    success: Estimate | None = None,
    similarity: Estimate | None = None,
    labels: tuple[str, ...] = ("policy",),
    **changes: Any,
) -> Results:
    """An evaluation of a policy, with a fairness gap of at most 0.03 at 60 words and of 0.3 on whole texts."""
    success = success or Estimate(value=0.7, low=0.62, high=0.78, n=40)
    similarity = similarity or Estimate(value=0.9, low=0.89, high=0.91, n=50)
    about = About(
        run="runs/x",
        source="toy",
        digest="d",
        excerpt_words=None,
        ai_texts=50,
        human_texts=50,
        groups={"native": 30, "non-native": 20},
        samples=1,
        seed=0,
        resamples=100,
        target_fpr=0.05,
        started=EVALUATED,
        seconds=1.0,
        versions={},
    )
    return Results(
        **{
            "about": about,
            "detectors": (DetectorInfo(name="ensemble", family="ensemble", trained_against=True),),
            "rewriters": tuple(rewriter(label) for label in labels),
            "cells": (
                cell("prompted", Estimate(value=0.99, n=40)),
                *(cell(label, success) for label in labels),
            ),
            "metrics": (
                MetricInfo(name="semantic_similarity", role="meaning", summary="s", better="higher"),
                MetricInfo(name="numbers_kept", role="facts", summary="s", better="higher"),
            ),
            "quality": (
                Quality(
                    rewriter="prompted", metric="semantic_similarity", estimate=Estimate(value=0.99, n=50)
                ),
                *(
                    Quality(rewriter=label, metric=metric, estimate=estimate)
                    for label in labels
                    for metric, estimate in (
                        ("semantic_similarity", similarity),
                        ("numbers_kept", Estimate(value=0.75, n=9)),
                    )
                ),
            ),
            "fairness": (
                gap(None, Estimate(value=0.3, low=0.2, high=0.4, n=50)),
                gap(60, Estimate(value=0.02, low=0.01, high=0.05, n=50)),
                gap(60, Estimate(value=0.03, low=0.01, high=0.06, n=50), threshold="reference"),
                gap(60, Estimate(value=0.5, n=50), rewriter="policy"),
                gap(60, Estimate(value=0.6, n=50), detector="entropy"),
                gap(60, Estimate(value=0.7, n=50), target_fpr=0.01),
                gap(60, Estimate(value=0.8, n=50), group="other"),
            ),
            "false_positives": tuple(
                FalsePositives(
                    rewriter=ORIGINAL,
                    detector="ensemble",
                    group=group,
                    target_fpr=0.05,
                    words=60,
                    threshold=threshold,
                    rate=Estimate(value=rate + more, n=n),
                )
                for threshold, more in (("deployed", 0.0), ("reference", 0.01))
                for group, rate, n in (("non-native", 0.07, 20), ("native", 0.05, 30), ("all", 0.06, 50))
            ),
            **changes,
        }
    )


def rewriter(label: str) -> RewriterInfo:
    """As an evaluation enters it: policy@STEP is the policy with the option checkpoint."""
    name, _, step = label.partition("@")
    options = {"checkpoint": int(step)} if step else {}
    return RewriterInfo(label=label, name=name, options=options, of_run=name == "policy")


def gap(words: int | None, estimate: Estimate, **changes: Any) -> FairnessGap:
    """Non-native minus native, clean texts, the ensemble, at 0.05."""
    return FairnessGap(
        **{
            "rewriter": ORIGINAL,
            "detector": "ensemble",
            "group": "non-native",
            "reference": "native",
            "target_fpr": 0.05,
            "words": words,
            "threshold": "deployed",
            "gap": estimate,
            **changes,
        }
    )


def write_all(folder: Path, evaluation: Results | None = None, **run: Any) -> Path:
    """The run with its evaluation in its place."""
    write_run(folder, **run)
    (folder / "evaluation").mkdir(exist_ok=True)
    (evaluation or results()).write(folder / "evaluation")
    return folder
