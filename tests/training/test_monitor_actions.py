"""Monitors that act: what they change reaches the update, and a broken run does again what it had done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from paraphrase_rl.errors import PluginError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.runs.run import Run
from paraphrase_rl.training.session import TrainingSession
from tests.training.cases import Case, Prl
from tests.training.runs import backend, recipe, training_run

ACTING = {
    # metrics that change by the monitors' own doing, so that every step of this is known beforehand
    "slower": {"metric": "reward_mean", "low": 2, "patience": 3, "action": "lower-rate", "limit": 1},
    "firmer": {"metric": "learning_rate", "low": 0.008, "action": "raise-kl", "factor": 10, "limit": 1},
    "back": {"metric": "learning_rate", "low": 0.006, "patience": 2, "action": "roll-back", "limit": 1},
}
DID = [
    (3, "slower", "lower-rate", 0.5, None),
    (4, "firmer", "raise-kl", 10.0, None),
    (5, "firmer", "warn", None, None),
    (5, "back", "roll-back", None, 2),
    (6, "firmer", "warn", None, None),
    (7, "back", "warn", None, None),
    (8, "slower", "warn", None, None),
]
TRAINING = {"batch_size": 2, "group_size": 3, "epochs": 2, "seed": 5, "learning_rate": 0.01}


class CrashError(Exception):
    """Ends a run after a step, without a word to it."""


def after(step: int) -> Callable[[], bool]:
    """What is asked after each step, once; it crashes the run at a step."""
    asked = iter(range(1, 100))

    def ask() -> bool:
        if next(asked) == step:
            raise CrashError
        return False

    return ask


def rules(**given: Any) -> dict[str, Any]:
    """These rules and none of the published ones."""
    return {**dict.fromkeys(recipe(Path("x")).monitors), **given}


def trained(folder: Path, model: Path, *, resume: bool = False, **changes: Any) -> TrainingSession:
    monitors = changes.pop("monitors", ACTING)
    run = training_run(folder, recipe(model, monitors=rules(**monitors)), prompts=8, resume=resume, **changes)
    try:
        backend().train(run)
    finally:
        run.directory.close()
    return run


def numbers(run: Path) -> dict[str, Any]:
    """What a run measured and did, without times, and its final weights."""
    rows = [{"step": row["step"], **row["metrics"]} for row in read_jsonl(run / "metrics.jsonl")]
    return {
        "metrics": [{k: v for k, v in row.items() if "second" not in k} for row in rows],
        "did": [{k: v for k, v in row.items() if k != "time"} for row in events(run)],
        "checkpoints": [(row["step"], row["path"]) for row in read_jsonl(run / "checkpoints.jsonl")],
        "adapter": (run / "adapter" / "adapter_model.safetensors").read_bytes(),
    }


def events(run: Path) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "events.jsonl") if row["event"] == "monitor"]


def did(run: Path) -> list[tuple[Any, ...]]:
    return [(e["step"], e["rule"], e["action"], e.get("scale"), e.get("to")) for e in events(run)]


@pytest.fixture(scope="module")
def unbroken(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("acting") / "run", tiny_model).folder


def test_each_action_is_an_event_with_its_reason(unbroken: Path) -> None:
    assert did(unbroken) == DID
    messages = [event["message"] for event in events(unbroken)]
    assert messages[0].endswith(
        "is below 2 over 3 steps: learning rate times 0.5, now 0.5 times the recipe's"
    )
    assert messages[1] == (
        "learning_rate 0.005 is below 0.008: KL coefficient times 10, now 10 times the recipe's"
    )
    assert messages[2] == "learning_rate 0.005 is below 0.008 (the limit of raise-kl, 1, is reached)"
    assert messages[3] == "learning_rate 0.005 is below 0.006 over 2 steps: back to the checkpoint of step 2"


def test_metrics_have_the_rate_and_the_coefficient_of_each_step(unbroken: Path) -> None:
    rows = numbers(unbroken)["metrics"]
    assert [row["learning_rate"] for row in rows] == [0.01] * 3 + [0.005] * 5
    assert [row["kl_penalty_coef"] for row in rows] == [0.1] * 4 + [1.0] * 4


@pytest.mark.parametrize(("step", "rescued"), [(4, False), (5, False), (7, False), (5, True)])
def test_a_crashed_run_does_the_same_again(
    unbroken: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    rescued: bool,
) -> None:
    """After step 4 the KL coefficient has changed, after step 5 a roll-back is done but no checkpoint has it yet."""
    with monkeypatch.context() as patched:
        if not rescued:  # a kill leaves no time for it
            patched.setattr(TrainingSession, "rescue", lambda *_: None)
        with pytest.raises(CrashError):
            trained(tmp_path / "run", tiny_model, stop_requested=after(step))
    rest = trained(tmp_path / "run", tiny_model, resume=True)
    assert rest.resume_from is not None
    assert rest.resume_from[0] == (step if rescued else {4: 2, 5: 4, 7: 6}[step])
    found, expected = numbers(rest.folder), numbers(unbroken)
    if rescued:  # the list holds that checkpoint too
        del found["checkpoints"], expected["checkpoints"]
    assert found == expected


def test_a_roll_back_restores_weights_and_optimizer(tiny_model: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", tiny_model, stop_requested=iter([False] * 4 + [True]).__next__)
    assert [row["step"] for row in run.directory.rows("checkpoints.jsonl")] == [2, 4, 5]

    def state(step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        folder = run.folder / "checkpoints" / f"checkpoint-{step}"
        return load_file(folder / "adapter_model.safetensors"), torch.load(folder / "optimizer.pt")["state"]

    def same(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) if isinstance(one[key], dict) else torch.equal(one[key], other[key])
            for key in one
        )

    for before, undone, restored in zip(state(2), state(4), state(5), strict=True):
        assert same(restored, before)
        assert not same(restored, undone)


def test_a_lower_rate_reaches_the_update(tiny_model: Path, tmp_path: Path) -> None:
    still = {
        "metric": "reward_mean",
        "low": 2,
        "patience": 2,
        "action": "lower-rate",
        "factor": 1e-9,
        "limit": 1,
    }
    run = trained(tmp_path / "run", tiny_model, monitors={"still": still})
    moved = [abs(row["metrics"]["kl_post_train"]) for row in run.directory.rows("metrics.jsonl")]
    assert moved[1] > 1e-3
    assert max(moved[2:]) < 1e-5, "the weights stay as they are"


def test_a_higher_coefficient_reaches_the_update(tiny_model: Path, tmp_path: Path) -> None:
    """Two runs alike up to step 3; from there on one pulls back to the base model with all its might."""
    firm = {
        "metric": "reward_mean",
        "low": 2,
        "patience": 3,
        "action": "raise-kl",
        "factor": 1000,
        "limit": 1,
    }
    runs = [
        trained(tmp_path / name, tiny_model, monitors=given)
        for name, given in (("a", {}), ("b", {"firm": firm}))
    ]
    free, held = ([row["metrics"] for row in run.directory.rows("metrics.jsonl")] for run in runs)
    assert [row["kl_reference"] for row in free[:4]] == [row["kl_reference"] for row in held[:4]]
    assert held[3]["grad_norm"] > 10 * free[3]["grad_norm"]


def test_a_stop_leaves_a_checkpoint_and_says_why(tiny_model: Path, tmp_path: Path) -> None:
    stop = {"metric": "reward_mean", "low": 2, "patience": 3, "action": "stop", "advice": "look at it"}
    run = trained(tmp_path / "run", tiny_model, monitors={"enough": stop})
    assert run.stopped_by == "enough"
    assert [row["step"] for row in run.directory.rows("checkpoints.jsonl")] == [2, 3]
    assert events(run.folder)[-1]["message"].endswith("over 3 steps: look at it; stopping, with a checkpoint")
    rest = trained(tmp_path / "run", tiny_model, resume=True, monitors={"enough": stop})
    assert [row["step"] for row in rest.directory.rows("metrics.jsonl")][-1] == 6, (
        "it looks at the steps since"
    )


def test_a_roll_back_to_nothing_stops(tiny_model: Path, tmp_path: Path) -> None:
    back = {"metric": "reward_mean", "low": 2, "patience": 2, "action": "roll-back"}
    run = trained(tmp_path / "run", tiny_model, monitors={"back": back})
    assert run.stopped_by == "back"
    [event] = events(run.folder)
    assert (event["step"], event["action"]) == (2, "stop")
    assert "there is no checkpoint from before it to go back to" in event["message"]


def test_a_backend_that_does_not_do_it_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """Nothing is recorded as done that was not."""
    run = training_run(tmp_path / "run", recipe(tiny_model, monitors=rules(**ACTING)))
    run.learning_rate = lambda rate: rate  # type: ignore[method-assign]
    with pytest.raises(PluginError, match="does not carry out what monitors decide"):
        backend().train(run)


def test_a_stopped_run_exits_with_1_says_so_and_can_go_on(launch: Prl, case: Case, tmp_path: Path) -> None:
    stop = "monitors.enough={metric: reward_mean, low: 2, patience: 3, action: stop}"
    options = ["--config", case.recipe, "--set", "training.max_steps=4", "--out", "run"]
    options += ["--set", "monitors.typo={metric: kl_refrence, high: 1, action: stop}"]
    ended = launch("train", *options, "--set", stop, cwd=tmp_path, code=1)
    assert "monitor enough: reward_mean" in ended.stderr
    assert ended.stderr.count("note: monitor typo is off: no step measures kl_refrence") == 1
    assert "stopped; continue with: prl train --resume run" in ended.stderr
    assert read_jsonl(tmp_path / "run" / "events.jsonl")[-1]["status"] == "stopped"
    assert Run(tmp_path / "run").status == "stopped"
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "checkpoints.jsonl")] == [2, 3]
    launch("train", "--resume", "run", cwd=tmp_path)
    assert Run(tmp_path / "run").status == "completed"
