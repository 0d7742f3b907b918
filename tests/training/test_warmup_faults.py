"""Whatever ends a warm-up on this machine costs no step of it and no pair, and changes none of its numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends import _warmup
from paraphrase_rl_plugins.backends._policy import TrlPolicy
from safetensors.torch import load_file

from paraphrase_rl.errors import NumericalError, RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.training.start import _without_numbers
from paraphrase_rl.training.warmup import WarmupSession
from paraphrase_rl.training.warmup_pairs import PairMaker
from tests.training.cases import numbers
from tests.training.runs import OWN_PAIRS, backend, documents, warm_run, warmup_numbers


def train(run: TrainingSession) -> str:
    try:
        return backend().train(run).status
    finally:
        run.directory.close()


def saved(run: Path) -> list[int]:
    """Steps of the warm-up's checkpoints that are listed, and on the disk with an optimizer."""
    if not (run / "checkpoints.jsonl").exists():
        return []
    rows = [row for row in read_jsonl(run / "checkpoints.jsonl") if row["kind"] == "warmup"]
    assert all((run / row["path"] / "optimizer.pt").is_file() for row in rows)
    return [int(row["warmup_step"]) for row in rows]


def recorded(run: Path) -> list[int]:
    return [row["warmup_step"] for row in read_jsonl(run / "warmup.jsonl")]


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "events.jsonl") if row["event"] == kind]


def everything(run: Path) -> dict[str, Any]:
    """All that must be as if nothing had happened, but for the time that it took."""
    found = {**numbers(run), "warmup": warmup_numbers(run), "steps": recorded(run)}
    found["events"] = [{**row, "time": None} for row in events(run, "warmup-pairs")]
    return {**found, "pairs": (run / "warmup_pairs.jsonl").read_text()}


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(warm_run(run, tiny_model)) == "completed"
    assert recorded(run) == [1, 2, 3, 4, 5, 6, 6], "six steps, and the evaluation after them"
    return everything(run)


# ---- supervised steps


def fail_at(call: int, error: BaseException, function: Callable[..., Any], *, first: bool = True) -> Any:
    """The function, failing once: in that call of it, counted from 1, before it does anything or after."""
    calls = iter(range(1, 10**6))

    def failing(*arguments: Any, **named: Any) -> Any:
        fails = next(calls) == call
        if fails and first:
            raise error
        answer = function(*arguments, **named)
        if fails:
            raise error
        return answer

    return failing


