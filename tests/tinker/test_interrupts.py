"""The real command line, interrupted or killed in a step and resumed: the numbers of a run that nothing disturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from paraphrase_rl.files import read_jsonl
from tests.tinker.conftest import KEY
from tests.tinker.runs import alike, numbers
from tests.training.cases import Prl, write_recipe, write_texts
from tests.training.conftest import launch

__all__ = ["launch"]
pytestmark = pytest.mark.service

# Calls of the reward: 1 evaluation, then one for each of a step's two groups: 2 3, 4 5, 6 7; at the end 8.
IN_STEP_1, IN_STEP_3 = 2, 6


class Case:
    """A recipe, and how to run it on one server."""

    def __init__(self, folder: Path, model: Path, server: Any, launch: Prl) -> None:
        settings = {"batch_size": 2, "group_size": 3, "max_steps": 3, "learning_rate": 0.01}
        recipe = write_recipe(
            folder,
            model,
            write_texts(folder / "texts.jsonl"),
            training=settings,
            evaluation={"every": 1000, "prompts": 3},
        )
        self.server, self.launch = server, launch
        self.begin = ["--backend", "tinker", "--option", f"base_url={server.url}", "--config", recipe]

    def prl(self, *arguments: object, cwd: Path, signal: str = "", code: int = 0) -> Any:
        environment = {"TINKER_API_KEY": KEY, "ACME_SIGNAL": signal}
        return self.launch("train", *arguments, cwd=cwd, environment=environment, code=code)


def listed(run: Path) -> list[int]:
    return [row["step"] for row in read_jsonl(run / "checkpoints.jsonl")]


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "events.jsonl") if row["event"] == kind]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, qwen: Path, server: Any, launch: Prl) -> Case:
    return Case(tmp_path_factory.mktemp("case"), qwen, server, launch)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, case: Case) -> list[dict[str, float]]:
    folder = tmp_path_factory.mktemp("unbroken")
    case.prl(*case.begin, "--out", "run", cwd=folder)
    return numbers(folder / "run")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)])
def test_a_signal_ends_the_step_with_a_checkpoint(
    case: Case, unbroken: Any, tmp_path: Path, name: str, code: int
) -> None:
    run = tmp_path / "run"
    ended = case.prl(*case.begin, "--out", "run", cwd=tmp_path, signal=f"{name}:{IN_STEP_1}", code=code)
    assert "stopping after this step, with a checkpoint" in ended.stderr
    assert "interrupted; continue with: prl train --resume run" in ended.stderr
    assert KEY not in ended.stderr + ended.stdout
    assert listed(run) == [1]
    assert events(run, "end")[-1]["status"] == "interrupted"
    assert len(numbers(run)) == 1
    resumed = case.prl("--resume", "run", cwd=tmp_path)
    assert "resuming run after step 1" in resumed.stderr
    assert numbers(run) == alike(unbroken, case.server)


@pytest.mark.parametrize(
    ("names", "code"), [("SIGINT,SIGINT", 130), ("SIGTERM,SIGTERM", 143), ("SIGINT,SIGHUP", 143)]
)
def test_a_second_signal_stops_at_once_and_what_was_done_is_saved(
    case: Case, unbroken: Any, tmp_path: Path, names: str, code: int
) -> None:
    rare = ["--set", "checkpoints.every=1000", "--out", "run"]
    ended = case.prl(*case.begin, *rare, cwd=tmp_path, signal=f"{names}:{IN_STEP_3}", code=code)
    assert "rescue checkpoint of step 2 written" in ended.stderr
    assert KEY not in ended.stderr + ended.stdout
    run = tmp_path / "run"
    assert listed(run) == [2]
    assert events(run, "rescue")[0]["step"] == 2
    assert "resuming run after step 2" in case.prl("--resume", "run", cwd=tmp_path).stderr
    assert numbers(run) == alike(unbroken, case.server)


@pytest.mark.parametrize(("minutes", "saved"), [("1e-9", [1, 2, 3]), ("null", [3])])
def test_a_checkpoint_is_due_after_minutes_too(
    case: Case, tmp_path: Path, minutes: str, saved: list[int]
) -> None:
    clock = ["--set", "checkpoints.every=1000", "--set", f"checkpoints.minutes={minutes}"]
    case.prl(*case.begin, *clock, "--out", "run", cwd=tmp_path)
    assert listed(tmp_path / "run") == saved


def test_a_killed_client_goes_on_from_its_last_checkpoint(case: Case, unbroken: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    case.prl(*case.begin, "--out", "run", cwd=tmp_path, signal=f"SIGKILL:{IN_STEP_3}", code=-9)
    assert listed(run) == [2]
    assert "resuming run after step 2" in case.prl("--resume", "run", cwd=tmp_path).stderr
    assert numbers(run) == alike(unbroken, case.server)


def test_a_complete_run_is_extended_and_another_starts_from_its_weights(
    case: Case, unbroken: Any, tmp_path: Path
) -> None:
    case.prl(*case.begin, "--set", "training.max_steps=1", "--out", "run", cwd=tmp_path)
    resumed = case.prl("--resume", "run", "--set", "training.max_steps=3", cwd=tmp_path)
    assert "resuming run after step 1" in resumed.stderr
    assert numbers(tmp_path / "run") == alike(unbroken, case.server)
    case.prl("--from", "run", "--set", "training.max_steps=1", "--out", "next", cwd=tmp_path)
    last, first = (read_jsonl(tmp_path / name / "evaluations.jsonl") for name in ("run", "next"))
    assert first[0]["prompts"] == last[-1]["prompts"], "it begins with the policy that the other ended with"


def test_weights_at_the_service_go_on_here_and_none_go_there(case: Case, tmp_path: Path) -> None:
    case.prl(*case.begin, "--set", "training.max_steps=1", "--out", "run", cwd=tmp_path)
    here = [
        "--from",
        "run",
        "--backend",
        "trl",
        "--device",
        "cpu",
        "--set",
        "training.max_steps=1",
        "--out",
        "here",
    ]
    refused = case.prl(*here, cwd=tmp_path, code=2)
    assert "does not fit the recipe's lora (rank 4, alpha 8)" in refused.stderr
    assert "hint: set lora.rank=4 and lora.alpha=32" in refused.stderr
    case.prl(*here, "--set", "lora.alpha=32", cwd=tmp_path)
    assert case.launch(
        "export", "run", "--out", "exported", cwd=tmp_path, environment={"TINKER_API_KEY": KEY}
    )
    taken = load_file(tmp_path / "here" / "initial" / "adapter_model.safetensors")
    sent = load_file(tmp_path / "exported" / "adapter_model.safetensors")
    assert taken.keys() == sent.keys()
    assert all((taken[name] == sent[name]).all() for name in sent)
    [row] = read_jsonl(tmp_path / "here" / "metrics.jsonl")
    assert abs(row["metrics"]["kl_reference"]) > 1e-4, "it begins with the policy that the other ended with"
    assert [r["kind"] for r in read_jsonl(tmp_path / "here" / "checkpoints.jsonl")] == ["periodic", "final"]
    back = [
        "--from",
        "here",
        "--backend",
        "tinker",
        "--option",
        f"base_url={case.server.url}",
        "--out",
        "back",
    ]
    refused = case.prl(*back, cwd=tmp_path, code=2)
    assert "takes no weights from outside, and here was trained on trl" in refused.stderr
    assert "--backend trl" in refused.stderr.splitlines()[-1]
    assert not (tmp_path / "back").exists()
