"""Whatever ends a training, or a part of it, costs no step that was done, and the exit code says what happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from paraphrase_rl.errors import NumericalError, RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.training.start import _without_numbers
from tests.tiny_model import save_tiny_model
from tests.training.cases import Case, Prl, numbers, write_recipe
from tests.training.runs import backend, recipe, training_run


def listed(run: Path) -> list[int]:
    return [row["step"] for row in read_jsonl(run / "checkpoints.jsonl")]


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "events.jsonl") if row["event"] == kind]


# ---- signals


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 143)])
def test_a_signal_is_obeyed_like_ctrl_c(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path, name: str, code: int
) -> None:
    faults = {"ACME_SIGNAL": f"{name}:7"}
    ended = launch(
        "train", "--config", case.recipe, "--out", "run", cwd=tmp_path, environment=faults, code=code
    )
    run = tmp_path / "run"
    assert "stopping after this step, with a checkpoint" in ended.stderr
    assert "interrupted; continue with: prl train --resume run" in ended.stderr
    assert listed(run) == [2, 4, 5]
    assert events(run, "end")[-1]["status"] == "interrupted"
    launch("train", "--resume", "run", cwd=tmp_path)
    assert numbers(run) == numbers(unbroken)


@pytest.mark.parametrize("names", ["SIGTERM,SIGTERM", "SIGINT,SIGHUP"])
def test_a_second_signal_stops_at_once_and_what_was_done_is_saved(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path, names: str
) -> None:
    faults = {"ACME_SIGNAL": f"{names}:7"}  # in step 5, after the checkpoint of step 4
    options = ["--config", case.recipe, "--set", "checkpoints.every=3", "--out", "run"]
    ended = launch("train", *options, cwd=tmp_path, environment=faults, code=143)
    assert "rescue checkpoint of step 4 written" in ended.stderr
    assert ended.stderr.endswith("terminated\n")
    run = tmp_path / "run"
    assert listed(run) == [3, 4]
    assert events(run, "rescue")[0]["step"] == 4
    launch("train", "--resume", "run", cwd=tmp_path)
    assert numbers(run)["metrics"] == numbers(unbroken)["metrics"]
    assert numbers(run)["adapter"] == numbers(unbroken)["adapter"]


# ---- progress that cannot be shown


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("2>&1 | head -8", 0),
        ("2>/dev/full", 0),
        (">&-", 0),
        ("2>&-", 0),
        (">&- 2>&-", 0),
        (">/dev/full", 2),  # the summary is lost, and that is said
    ],
)
def test_what_cannot_be_shown_ends_no_training(
    launch: Prl, case: Case, tmp_path: Path, shell: str, code: int
) -> None:
    options = ["--config", case.recipe, "--set", "training.max_steps=3", "--out", "run"]
    ended = launch("train", *options, cwd=tmp_path, shell=shell, code=code)
    run = tmp_path / "run"
    assert [row["step"] for row in read_jsonl(run / "metrics.jsonl")] == [1, 2, 3]
    assert events(run, "end")[-1]["status"] == "completed"
    assert ("No space left" in ended.stderr) == (code == 2)
    if "head" in shell:
        assert len(ended.stdout.splitlines()) == 8


def test_nobody_reads_and_the_exit_code_is_that_of_the_run(launch: Prl, case: Case, tmp_path: Path) -> None:
    options = ["--config", case.recipe, "--out", "run"]
    faults = {"ACME_SIGNAL": "SIGINT:7"}
    launch("train", *options, cwd=tmp_path, environment=faults, shell="2>&1 | head -8", code=130)
    assert listed(tmp_path / "run") == [2, 4, 5]


# ---- rewards that stop coming


@pytest.mark.parametrize(
    ("silent", "said"),
    [
        ("false", "crashes on each of 6 items: RuntimeError: the licence has expired"),
        ("true", "none of the 6 rollouts of a step has a reward"),
    ],
)
def test_the_only_detector_fails_from_its_sixth_call_on(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path, silent: str, said: str
) -> None:
    only = f"detectors=[{{name: fragile, options: {{after: 6, silent: {silent}}}}}]"
    options = ["--config", case.recipe, "--set", only, "--set", "checkpoints.every=100", "--out", "run"]
    ended = launch("train", *options, cwd=tmp_path, code=2)
    run = tmp_path / "run"
    steps = [row["step"] for row in read_jsonl(run / "metrics.jsonl")]
    assert steps, "it failed too early to show anything"
    assert said in ended.stderr.replace("\n", " ")
    assert f"rescue checkpoint of step {steps[-1]} written" in ended.stderr
    assert listed(run) == steps[-1:]
    assert said in events(run, "end")[-1]["reason"]
    assert all(row["metrics"]["frac_unrewarded"] < 1 for row in read_jsonl(run / "metrics.jsonl"))


# ---- numbers that are none


def test_damaged_weights_are_one_line(launch: Prl, case: Case, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    damaged = save_tiny_model(tmp_path / "damaged")
    model = LlamaForCausalLM.from_pretrained(damaged)
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.nan
    model.save_pretrained(damaged)
    path = write_recipe(tmp_path, damaged, case.data)
    ended = launch("train", "--config", path, "--out", "run", cwd=tmp_path, code=2)
    *_, error, hint = ended.stderr.splitlines()
    assert error == (
        "error: the model gives log-probabilities that are not finite numbers: its weights are damaged"
    )
    assert hint == "hint: there is no checkpoint yet; start a new run with a lower training.learning_rate"


def spoiled_gradient(trainer: Any) -> Callable[..., Any]:
    whole = trainer._compute_loss
    return lambda self, model, inputs: (
        whole(self, model, inputs) * (torch.nan if self.state.global_step == 3 else 1.0)
    )


def spoiled_update(trainer: Any) -> Callable[..., Any]:
    measure = trainer.step_metrics

    def after_the_update(self: Any) -> Any:
        if self.state.global_step == 4:
            next(p for p in self.model.parameters() if p.requires_grad).data.fill_(torch.nan)
        return measure(self)

    return after_the_update


@pytest.mark.parametrize(
    ("method", "spoil", "said", "saved"),
    [
        ("_compute_loss", spoiled_gradient, "the gradient of step 4 is not a finite number", [2, 3]),
        (
            "step_metrics",
            spoiled_update,
            "the update of step 4 left weights that are not finite numbers",
            [2],
        ),
    ],
)
def test_numbers_that_are_none_are_met_before_they_are_saved(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    spoil: Callable[[Any], Any],
    said: str,
    saved: list[int],
) -> None:
    from paraphrase_rl_plugins.backends._trainer import RecipeTrainer

    monkeypatch.setattr(RecipeTrainer, method, spoil(RecipeTrainer))
    run = training_run(tmp_path / "run", recipe(tiny_model))
    with pytest.raises(NumericalError, match=said):
        backend().train(run)
    assert _without_numbers(run).startswith(
        f"the last good checkpoint is that of step {saved[-1]}; start a new run from it: prl train --from "
    )
    run.directory.close()
    assert listed(tmp_path / "run") == saved
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3]


# ---- checkpoints by the clock


def test_a_checkpoint_is_due_after_minutes_too(tiny_model: Path, tmp_path: Path) -> None:
    often = {"every": 1000, "minutes": 1e-9, "keep": 1}
    run = training_run(
        tmp_path / "run",
        recipe(
            tiny_model,
            checkpoints=often,
            training={"batch_size": 2, "group_size": 3, "max_steps": 3, "learning_rate": 0.01},
        ),
    )
    written: list[int] = []
    add = run.add_checkpoint
    run.add_checkpoint = lambda step, *how, **more: written.append(step) or add(step, *how, **more)  # type: ignore[method-assign]
    backend().train(run)
    run.directory.close()
    assert written == [1, 2, 3, 3], "by the clock, after the last step, and the final one"
    assert listed(tmp_path / "run") == [3, 3]
    rare = training_run(tmp_path / "rare", recipe(tiny_model, checkpoints={"every": 1000, "minutes": None}))
    assert not rare.checkpoint_due(1)
    assert rare.checkpoint_due(1000)


def test_a_rescue_that_is_impossible_hides_no_error(tiny_model: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = training_run(tmp_path / "run", recipe(tiny_model))
    run.report = lambda line, *_: said.append(line)

    def fail(folder: Path, record: Any) -> None:
        if record.step == 3:
            (tmp_path / "run" / "checkpoints" / "checkpoint-3").mkdir()  # in the place of the rescue
            raise RunError("mine")

    run.observe = fail
    with pytest.raises(RunError, match="mine"):
        backend().train(run)
    run.directory.close()
    assert any(line.startswith("could not save a rescue checkpoint of step 3: ") for line in said)
    assert listed(tmp_path / "run") == [2]


# ---- between the update and its record


def broken(trainer: Any, at: int, error: BaseException, *, times: int) -> Callable[..., Any]:
    measure = trainer.step_metrics
    left = [times]

    def measured(self: Any) -> Any:
        if self.state.global_step == at and left[0]:
            left[0] -= 1
            raise error
        return measure(self)

    return measured


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of luck")])
def test_a_step_that_was_trained_and_not_recorded_is_recorded_and_saved(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from paraphrase_rl_plugins.backends._trainer import RecipeTrainer

    settings = recipe(tiny_model, checkpoints={"every": 1000})
    whole = training_run(tmp_path / "whole", settings)
    backend().train(whole)
    whole.directory.close()
    with monkeypatch.context() as patched:
        patched.setattr(RecipeTrainer, "step_metrics", broken(RecipeTrainer, 3, error, times=1))
        run = training_run(tmp_path / "run", settings)
        with pytest.raises(type(error)):
            backend().train(run)
        run.directory.close()
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3]
    assert listed(tmp_path / "run") == [3]
    rest = training_run(tmp_path / "run", settings, resume=True)
    backend().train(rest)
    rest.directory.close()

    def measured(run: Path) -> list[dict[str, float]]:
        rows = [row["metrics"] for row in read_jsonl(run / "metrics.jsonl")]
        return [{k: v for k, v in row.items() if "second" not in k} for row in rows]

    assert measured(tmp_path / "run") == measured(tmp_path / "whole")


def test_a_step_that_cannot_be_measured_is_not_made_up(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraphrase_rl_plugins.backends._trainer import RecipeTrainer

    failing = broken(RecipeTrainer, 3, RuntimeError("out of luck"), times=2)
    monkeypatch.setattr(RecipeTrainer, "step_metrics", failing)
    said: list[str] = []
    run = training_run(tmp_path / "run", recipe(tiny_model), report=lambda line, *_: said.append(line))
    with pytest.raises(RuntimeError, match="out of luck"):
        backend().train(run)
    run.directory.close()
    assert "step 3 cannot be recorded: RuntimeError: out of luck" in said
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "metrics.jsonl")] == [1, 2]
    assert listed(tmp_path / "run") == [2]