def in_the_gradient(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    """In the second part of the fifth step's batch: the fourth step is the last one done."""
    patch.setattr(_warmup, "completion_logprobs", fail_at(9, error, _warmup.completion_logprobs))


def before_the_record(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    patch.setattr(WarmupSession, "end_step", fail_at(3, error, WarmupSession.end_step))


def after_the_record(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    patch.setattr(WarmupSession, "end_step", fail_at(3, error, WarmupSession.end_step, first=False))


def while_it_is_saved(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    patch.setattr(torch, "save", fail_at(1, error, torch.save))


@pytest.mark.parametrize(
    ("place", "error", "kept"),
    [
        pytest.param(in_the_gradient, KeyboardInterrupt("at once"), 4, id="in the gradient"),
        pytest.param(before_the_record, KeyboardInterrupt("at once"), 3, id="before the record"),
        pytest.param(after_the_record, RuntimeError("out of luck"), 3, id="after the record"),
        pytest.param(while_it_is_saved, RuntimeError("disk is full"), 2, id="while it is saved"),
    ],
)
def test_what_ends_the_steps_costs_none_that_was_done(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[str, Any],
    place: Callable[..., None],
    error: BaseException,
    kept: int,
) -> None:
    keys = {"checkpoint_every": 2 if place is while_it_is_saved else 1000}
    run, said = warm_run(tmp_path / "run", tiny_model, warmup=keys), []
    run.report = lambda line, *_: said.append(line)
    with monkeypatch.context() as patch:
        place(patch, error)
        with pytest.raises((KeyboardInterrupt, RuntimeError, RunError), match=str(error)):
            train(run)
    assert recorded(tmp_path / "run") == list(range(1, kept + 1))
    assert saved(tmp_path / "run") == [kept]
    assert f"rescue checkpoint of warm-up step {kept} written" in said
    assert events(tmp_path / "run", "rescue")[0]["warmup_step"] == kept
    assert train(warm_run(tmp_path / "run", tiny_model, resume=True, warmup=keys)) == "completed"
    assert everything(tmp_path / "run") == whole


def test_an_update_that_was_cut_is_saved_by_nobody(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    """Half of the weights are those of the fourth step: a run goes on from the checkpoint before."""
    update = torch.optim.AdamW.step

    def cut(self: Any, *arguments: Any) -> None:
        held = [p.detach().clone() for p in self.param_groups[0]["params"]]
        update(self, *arguments)
        if self.state[self.param_groups[0]["params"][0]]["step"] == 4:
            for parameter, before in list(zip(self.param_groups[0]["params"], held, strict=True))[::2]:
                parameter.data.copy_(before)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", cut)
        with pytest.raises(KeyboardInterrupt):
            train(warm_run(tmp_path / "run", tiny_model))
    assert recorded(tmp_path / "run") == [1, 2, 3]
    assert saved(tmp_path / "run") == [2]
    assert train(warm_run(tmp_path / "run", tiny_model, resume=True)) == "completed"
    assert everything(tmp_path / "run") == whole


# ---- numbers that are none


def spoiled_gradient(patch: pytest.MonkeyPatch) -> None:
    add = _warmup.add_gradient
    calls = iter(range(1, 10**6))

    def spoiled(model: Any, *arguments: Any) -> Any:
        logprobs, norm = add(model, *arguments)
        if next(calls) == 4:
            next(p for p in model.parameters() if p.requires_grad).grad[0, 0] = norm = float("nan")
        return logprobs, norm

    patch.setattr(_warmup, "add_gradient", spoiled)


def spoiled_update(patch: pytest.MonkeyPatch) -> None:
    update = torch.optim.AdamW.step

    def spoiled(self: Any, *arguments: Any) -> None:
        update(self, *arguments)
        first = self.param_groups[0]["params"][0]
        if self.state[first]["step"] == 4:
            first.data[0, 0] = torch.nan

    patch.setattr(torch.optim.AdamW, "step", spoiled)


def weights_too_large(patch: pytest.MonkeyPatch) -> None:
    """Weights that are numbers, and too large for log-probabilities that are."""
    add = _warmup.add_gradient
    calls = iter(range(1, 10**6))

    def spoiled(model: Any, *arguments: Any) -> Any:
        if next(calls) == 4:
            for parameter in model.parameters():
                parameter.data.mul_(1e20 if parameter.requires_grad else 1.0)
        return add(model, *arguments)

    patch.setattr(_warmup, "add_gradient", spoiled)


@pytest.mark.parametrize(
    ("spoil", "said", "kept"),
    [
        (spoiled_gradient, "the gradient of warm-up step 4 is not a finite number", 3),
        (spoiled_update, "the update of warm-up step 4 left weights that are not finite numbers", 2),
        (weights_too_large, "the gradient of warm-up step 4 is not a finite number", 2),
    ],
)
def test_numbers_that_are_none_are_met_before_they_are_saved(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[..., None],
    said: str,
    kept: int,
) -> None:
    spoil(monkeypatch)
    run = warm_run(tmp_path / "run", tiny_model)
    with pytest.raises(NumericalError, match=said):
        train(run)
    assert recorded(tmp_path / "run") == [1, 2, 3]
    assert saved(tmp_path / "run") == [kept]
    assert all(v.isfinite().all() for f in tmp_path.rglob("*.safetensors") for v in load_file(f).values())
    hint = _without_numbers(run)
    assert hint.startswith("start a new run with a lower warmup.learning_rate")
    assert hint.endswith(f"--set warmup.method=pairs --set warmup.path={tmp_path}/run/warmup_pairs.jsonl")


# ---- pairs


def sampled(patch: pytest.MonkeyPatch) -> list[str]:
    """The texts of which paraphrases are sampled from now on, and the evaluations."""
    found: list[str] = []
    sample = TrlPolicy.sample

    def counting(self: Any, conversations: Any, **how: Any) -> Any:
        found.extend(conversation[-1]["content"] for conversation in conversations)
        return sample(self, conversations, **how)

    patch.setattr(TrlPolicy, "sample", counting)
    return found


def test_pairs_that_are_made_are_kept_and_the_base_model_is_evaluated_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three chunks the second one fails when it is rated; the first holds 8 texts, the others 12."""
    error = RuntimeError("out of luck")
    assert train(warm_run(tmp_path / "whole", tiny_model, warmup=OWN_PAIRS)) == "completed"
    run = warm_run(tmp_path / "run", tiny_model, warmup=OWN_PAIRS)
    with monkeypatch.context() as patch:
        patch.setattr(PairMaker, "_inverse", fail_at(2, error, PairMaker._inverse, first=False))
        with pytest.raises(RuntimeError, match="out of luck"):
            train(run)
    assert len(read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")) == 8
    with monkeypatch.context() as patch:
        texts = sampled(patch)
        assert train(warm_run(tmp_path / "run", tiny_model, warmup=OWN_PAIRS, resume=True)) == "completed"
    assert [t.rpartition("\n\n")[2] for t in texts[:12]] == [d.text for d in documents(20)[8:]]
    assert everything(tmp_path / "run") == everything(tmp_path / "whole")


def test_an_error_between_the_pairs_and_the_steps(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    run = warm_run(tmp_path / "run", tiny_model)

    def failing(line: str, *_: Any) -> None:
        if "14 pairs of 14 texts" in line:
            raise RunError("out of luck")

    run.report = failing
    with pytest.raises(RunError, match="out of luck"):
        train(run)
    assert not events(tmp_path / "run", "warmup-pairs")
    assert saved(tmp_path / "run") == []
    assert train(warm_run(tmp_path / "run", tiny_model, resume=True)) == "completed"
    assert everything(tmp_path / "run") == whole


# ---- checkpoints by the clock


def test_a_checkpoint_is_due_after_minutes_too(tiny_model: Path, tmp_path: Path) -> None:
    often = {"every": 1000, "minutes": 1e-9, "keep": 1}
    run = warm_run(tmp_path / "run", tiny_model, warmup={"checkpoint_every": 1000}, checkpoints=often)
    assert run.warmup is not None
    written: list[int] = []
    add = run.warmup.add_checkpoint
    run.warmup.add_checkpoint = lambda step, *how, **more: written.append(step) or add(step, *how, **more)  # type: ignore[method-assign]
    assert train(run) == "completed"
    assert written == [1, 2, 3, 4, 5, 6]


def test_time_without_a_checkpoint_is_counted_from_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("paraphrase_rl.runs.directory.time", SimpleNamespace(monotonic=lambda: now[0]))
    run = RunDirectory.create(tmp_path / "run")
    run.begin("model: tiny\n", {})
    for minutes in (0, 59):
        now[0] += 60 * minutes
        assert not run.unsaved_for(60)
        assert not run.unsaved_for(None)
    now[0] += 60
    assert run.unsaved_for(60)
    run.add_checkpoint(0, "tinker://r/1", "warmup", every=1, keep=1, warmup_step="1", warmup_steps="2")
    assert not run.unsaved_for(60)
    run.close()
