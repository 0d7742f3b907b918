"""A plug-in that goes wrong in a run is named, and its exit code is not that of ``prl``."""

from __future__ import annotations

from pathlib import Path

import pytest

from paraphrase_rl.files import read_jsonl
from tests.training.cases import Case, Prl

FAULTS = {
    "returns nothing": "returned None from train(), not a TrainingResult",
    "returns a text": "returned str from train(), not a TrainingResult",
    "raises": "crashes in train(): ZeroDivisionError: no steps",
    "exits": "crashes in train(): SystemExit: 3",
    "asks for a text that is not there": "crashes in train(): IndexError",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_backend(launch: Prl, case: Case, tmp_path: Path, fault: str) -> None:
    command = ["train", "--config", case.recipe, "--backend", "odd", "-o", f"fault={fault}", "--out", "run"]
    ended = launch(*command, cwd=tmp_path, code=2)
    assert f"error: backend odd of plug-in faults (acme-faults 2.0) {FAULTS[fault]}" in ended.stderr
    assert "hint: this is a fault in the plug-in" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("fault", ["raises", "exits"])
def test_debug_shows_where_in_the_plugin(launch: Prl, case: Case, tmp_path: Path, fault: str) -> None:
    command = ["train", "--config", case.recipe, "--backend", "odd", "-o", f"fault={fault}", "--out", "run"]
    ended = launch("--debug", *command, cwd=tmp_path, code=2)
    assert "acme_faults.py" in ended.stderr
    assert "direct cause" in ended.stderr


def test_a_detector_that_crashes_from_some_call_on_stops_the_run(
    launch: Prl, case: Case, tmp_path: Path
) -> None:
    only = "detectors=[{name: fragile, options: {after: 5}}]"
    ended = launch("train", "--config", case.recipe, "--set", only, "--out", "run", cwd=tmp_path, code=2)
    assert (
        "error: detector fragile of plug-in faults (acme-faults 2.0) crashes on each of 6 items: "
        "RuntimeError: the licence has expired"
    ) in ended.stderr


def test_a_reward_that_exits_stops_the_run(launch: Prl, case: Case, tmp_path: Path) -> None:
    only = "rewards=[{name: exits}]"
    ended = launch("train", "--config", case.recipe, "--set", only, "--out", "run", cwd=tmp_path, code=2)
    assert "error: reward exits of plug-in faults (acme-faults 2.0) crashes on each of" in ended.stderr
    assert "SystemExit: 3" in ended.stderr


@pytest.mark.parametrize("hook", ["on_run_start", "on_step_end", "on_run_end"])
def test_an_observer_that_exits_ends_no_run(launch: Prl, case: Case, tmp_path: Path, hook: str) -> None:
    command = ["train", "--config", case.recipe, "--set", "training.max_steps=2", "--out", "run"]
    ended = launch(*command, cwd=tmp_path, environment={"ACME_OBSERVER": hook})
    assert ended.stderr.count(f"plug-in faults (acme-faults 2.0): {hook}: SystemExit: 3") == 1
    assert len(read_jsonl(tmp_path / "run" / "metrics.jsonl")) == 2
