"""A run that is extended, and a new run from the weights of another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from paraphrase_rl.files import read_jsonl
from paraphrase_rl.runs.reader import recipe_of_run
from tests.training.cases import Case, Prl, contents, numbers


def steps(run: Path, name: str = "metrics") -> list[int]:
    return [row["step"] for row in read_jsonl(run / f"{name}.jsonl")]


def test_a_complete_run_is_extended_to_the_numbers_of_a_longer_one(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    begin = ["--config", case.recipe, "--set", "training.max_steps=4", "--out", "run"]
    launch("train", *begin, cwd=tmp_path)
    first = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    faults = {"ACME_SIGNAL": "SIGKILL:3"}  # in step 6
    more = ["--resume", "run", "--set", "training.max_steps=8", "--set", "acceptance.meaning=0.5"]
    launch("train", *more, cwd=tmp_path, environment=faults, code=-9)
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == first, (
        "it stays till there is another"
    )
    ended = launch("train", "--resume", "run", cwd=tmp_path)
    assert "resuming run after step" in ended.stderr
    found, expected = numbers(run), numbers(unbroken)
    assert steps(run, "evaluations") == [0, 3, 4, 6, 8]
    for part in ("metrics", "adapter", "checkpoints", "on disk", "monitors"):
        assert found[part] == expected[part]
    assert recipe_of_run(run).training.max_steps == 8
    assert recipe_of_run(run).acceptance.meaning == 0.5
    changed = next(row for row in read_jsonl(run / "events.jsonl") if row["event"] == "changed")
    assert (changed["steps"], changed["keys"]) == (8, {"training.max_steps": 8, "acceptance.meaning": 0.5})


def test_a_complete_run_goes_on_after_its_last_step(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path
) -> None:
    """Its final adapter has no optimizer: a checkpoint of the last step does, whatever the interval."""
    begin = ["--config", case.recipe, "--set", "training.max_steps=5", "--set", "checkpoints.every=3"]
    launch("train", *begin, "--out", "run", cwd=tmp_path)
    run = tmp_path / "run"
    kinds = [(row["step"], row["kind"]) for row in read_jsonl(run / "checkpoints.jsonl")]
    assert kinds == [(3, "periodic"), (5, "periodic"), (5, "final")]
    ended = launch("train", "--resume", "run", "--set", "training.max_steps=8", cwd=tmp_path)
    assert "resuming run after step 5" in ended.stderr
    assert "step 5/8" not in ended.stderr, "nothing is trained twice"
    found, expected = numbers(run), numbers(unbroken)
    assert found["metrics"] == expected["metrics"]
    assert found["adapter"] == expected["adapter"]


def test_what_changes_no_step_is_changed_in_a_complete_run(
    launch: Prl, unbroken: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(unbroken, tmp_path / "run"))
    before = numbers(run)
    ended = launch("train", "--resume", "run", "--set", "checkpoints.keep=7", cwd=tmp_path)
    assert "changed in this run: checkpoints.keep" in ended.stderr
    assert "run is already complete" in ended.stderr
    assert recipe_of_run(run).checkpoints.keep == 7
    assert numbers(run) == before


def test_intervals_and_monitors_change_between_steps(
    launch: Prl, killed: Path, unbroken: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    changes = ["evaluation.every=2", "checkpoints.every=1", "checkpoints.minutes=600"]
    changes += ["monitors.quiet={metric: reward_mean, low: 2, patience: 1, limit: 1, action: note}"]
    launch(
        "train", "--resume", "run", *(word for change in changes for word in ("--set", change)), cwd=tmp_path
    )
    found, expected = numbers(run), numbers(unbroken)
    assert (found["metrics"], found["adapter"]) == (expected["metrics"], expected["adapter"])
    assert steps(run, "evaluations")[-1] == 8
    (changed,) = [row for row in read_jsonl(run / "events.jsonl") if row["event"] == "changed"]
    assert {key.partition(".")[0] for key in changed["keys"]} == {"evaluation", "checkpoints", "monitors"}
    assert recipe_of_run(run).monitors["quiet"].action == "note"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("kl.penalty_coef=1", "kl.penalty_coef cannot change in a run that has begun"),
        ("evaluation.prompts=1", "evaluation.prompts cannot change"),
        ("training.seed=9", "training.seed cannot change"),
        ("training.max_steps=5", "run has done 6 steps, more than the 5 of the changed recipe"),
    ],
)
def test_what_steps_depend_on_is_refused(
    launch: Prl, killed: Path, tmp_path: Path, change: str, said: str
) -> None:
    shutil.copytree(killed, tmp_path / "run")
    before = contents(tmp_path / "run")
    ended = launch("train", "--resume", "run", "--set", change, cwd=tmp_path, code=2)
    assert said in ended.stderr
    assert "6 steps" in said or "hint: start a new run from its weights: prl train --from run" in ended.stderr
    assert contents(tmp_path / "run") == before


def test_an_edited_recipe_is_met_like_a_change(launch: Prl, killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02", 1))
    ended = launch("train", "--resume", "run", cwd=tmp_path, code=2)
    assert "training.learning_rate cannot change in a run that has begun" in ended.stderr


def test_a_new_run_from_the_weights_of_another(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path
) -> None:
    begin = [
        "--from",
        unbroken,
        "--set",
        "kl.penalty_coef=1",
        "--set",
        "training.max_steps=3",
        "--out",
        "run",
    ]
    faults = {"ACME_SIGNAL": "SIGKILL:2"}  # in its first step: the weights are in the run
    launch("train", *begin, cwd=tmp_path, environment=faults, code=-9)
    run = tmp_path / "run"
    shutil.copytree(run, tmp_path / "again")
    moved = {name: load_file(run / "initial" / name) for name in ("adapter_model.safetensors",)}
    assert moved.keys() == {"adapter_model.safetensors"}
    ended = launch("train", "--resume", "run", cwd=tmp_path)
    assert "resuming run from its beginning" in ended.stderr
    assert steps(run) == [1, 2, 3]
    first, last = read_jsonl(run / "evaluations.jsonl")[0], read_jsonl(unbroken / "evaluations.jsonl")[-1]
    assert first["metrics"] == last["metrics"], "it begins with the policy that the other ended with"
    assert recipe_of_run(run).kl.penalty_coef == 1
    assert recipe_of_run(run).training.batch_size == 2
    (tmp_path / "again" / "initial" / "adapter_model.safetensors").write_bytes(b"?")
    ended = launch("train", "--resume", "again", cwd=tmp_path, code=2)
    assert (
        "the weights that again began with are damaged: initial/adapter_model.safetensors has changed"
        in ended.stderr
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "lora.rank=8"], "does not fit the recipe's lora (rank 8, alpha 8)"),
        (["--set", "model=elsewhere"], "and the recipe's model is elsewhere"),
        (["--resume", "x"], "a resumed run keeps its recipe"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    launch: Prl, unbroken: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    ended = launch("train", "--from", unbroken, *options, "--out", "run", cwd=tmp_path, code=2)
    assert said in ended.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
