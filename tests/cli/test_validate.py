"""``prl validate``: the table, its exit code, and what is kept."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from paraphrase_rl.acceptance.verdict import CRITERIA, Verdict
from paraphrase_rl.cli.main import cli
from paraphrase_rl.statistics.records import Estimate
from tests.acceptance.accepted import metrics, results, write_all, write_run


def prl(*args: object) -> Result:
    return CliRunner().invoke(cli, ["validate", *map(str, args)])


def test_an_acceptable_run(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run")
    done = prl(run)
    assert done.exit_code == 0, done.output
    table = done.stdout.splitlines()
    assert table[0].split() == ["criterion", "bound", "value", "interval", "verdict", "certain"]
    assert [line.split()[0] for line in table[2:11]] == list(CRITERIA)
    assert table[2].split() == [
        "attack_success_rate",
        ">=",
        "0.6",
        "0.7",
        "0.62",
        "to",
        "0.78",
        "pass",
        "yes",
    ]
    notes = "\n".join(table[12:])
    assert all(criterion in notes for criterion in CRITERIA)
    assert "0.20 before, 0.68 after" in " ".join(notes.split())
    assert done.stderr == f"{run}, policy of step 12: accepted\n"
    assert Verdict.read(run).accepted


def test_what_fails_is_told_from_what_is_missing(tmp_path: Path) -> None:
    rows = metrics()
    rows[4]["metrics"]["reward_std"] = 0.02
    run = write_run(tmp_path / "run", rows=rows)
    done = prl(run)
    assert done.exit_code == 1
    assert (
        "not accepted: 1 failed (reward_std); 3 not measured (attack_success_rate, meaning, " in done.stderr
    )
    assert "prl evaluate" in done.stdout
    assert not Verdict.read(run).accepted
    missing_only = prl(write_run(tmp_path / "other"))
    assert missing_only.exit_code == 1
    assert "failed" not in missing_only.stderr


def test_a_pass_that_is_not_certain_says_so(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run", results(success=Estimate(value=0.61, low=0.5, high=0.7, n=20)))
    done = prl(run)
    assert done.exit_code == 0
    assert done.stderr.endswith("accepted, but not certainly: attack_success_rate\n")


def test_bounds_can_be_set_and_nothing_else(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run")
    assert prl(run, "--set", "acceptance.attack_success_rate=0.9").exit_code == 1
    assert Verdict.read(run).criteria("fail") == ["attack_success_rate"]
    for override, said in [
        (
            "training.seed=1",
            "training.seed cannot be set: the recipe of a run is fixed, except for acceptance",
        ),
        ("acceptance.reward_sdt=1", "did you mean acceptance.reward_std"),
        ("acceptance.reward_std=low", "acceptance.reward_std"),
        ("acceptance", "expected section.key=value"),
    ]:
        refused = prl(run, "--set", override)
        assert refused.exit_code == 2
        assert said in refused.stderr


def test_formats_carry_everything(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run")
    payload = json.loads(prl(run, "--format", "json").stdout)
    assert payload["schema"] == "prl.validate"
    assert payload["accepted"] is True
    assert [row["criterion"] for row in payload["rows"]] == list(CRITERIA)
    assert all(row["note"] for row in payload["rows"])
    lines = prl(run, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == payload["rows"]
    table = list(csv.DictReader(io.StringIO(prl(run, "--format", "csv").stdout)))
    assert [row["verdict"] for row in table] == ["pass"] * 9


def test_best_shows_the_front(tmp_path: Path) -> None:
    run = write_all(tmp_path / "run", results(labels=("policy", "policy@8")))
    done = prl(run, "--checkpoint", "best")
    assert done.exit_code == 0, done.output
    front = done.stdout.split("\n\n")[0].splitlines()
    assert max(map(len, front)) <= 80
    assert front[0].split() == ["step", "evasion", "similarity", "front", "chosen", "source"]
    assert [line.split()[:5] for line in front[2::2]] == [
        ["8", "0.70", "0.90", "yes", "yes"],
        ["12", "0.70", "0.90", "yes", "no"],
    ]
    assert all("[0.62, 0.78]  [0.89, 0.91]" in line for line in front[3::2])
    assert "policy of step 8" in done.stderr
    payload = json.loads(prl(run, "--checkpoint", "best", "--format", "json").stdout)
    assert [candidate["chosen"] for candidate in payload["candidates"]] == [True, False]


def test_an_evaluation_elsewhere(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    results().write(tmp_path / "elsewhere")
    assert prl(run, "--evaluation", tmp_path / "elsewhere").exit_code == 0
    gone = prl(run, "--evaluation", tmp_path / "gone")
    assert gone.exit_code == 2
    assert "holds no evaluation" in gone.stderr


@pytest.mark.parametrize("args", [(), ("--checkpoint", "best")])
def test_no_run(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = prl(tmp_path / "nothing", *args)
    assert done.exit_code == 2
    assert "is not a run" in done.stderr
    assert not (tmp_path / "nothing").exists()
