"""A run that was killed, interrupted or starved of disk ends with the numbers of one that nothing disturbed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import append_jsonl, read_jsonl, write_jsonl
from paraphrase_rl.runs.reader import checkpoint_row
from tests.training.cases import Case, Prl, contents, numbers, write_texts


def steps(run: Path, name: str = "metrics") -> list[int]:
    return [row["step"] for row in read_jsonl(run / f"{name}.jsonl")]


@pytest.fixture
def broken(killed: Path, tmp_path: Path) -> Path:
    """A copy of the killed run."""
    shutil.copytree(killed, tmp_path / "run")
    return tmp_path / "run"


def test_the_unbroken_run_takes_every_step_once(unbroken: Path) -> None:
    stdout, stderr = ((unbroken.parent / "streams" / name).read_text() for name in ("stdout", "stderr"))
    assert stdout.startswith("Held-out prompts: 3.")
    assert stdout.endswith("run directory: run\n")
    assert "Warning" not in stderr
    assert stderr.count("\nstep ") == 8
    assert steps(unbroken) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert steps(unbroken, "evaluations") == [0, 3, 6, 8]
    found = numbers(unbroken)
    assert found["monitors"], "else nothing is proved about them"
    assert len({row["reward_mean"] for row in found["metrics"]}) > 4


# Calls of the reward: 1 evaluation, 2 3 4 steps, 5 evaluation, 6 7 8 steps, 9 evaluation, 10 11 steps, 12 evaluation.
@pytest.mark.parametrize(
    ("call", "done", "resumed"),
    [
        pytest.param(2, [], "from its beginning", id="in step 1, before any checkpoint"),
        pytest.param(8, [1, 2, 3, 4, 5], "after step 4", id="in step 6, checkpoint within the second epoch"),
        pytest.param(12, [1, 2, 3, 4, 5, 6, 7, 8], "after step 6", id="in the last evaluation"),
    ],
)
def test_killed(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path, call: int, done: list[int], resumed: str
) -> None:
    faults = {"ACME_SIGNAL": f"SIGKILL:{call}"}
    launch("train", "--config", case.recipe, "--out", "run", cwd=tmp_path, environment=faults, code=-9)
    assert steps(tmp_path / "run") == done
    ended = launch("train", "--resume", "run", cwd=tmp_path)
    assert f"resuming run {resumed}" in ended.stderr
    assert numbers(tmp_path / "run") == numbers(unbroken)


def test_killed_twice_and_while_it_wrote(launch: Prl, broken: Path, unbroken: Path) -> None:
    """At an epoch's end; torn last lines, a checkpoint half written, one entered but not yet in its place."""
    assert steps(broken) == [1, 2, 3, 4, 5, 6]
    unfinished = broken / "checkpoints" / ".unfinished"
    append_jsonl(
        broken / "checkpoints.jsonl", {"step": 8, "kind": "periodic", "path": "checkpoints/checkpoint-8"}
    )
    for name in ("metrics", "samples", "events", "evaluations", "checkpoints"):
        with (broken / f"{name}.jsonl").open("a") as stream:
            stream.write('{"step": 7, "metr')
    shutil.copytree(broken / "checkpoints" / "checkpoint-6", unfinished / "checkpoint-8")
    (unfinished / "checkpoint-7").mkdir()
    (unfinished / "checkpoint-7" / "adapter_model.safetensors").write_bytes(b"half")
    faults = {"ACME_SIGNAL": "SIGKILL:2"}
    launch("train", "--resume", "run", cwd=broken.parent, environment=faults, code=-9)
    assert steps(broken) == [1, 2, 3, 4, 5, 6, 7]
    launch("train", "--resume", "run", cwd=broken.parent)
    assert numbers(broken) == numbers(unbroken)


def test_ctrl_c_stops_after_the_step_with_a_checkpoint(
    launch: Prl, case: Case, unbroken: Path, tmp_path: Path
) -> None:
    faults = {"ACME_SIGNAL": "SIGINT:7"}
    ended = launch(
        "train", "--config", case.recipe, "--out", "a run", cwd=tmp_path, environment=faults, code=130
    )
    run = tmp_path / "a run"
    assert "interrupted; continue with: prl train --resume 'a run'" in ended.stderr
    assert "after (step 3)" in ended.stdout
    assert steps(run) == [1, 2, 3, 4, 5]
    assert [row["step"] for row in read_jsonl(run / "checkpoints.jsonl")] == [2, 4, 5]
    assert read_jsonl(run / "events.jsonl")[-1]["status"] == "interrupted"
    launch("train", "--resume", run, cwd=tmp_path)
    assert numbers(run) == numbers(unbroken)


