"""Whatever ends a warm-up at the service costs no pair, and no step that weights are left of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends._tinker_warmup import SupervisedStep

from paraphrase_rl.errors import NumericalError, RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.training.session import TrainingSession
from tests.servers.skyrl_process import free_port
from tests.servers.tinker_server import Server
from tests.tinker.conftest import KEY
from tests.tinker.runs import backend, numbers
from tests.tinker.test_faults import failing, process
from tests.training.runs import OWN_PAIRS, documents, warm_run, warmup_numbers


def train(run: TrainingSession, server: Server | str, **options: Any) -> str:
    try:
        return backend(server, **options).train(run).status
    finally:
        run.directory.close()


def after_line(run: TrainingSession, part: str, act: Callable[[], Any]) -> list[str]:
    """Have something happen when the run shows a line with this part; return the lines as they come."""
    said: list[str] = []

    def report(line: str, *_: Any) -> None:
        said.append(line)
        if part in line:
            act()

    run.report = report
    return said


def saved(run: Path) -> list[str]:
    if not (run / "checkpoints.jsonl").exists():
        return []
    return [row["warmup_step"] for row in read_jsonl(run / "checkpoints.jsonl") if row["kind"] == "warmup"]


def steps(run: Path) -> list[int]:
    return [row["warmup_step"] for row in read_jsonl(run / "warmup.jsonl")]


def everything(run: Path) -> dict[str, Any]:
    evaluations = [row["metrics"] for row in read_jsonl(run / "evaluations.jsonl")]
    pairs = (run / "warmup_pairs.jsonl").read_text()
    return {
        "warmup": warmup_numbers(run),
        "steps": steps(run),
        "metrics": numbers(run),
        "evaluations": evaluations,
        "pairs": pairs,
    }


@pytest.fixture(scope="module")
def whole(qwen: Path, compact: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        assert train(warm_run(run, qwen), compact) == "completed"
    return everything(run)


@pytest.fixture(scope="module")
def whole_with_own_pairs(
    qwen: Path, compact: Server, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        assert train(warm_run(run, qwen, warmup=OWN_PAIRS), compact) == "completed"
    return everything(run)


# ---- supervised steps


@pytest.mark.parametrize("error", [KeyboardInterrupt("at once"), RuntimeError("out of luck")])
def test_an_update_that_the_service_carried_out_is_recorded_and_saved(
    qwen: Path,
    compact: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[str, Any],
    error: BaseException,
) -> None:
    """What fails is here, after the update was sent: a second Ctrl-C, say."""
    measured, calls = SupervisedStep.measured, []

    def failing_once(self: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return measured(self)

    rarely: Mapping[str, Any] = {"checkpoint_every": 1000}
    with monkeypatch.context() as patched:
        patched.setattr(SupervisedStep, "measured", failing_once)
        with pytest.raises(type(error), match=str(error)):
            train(warm_run(tmp_path / "run", qwen, warmup=rarely), compact)
    assert steps(tmp_path / "run") == [1, 2, 3]
    assert saved(tmp_path / "run") == ["3"]
    assert train(warm_run(tmp_path / "run", qwen, warmup=rarely, resume=True), compact) == "completed"
    assert everything(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("fails", "kept"),
    [
        (("forward_backward", "optim_step"), ["2", "3"]),
        (("optim_step",), ["2", "3"]),
        (("forward_backward",), ["2"]),
    ],
)
def test_an_update_that_failed_at_the_service(
    qwen: Path,
    compact: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[str, Any],
    fails: tuple[str, ...],
    kept: list[str],
) -> None:
    """The weights are those of the step before if the service says that it did no optimizer step, else of no step."""
    run = warm_run(tmp_path / "run", qwen)
    engine = compact.service.engine
    with monkeypatch.context() as patch:
        after_line(run, "step 3/6", lambda: [failing(range(1, 2), engine, name, patch) for name in fails])
        with pytest.raises(RunError, match="fallen off the bus"):
            train(run, compact)
    assert steps(tmp_path / "run") == [1, 2, 3]
    assert saved(tmp_path / "run") == kept
    assert train(warm_run(tmp_path / "run", qwen, resume=True), compact) == "completed"
    assert everything(tmp_path / "run") == whole


LINES = {"20 pairs; left out": [], "step 3/4": ["2"]}
"""Shown between the pairs and the steps, and after a step; the checkpoints that there are then."""


@pytest.mark.parametrize("line", LINES)
def test_a_lost_session(
    qwen: Path, compact: Server, tmp_path: Path, whole_with_own_pairs: dict[str, Any], line: str
) -> None:
    run = warm_run(tmp_path / "run", qwen, warmup=OWN_PAIRS)
    said = after_line(run, line, compact.service.sessions.clear)
    with pytest.raises(RunError, match="the session is gone"):
        train(run, compact)
    assert any("could not save a rescue checkpoint" in told for told in said) == ("step" in line)
    went_on(tmp_path / "run", qwen, compact, line, whole_with_own_pairs)


@pytest.mark.service
def test_a_service_that_dies(qwen: Path, tmp_path: Path, whole_with_own_pairs: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    run = warm_run(tmp_path / "run", qwen, warmup=OWN_PAIRS)
    with process(qwen, port, tmp_path / "state") as service:
        after_line(run, "step 3/4", service.kill)
        with pytest.raises(RunError, match="no answer from the service within 3 s"):
            train(run, url, timeout_s=3.0)
    with process(qwen, port, tmp_path / "state"):
        went_on(tmp_path / "run", qwen, url, "step 3/4", whole_with_own_pairs)


def went_on(folder: Path, model: Path, server: Server | str, line: str, whole: dict[str, Any]) -> None:
    """A run that could not be rescued goes on from what was listed when it showed the line."""
    assert len(read_jsonl(folder / "warmup_pairs.jsonl")) == 20
    assert saved(folder) == LINES[line]
    assert train(warm_run(folder, model, warmup=OWN_PAIRS, resume=True), server) == "completed"
    assert everything(folder) == whole


# ---- numbers that are none


def spoil(at: int, engine: Any, patch: pytest.MonkeyPatch) -> None:
    """Makes the weights of a service that tells no norms NaN in an update, counted from 1."""
    update, made = engine.optim_step, iter(range(1, 10**6))

    def spoiled(model_id: str, *arguments: Any) -> Any:
        answer = update(model_id, *arguments)
        if next(made) == at:
            engine.trained[model_id].parameters[0].data.fill_(torch.nan)
        return {**answer, "metrics": {}}

    patch.setattr(engine, "optim_step", spoiled)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (3, "the loss of warm-up step 4 is not a finite number"),
        (4, "the update of warm-up step 4 left weights that are not finite numbers"),
    ],
    ids=["met by the next step", "met by the checkpoint"],
)
def test_weights_that_are_no_numbers_are_not_saved(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, said: str
) -> None:
    spoil(at, compact.service.engine, monkeypatch)
    with pytest.raises(NumericalError, match=said):
        train(warm_run(tmp_path / "run", qwen), compact)
    assert saved(tmp_path / "run") == ["2"]


def test_weights_that_are_no_numbers_are_not_rescued(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(3, compact.service.engine, monkeypatch)
    run = warm_run(tmp_path / "run", qwen)
    said = after_line(run, "step 3/6", lambda: (_ for _ in ()).throw(RuntimeError("out of luck")))
    with pytest.raises(RuntimeError, match="out of luck"):
        train(run, compact)
    assert saved(tmp_path / "run") == ["2"]
    assert said[-1] == (
        "could not save a rescue checkpoint of warm-up step 3: "
        "the update of warm-up step 3 left weights that are not finite numbers"
    )


# ---- pairs


def test_samples_that_fail_for_good_cost_no_pair_that_was_made(
    qwen: Path,
    compact: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_with_own_pairs: dict[str, Any],
) -> None:
    engine, run = compact.service.engine, warm_run(tmp_path / "run", qwen, warmup=OWN_PAIRS)
    with monkeypatch.context() as patch:
        after_line(run, "(1 of 3 chunks)", lambda: failing(range(1, 10**6), engine, "sample", patch))
        with pytest.raises(RunError, match="fallen off the bus"):
            train(run, compact)
    assert len(read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")) == 8
    retries = [r for r in read_jsonl(tmp_path / "run" / "events.jsonl") if r["event"] == "retry"]
    assert len(retries) == 2
    assert all("fallen off the bus" in row["reason"] for row in retries)

    asked, sample = [], engine.sample
    monkeypatch.setattr(engine, "sample", lambda *given: asked.append(len(given[1])) or sample(*given))
    rest = warm_run(tmp_path / "run", qwen, warmup=OWN_PAIRS, resume=True)
    made: list[int] = []
    after_line(rest, "20 pairs; left out", lambda: made.append(sum(asked)))
    assert train(rest, compact) == "completed"
    assert made == [len(documents(20)) - 8], (
        "no pair is made again, and the base model is not evaluated again"
    )
    assert everything(tmp_path / "run") == whole_with_own_pairs
