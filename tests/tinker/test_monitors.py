"""Monitors that act, on the service: the events of the other backend, and the same again after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.training.session import TrainingSession
from tests.tinker.conftest import KEY
from tests.tinker.runs import alike, backend, numbers, short
from tests.training.runs import training_run
from tests.training.test_monitor_actions import ACTING, DID, CrashError, after, did, rules


def acting(model: Path, steps: int = 8, **monitors: Any) -> Recipe:
    """Steps of which the monitors decide as in ``ACTING``."""
    return short(model, training={"max_steps": steps}, monitors=rules(**(monitors or ACTING)))


@pytest.fixture(scope="module")
def whole(qwen: Path, server: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainingSession:
    run = training_run(tmp_path_factory.mktemp("acting") / "run", acting(qwen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        assert backend(server).train(run).status == "completed"
    run.directory.close()
    return run


def rows(run: TrainingSession) -> list[dict[str, float]]:
    return [row["metrics"] for row in run.directory.rows("metrics.jsonl")]


def test_events_and_settings_are_those_of_every_backend(whole: TrainingSession) -> None:
    assert did(whole.folder) == DID
    assert [row["learning_rate"] for row in rows(whole)] == [0.01] * 3 + [0.005] * 5
    assert [row["kl_penalty_coef"] for row in rows(whole)] == [0.1] * 4 + [1.0] * 4
    assert all(abs(row["kl_sample_train"]) < 1e-5 for row in rows(whole)), "the sampler was rolled back too"
    assert [row["step"] for row in whole.directory.rows("checkpoints.jsonl")] == [2, 4, 5, 6, 8, 8]


def test_a_roll_back_restores_the_weights(whole: TrainingSession, server: Any, tmp_path: Path) -> None:
    ledger = {row["step"]: row for row in whole.directory.rows("checkpoints.jsonl")}
    weights = {}
    for step in (2, 4, 5):
        backend(server).export(whole.folder, ledger[step], tmp_path / str(step))
        weights[step] = load_file(tmp_path / str(step) / "adapter_model.safetensors")
    same = {step: all((weights[step][key] == weights[5][key]).all() for key in weights[5]) for step in (2, 4)}
    assert same == {2: True, 4: False}


@pytest.mark.parametrize("step", [5, 7])
def test_a_crashed_run_does_the_same_again(
    whole: TrainingSession, qwen: Path, server: Any, tmp_path: Path, step: int
) -> None:
    run = training_run(tmp_path / "run", acting(qwen), stop_requested=after(step))
    with pytest.raises(CrashError):
        backend(server).train(run)
    run.directory.close()
    rest = training_run(tmp_path / "run", acting(qwen), resume=True)
    backend(server).train(rest)
    rest.directory.close()
    assert did(rest.folder) == did(whole.folder)
    assert numbers(rest.folder) == alike(numbers(whole.folder), server)


def test_a_lower_rate_and_a_higher_coefficient_reach_the_update(
    qwen: Path, server: Any, tmp_path: Path
) -> None:
    always = {"metric": "reward_mean", "low": 2, "patience": 2, "limit": 1}
    still = {**always, "action": "lower-rate", "factor": 1e-9}
    firm = {**always, "action": "raise-kl", "factor": 1000}
    runs = {}
    for name, given in (
        ("free", {"x": {**always, "action": "note"}}),
        ("still", {"x": still}),
        ("firm", {"x": firm}),
    ):
        runs[name] = training_run(tmp_path / name, acting(qwen, 4, **given))
        backend(server).train(runs[name])
    free, slow, held = (rows(run) for run in runs.values())
    assert abs(slow[1]["kl_post_train"]) > 1e-3
    assert max(abs(row["kl_post_train"]) for row in slow[2:]) < 1e-5, "the weights stay as they are"
    assert free[2]["kl_reference"] == pytest.approx(held[2]["kl_reference"], rel=1e-3)
    # SkyRL samples the same text throughout a step now and then: that has no gradient
    told_apart = next(i for i in (2, 3) if free[i]["reward_std"] > 0)
    assert held[told_apart]["grad_norm"] > 10 * free[told_apart]["grad_norm"]


def test_a_stop_ends_after_the_step_that_decided_it(qwen: Path, server: Any, tmp_path: Path) -> None:
    stop = {"metric": "reward_mean", "low": 2, "patience": 3, "action": "stop"}
    run = training_run(tmp_path / "run", acting(qwen, 4, enough=stop))
    result = backend(server).train(run)
    assert (result.status, result.step, run.stopped_by) == ("interrupted", 3, "enough")
    assert [row["step"] for row in run.directory.rows("checkpoints.jsonl")] == [2, 3]