def test_a_second_ctrl_c_stops_at_once(launch: Prl, case: Case, tmp_path: Path) -> None:
    faults = {"ACME_SIGNAL": "SIGINT,SIGINT:3"}
    ended = launch(
        "train", "--config", case.recipe, "--out", "run", cwd=tmp_path, environment=faults, code=130
    )
    assert "continue with: prl train --resume run" in ended.stderr
    assert ended.stdout == ""
    assert steps(tmp_path / "run") == [1]


def test_a_complete_run_stays_as_it_is(launch: Prl, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    before = contents(tmp_path / "run")
    ended = launch("train", "--resume", "run", cwd=tmp_path)
    assert "run is already complete" in ended.stderr
    assert "after (step 8)" in ended.stdout
    assert contents(tmp_path / "run") == before


def test_a_second_run_into_the_same_directory_is_refused(launch: Prl, case: Case, unbroken: Path) -> None:
    before = contents(unbroken)
    ended = launch("train", "--config", case.recipe, "--out", unbroken, cwd=case.folder, code=2)
    assert "already holds a run" in ended.stderr
    assert f"--resume {unbroken}" in ended.stderr
    assert contents(unbroken) == before


@pytest.mark.parametrize(
    "options",
    [["--config", "quickstart"], ["--out", "x"], ["--backend", "trl"]],
)
def test_a_resumed_run_keeps_its_recipe(
    launch: Prl, killed: Path, options: list[str], tmp_path: Path
) -> None:
    before = contents(killed)
    ended = launch("train", "--resume", killed, *options, cwd=tmp_path, code=2)
    assert "a resumed run keeps its recipe, backend and directory" in ended.stderr
    assert "hint: leave out" in ended.stderr
    assert contents(killed) == before


@pytest.mark.parametrize("what", ["data", "model"])
def test_changed_inputs_are_refused(
    launch: Prl, case: Case, tiny_model: Path, broken: Path, tmp_path: Path, what: str
) -> None:
    recipe = (broken / "recipe.yaml").read_text()
    if what == "data":
        other = write_texts(tmp_path / "texts.jsonl", changed=" more")
        recipe = recipe.replace(str(case.data), str(other))
    else:
        shutil.copytree(tiny_model, tmp_path / "model")
        config = tmp_path / "model" / "generation_config.json"
        config.write_text(config.read_text() + "\n")
        recipe = recipe.replace(str(tiny_model), str(tmp_path / "model"))
        manifest = (broken / "manifest.json").read_text()
        (broken / "manifest.json").write_text(manifest.replace(str(tiny_model), str(tmp_path / "model")))
    (broken / "recipe.yaml").write_text(recipe)
    before = contents(broken)
    ended = launch("train", "--resume", "run", cwd=tmp_path, code=2)
    assert ("cannot change in a run that has begun" if what == "data" else "has changed") in ended.stderr
    assert (
        "hint: start a new run from its weights" if what == "data" else "hint: restore the same"
    ) in ended.stderr
    assert contents(broken) == before


def dropped_tensor(path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(path)
    del tensors[min(tensors)]
    save_file(tensors, path)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "optimizer deleted": ("optimizer.pt", Path.unlink),
    "scheduler deleted": ("scheduler.pt", Path.unlink),
    "tensor dropped": ("adapter_model.safetensors", dropped_tensor),
    "byte flipped": (
        "adapter_model.safetensors",
        lambda at: at.write_bytes(at.read_bytes()[:-1] + bytes([at.read_bytes()[-1] ^ 1])),
    ),
    "step changed": (
        "trainer_state.json",
        lambda at: at.write_text(at.read_text().replace('"global_step": 6', '"global_step": 5')),
    ),
    "cut off": ("rng_state.pth", lambda at: at.write_bytes(at.read_bytes()[:100])),
    "emptied": ("trainer_state.json", lambda at: at.write_text("")),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_and_that_is_said(
    launch: Prl, broken: Path, unbroken: Path, name: str, damage: Callable[[Path], object]
) -> None:
    damage(broken / "checkpoints" / "checkpoint-6" / name)
    ended = launch("train", "--resume", "run", cwd=broken.parent)
    assert f"note: a damaged checkpoint is not used: run/checkpoints/checkpoint-6: {name} " in ended.stderr
    assert "resuming run after step 4" in ended.stderr
    assert [row["checkpoint"] for row in read_jsonl(broken / "events.jsonl") if row["event"] == "damaged"]
    assert numbers(broken) == numbers(unbroken)


def test_a_run_whose_checkpoints_are_all_damaged_is_left_as_it_is(launch: Prl, broken: Path) -> None:
    for checkpoint in (broken / "checkpoints").iterdir():
        (checkpoint / "optimizer.pt").unlink(missing_ok=True)
    before = contents(broken)
    ended = launch("train", "--resume", "run", cwd=broken.parent, code=2)
    assert (
        "error: every checkpoint of run is damaged: run/checkpoints/checkpoint-6: optimizer.pt is missing"
        in (ended.stderr)
    )
    assert contents(broken) == before


def test_a_damaged_final_adapter_is_trained_again(launch: Prl, unbroken: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(unbroken, tmp_path / "run"))
    weights = run / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match=r"is damaged: adapter_model\.safetensors has changed"):
        checkpoint_row(run)
    ended = launch("train", "--resume", "run", cwd=tmp_path)
    assert (
        "a damaged checkpoint is not used: run/adapter: adapter_model.safetensors has changed" in ended.stderr
    )
    assert numbers(run) == numbers(unbroken)


@pytest.mark.parametrize("damaged", ["adapter_model.safetensors", "optimizer.pt", "trainer_state.json"])
def test_a_checkpoint_without_digests_that_cannot_be_read_is_named(
    launch: Prl, broken: Path, damaged: str
) -> None:
    """Runs of older versions have none."""
    rows = read_jsonl(broken / "checkpoints.jsonl")
    write_jsonl(broken / "checkpoints.jsonl", [{k: v for k, v in r.items() if k != "sha256"} for r in rows])
    checkpoint = broken / "checkpoints" / "checkpoint-6"
    whole = (checkpoint / damaged).read_bytes()
    (checkpoint / damaged).write_bytes(whole[: len(whole) // 2])
    ended = launch("train", "--resume", broken, cwd=broken.parent, code=2)
    error, hint = ended.stderr.splitlines()[-2:]
    assert error.startswith(f"error: cannot read {checkpoint}")
    assert "remove that folder" in hint


def test_resume_needs_a_run(launch: Prl, tmp_path: Path) -> None:
    ended = launch("train", "--resume", "nothing", cwd=tmp_path, code=2)
    assert "nothing is not a run" in ended.stderr


@pytest.mark.parametrize(
    ("largest_file", "every", "done"),
    [
        pytest.param(30_000, 2, [2], id="optimizer state"),  # about 45 KB, written by torch
        pytest.param(15_000, 1000, [8], id="final adapter"),  # about 20 KB, written by safetensors
        pytest.param(10_000, 1000, range(1, 9), id="rows"),  # samples.jsonl, torn in the middle of a line
    ],
)
def test_a_full_disk_costs_nothing_that_was_done(
    launch: Prl,
    case: Case,
    unbroken: Path,
    tmp_path: Path,
    largest_file: int,
    every: int,
    done: Sequence[int],
) -> None:
    options = ["--config", case.recipe, "--set", f"checkpoints.every={every}", "--out", "run"]
    ended = launch("train", *options, cwd=tmp_path, largest_file=largest_file, code=2)
    *_, resume, error, hint = ended.stderr.splitlines()
    assert resume == "failed; continue with: prl train --resume run"
    assert error.startswith("error: cannot write")
    assert hint.startswith("hint: free some disk space")
    assert ended.stdout == ""
    run = tmp_path / "run"
    assert steps(run) == list(range(1, len(steps(run)) + 1))
    assert len(steps(run)) in done
    assert all((run / row["path"]).is_dir() for row in read_jsonl(run / "checkpoints.jsonl"))
    launch("train", "--resume", "run", cwd=tmp_path)
    found, expected = numbers(run), numbers(unbroken)
    parts = expected.keys() - ({"checkpoints", "on disk"} if every > 2 else set())
    assert {part: found[part] for part in parts} == {part: expected[part] for part in parts}
