"""What is wrong with a recipe, its data or its place is said in one line before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.cases import Case, Prl, write_recipe, write_texts

RECIPES = {
    "unknown key": (["--set", "training.epoch=1"], "epoch", "epochs"),
    "unknown section": (["--set", "trainings.epochs=1"], "trainings", "training"),
    "contradictory": (["--set", "training.group_size=1"], "group_size", "docs/recipe.md"),
    "batch larger than the data": (
        ["--set", "training.batch_size=7"],
        "6 AI texts in the train split, fewer than training.batch_size 7",
        "lower training.batch_size",
    ),
    "model is no folder": (["--set", "model=/nowhere"], "/nowhere", ""),
    "model folder is not one": (["--set", "model=."], "error: ", ""),
    "unknown backend": (["--backend", "tlr"], "tlr", "did you mean trl"),
    "unknown detector": (["--set", "detectors=[{name: vowel}]"], "vowel", ""),
    "unknown layer": (["--set", "lora.target_modules=[q_prj]"], "no layer q_prj", "q_proj"),
    "unembedding": (["--set", "lora.target_modules=[q_proj, lm_head]"], "lm_head", "q_proj"),
    "not fitted": (["--set", "detectors=[{name: tfidf}]"], "tfidf", "prl fit tfidf"),
    "no recipe": (["--config", "nothing.yaml"], "nothing.yaml", "quickstart"),
}


def one_line_error(stderr: str) -> tuple[str, str]:
    """The error and its hint: the last two lines, and no other error."""
    error, hint = stderr.splitlines()[-2:]
    assert stderr.count("error: ") == 1
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return error, hint


@pytest.mark.parametrize(("options", "message", "hint"), RECIPES.values(), ids=RECIPES)
def test_recipes(
    launch: Prl, case: Case, tmp_path: Path, options: list[str], message: str, hint: str
) -> None:
    command = ["train", *(["--config", case.recipe] if "--config" not in options else [])]
    environment = {"PRL_HOME": str(tmp_path / "home")}
    ended = launch(*command, *options, "--out", "run", cwd=tmp_path, environment=environment, code=2)
    found = one_line_error(ended.stderr)
    assert message in found[0]
    assert hint in found[1]
    assert ended.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"streams", "home"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda row: row | {"label": "human"}, "0 AI texts"),
        (lambda row: row | {"text": ""} if row["split"] == "train" else row, "the text is empty"),
        (lambda row: row | {"label": "robot"}, "unknown label 'robot'"),
        (lambda row: {"body": row["text"]}, "text"),
        (
            lambda row: row | {"text": f"same {row['pair'][-1]} {'x' * (row['label'] == 'ai')}"},
            "the labels look swapped",
        ),
    ],
    ids=["no AI texts", "empty", "unknown label", "no column text", "calibration fails"],
)
def test_data(launch: Prl, tiny_model: Path, tmp_path: Path, edit, message: str) -> None:
    data = write_texts(tmp_path / "texts.jsonl")
    rows = [edit(json.loads(line)) for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = write_recipe(tmp_path, tiny_model, data)
    ended = launch("train", "--config", recipe, "--out", "run", cwd=tmp_path, code=2)
    one_line_error(ended.stderr)
    assert message in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "file is a file"),
        ("file/run", "cannot write file/run"),
        ("full", "not empty and not a run"),
    ],
)
def test_places(launch: Prl, case: Case, tmp_path: Path, out: str, message: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    ended = launch("train", "--config", case.recipe, "--out", out, cwd=tmp_path, code=2)
    error, hint = one_line_error(ended.stderr)
    assert message in error
    assert "--out" in hint
    assert {path.name for path in tmp_path.rglob("*")} == {
        "file", "full", "thesis.tex", "streams", "stdout", "stderr",
    }  # fmt: skip


def test_terms_that_are_dropped_are_named(launch: Prl, case: Case, tmp_path: Path) -> None:
    rewards = "rewards=[{name: consonants}, {name: fairness}, {name: detector-evasion}]"
    options = ["--set", rewards, "--set", "training.max_steps=1", "--out", "run"]
    ended = launch("train", "--config", case.recipe, *options, cwd=tmp_path)
    assert "note: reward fairness is off" in ended.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())["metrics"]
    assert not [name for name in metrics if name.startswith("fairness")]
