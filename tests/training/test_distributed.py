"""Two processes make the update of one: the same rollouts, metrics and weights."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from paraphrase_rl.files import read_jsonl
from tests.training.cases import THIRD_PARTY, Case, Ended, Prl, numbers
from tests.training.test_monitor_actions import did


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder(case: Case, launch: Prl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the run ``one`` of one process and, under accelerate's launcher, ``two`` of two processes."""
    folder = tmp_path_factory.mktemp("distributed")
    settings = (
        "training.batch_size=4",
        "training.max_steps=3",
        "checkpoints.every=1",
        "monitors.slower={metric: reward_mean, low: 2, action: lower-rate, limit: 1}",
        "monitors.firmer={metric: learning_rate, low: 0.008, action: raise-kl, factor: 10, limit: 1}",
        "monitors.back={metric: kl_penalty_coef, high: 0.5, action: roll-back, limit: 1}",
    )
    options = ["train", "--config", str(case.recipe), "--device", "cpu"]
    options += [part for setting in settings for part in ("--set", setting)]
    launch(*options, "--out", "one", cwd=folder)
    launcher = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launcher += ["--dynamo_backend", "no", "--main_process_port", str(free_port()), "-m", "paraphrase_rl"]
    places = [str(THIRD_PARTY), *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *launcher, *options, "--out", "two"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (folder / "stdout").write_text(ended.stdout)
    (folder / "stderr").write_text(ended.stderr)
    return folder


@pytest.mark.slow
def test_same_rollouts_metrics_and_weights(folder: Path) -> None:
    processes = [
        json.loads((folder / name / "manifest.json").read_text())["processes"] for name in ("one", "two")
    ]
    assert processes == [1, 2]
    one, two = (numbers(folder / name) for name in ("one", "two"))
    first, second = ({row["id"] for row in run["samples"] if row["step"] == 1} for run in (one, two))
    assert first == second
    assert [row["rewrite"] for row in one["samples"]] == [row["rewrite"] for row in two["samples"]]
    assert len(one["metrics"]) == len(two["metrics"]) == 3
    for expected, found in zip(one["metrics"], two["metrics"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert one["checkpoints"] == two["checkpoints"]
    assert did(folder / "one") == did(folder / "two")
    acted = [found for found in did(folder / "two") if found[2] != "warn"]
    assert acted == [
        (1, "slower", "lower-rate", 0.5, None),
        (2, "firmer", "raise-kl", 10.0, None),
        (3, "back", "roll-back", None, 1),
    ]
    weights, others = (
        load_file(folder / name / "adapter" / "adapter_model.safetensors") for name in ("one", "two")
    )
    assert weights.keys() == others.keys()
    for name, expected in weights.items():
        assert np.linalg.norm(others[name] - expected) <= 1e-5 * np.linalg.norm(expected), name
    assert any(np.abs(value).max() > 0 for name, value in weights.items() if "lora_B" in name)


@pytest.mark.slow
def test_one_process_speaks_for_both(folder: Path) -> None:
    """In fresh interpreters: what libraries say while they are imported would show here too."""
    stdout, stderr = ((folder / name).read_text() for name in ("stdout", "stderr"))
    kinds = ("calibrating", "note:", "evaluation at step", "step ", "monitor ", "next: prl evaluate")
    assert [line for line in stderr.splitlines() if not line.startswith(kinds)] == []
    assert stderr.count("calibrating vowels") == 1
    assert stderr.count("step 3/3") == 1
    assert stdout.startswith("Held-out prompts: 3.")
    assert stdout.count("run directory: two") == 1
    events = [row["event"] for row in read_jsonl(folder / "two" / "events.jsonl")]
    assert (events.count("start"), events.count("end")) == (1, 1)


def test_an_interrupt_that_reaches_one_process_stops_both_after_the_same_step(
    launch: Prl, case: Case, tmp_path: Path
) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = ["train", "--config", case.recipe, "--device", "cpu", "--out", tmp_path / "run"]

    def process(rank: int) -> Ended:
        (tmp_path / str(rank)).mkdir()
        environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        if rank == 1:
            environment["ACME_SIGNAL"] = "SIGINT:3"
        return launch(*command, cwd=tmp_path / str(rank), environment=environment, code=130)

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(process, range(2))
    assert "continue with: prl train --resume" in first.stderr
    assert (second.stdout, second.stderr) == ("", "")
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3]
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "checkpoints.jsonl")] == [2, 3]


@pytest.mark.parametrize(
    ("signal", "code"), [("SIGKILL", -9), ("SIGTERM,SIGTERM", 143)], ids=["killed", "stopped at once"]
)
def test_when_another_process_ends_the_first_one_saves_what_was_done(
    launch: Prl, case: Case, tmp_path: Path, signal: str, code: int
) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    train = ["train", "--config", case.recipe, "--device", "cpu", "--set", "checkpoints.every=100"]

    def both(command: list[object], fault: str, codes: tuple[int, int]) -> Ended:
        port = str(free_port())

        def process(rank: int) -> Ended:
            (tmp_path / str(rank)).mkdir(exist_ok=True)
            environment = {**shared, "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            environment["ACME_SIGNAL"] = fault if rank else ""
            return launch(*command, cwd=tmp_path / str(rank), environment=environment, code=codes[rank])

        with ThreadPoolExecutor() as pool:
            first, _ = pool.map(process, range(2))
        return first

    # its calls of the reward: 1, 2 in steps 1, 2; the third is in step 3
    first = both([*train, "--out", tmp_path / "run"], f"{signal}:3", (2, code))
    assert "rescue checkpoint of step 2 written" in first.stderr
    assert "error: another process of this training has ended" in first.stderr
    assert "--resume" in first.stderr.splitlines()[-1]
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "checkpoints.jsonl")] == [2]
    first = both(["train", "--resume", tmp_path / "run", "--device", "cpu"], "", (0, 0))
    assert "after step 2" in first.stderr
    both([*train, "--out", tmp_path / "whole"], "", (0, 0))
    resumed, whole = (numbers(tmp_path / name)["metrics"] for name in ("run", "whole"))
    assert len(resumed) == 8
    for found, expected in zip(resumed, whole, strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
