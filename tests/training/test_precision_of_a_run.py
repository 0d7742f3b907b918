"""A run computes in one precision from its first step to its last, on whatever machine it goes on."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.models import precision
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.runs.backend import ChosenBackend
from paraphrase_rl.training.preparation import Start, precision_of
from tests.tiny_model import write_tiny_quickstart
from tests.training.cases import numbers
from tests.training.runs import backend, recipe, training_run, warm_run, warmup_numbers


def test_a_run_in_bf16_trains_an_adapter_in_fp32(tiny_model: Path, tmp_path: Path) -> None:
    run = training_run(
        tmp_path / "run", recipe(tiny_model, training={"batch_size": 2, "group_size": 3, "max_steps": 3})
    )
    trainer: Any = TrlBackend(TrlOptions(), Context(precision="bf16")).trainer(run)
    dtypes = {("lora_" in name, p.dtype) for name, p in trainer.model.named_parameters() if p.ndim == 2}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    TrlBackend(TrlOptions(), Context(precision="bf16")).train(run)
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert len(rows) == 3
    # sampler and trainer round differently; random weights of this size are rougher than a trained model's
    assert all(0 < abs(row["kl_sample_train"]) < 0.01 for row in rows)
    assert all((row["grad_norm"] > 0) == (row["frac_constant_groups"] < 1) for row in rows)
    assert any(row["grad_norm"] > 0 for row in rows)


def test_a_run_in_bf16_that_was_stopped_ends_with_the_numbers_of_one_that_was_not(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Stopped in its warm-up of six steps, and after the first of the two steps that follow."""

    def end(name: str, asked: int = 1000, *, resume: bool = False) -> str:
        calls = count(1)
        session = warm_run(
            tmp_path / name, tiny_model, resume=resume, stop_requested=lambda: next(calls) >= asked
        )
        status = backend("bf16").train(session).status
        session.directory.close()
        return status

    assert end("whole") == "completed"

    def taken() -> tuple[int, int]:
        folder = tmp_path / "stopped"
        return len(warmup_numbers(folder)), len(read_jsonl(folder / "metrics.jsonl"))

    assert end("stopped", 3) == "interrupted"
    assert taken() == (3, 0)
    assert end("stopped", 3, resume=True) == "interrupted"
    assert taken() == (7, 1), "six steps and the evaluation after them"
    assert end("stopped", resume=True) == "completed"
    for read in (warmup_numbers, numbers):
        assert read(tmp_path / "stopped") == read(tmp_path / "whole")


def start(tmp_path: Path, *, resume: bool) -> Start:
    return Start(
        loaded=load_recipe(write_tiny_quickstart(tmp_path / "recipe")),
        folder=tmp_path / "run",
        resume=resume,
        backend=ChosenBackend(name="trl", options={}),
        device="cpu",
        report=reporter(None),
        stop_requested=lambda: False,
    )


@pytest.mark.parametrize(("recorded", "expected"), [("bf16", "bf16"), ("fp32", "fp32"), (None, None)])
def test_a_resumed_run_keeps_what_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: str | None, expected: str | None
) -> None:
    """Another machine would decide otherwise; a run older than the choice goes on as it was."""
    monkeypatch.setattr(precision, "speedup_in_bf16", lambda: 0.1 if recorded == "bf16" else 9.0)
    assert precision_of(start(tmp_path, resume=False)) == ("fp32" if recorded == "bf16" else "bf16")
    facts = {"precision": recorded} if recorded else {}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(facts))
    assert precision_of(start(tmp_path, resume=True)) == expected


def test_a_damaged_precision_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text('{"precision": "fp8"}')
    with pytest.raises(RunError, match="unknown precision, 'fp8'"):
        precision_of(start(tmp_path, resume=True))
