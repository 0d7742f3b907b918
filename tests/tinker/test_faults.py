"""A service that dies, refuses or is not there: one line, within the time limit, and a run that can go on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import tinker
from paraphrase_rl_plugins.backends._tinker_service import Service

from paraphrase_rl.errors import RecipeError, RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.recipe.schema import Sampling
from tests.servers.fault_proxy import FAULTS, FaultProxy
from tests.servers.skyrl_process import free_port
from tests.servers.tinker_server import Server
from tests.tinker.conftest import KEY
from tests.tinker.runs import backend, numbers, short
from tests.training.runs import training_run

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(model: Path, port: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.servers.tinker_server", str(model)]
    started = subprocess.Popen(
        [*command, "--port", str(port), "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    try:
        assert started.stdout is not None
        assert "ready" in started.stdout.readline()
        yield started
    finally:
        started.kill()
        started.wait()


@pytest.mark.service
def test_a_run_survives_the_death_of_the_service(qwen: Path, compact: Server, tmp_path: Path) -> None:
    unbroken = training_run(tmp_path / "unbroken", short(qwen))
    backend(compact).train(unbroken)
    port, folder = free_port(), tmp_path / "run"
    url = f"http://127.0.0.1:{port}"
    run = training_run(folder, short(qwen))
    with process(qwen, port, tmp_path / "state") as service:

        def kill_in_the_third_step(where: Path, record: Any) -> None:
            if record.step == 2:
                run.evaluation_due = lambda step: service.kill()  # after the checkpoint is in the ledger

        run.observe = kill_in_the_third_step
        started = time.monotonic()
        with pytest.raises(RunError) as caught:
            backend(url, timeout_s=3.0).train(run)
        assert time.monotonic() - started < 15
    run.directory.close()
    assert "no answer from the service within 3 s" in caught.value.message
    assert caught.value.hint == f"continue with: prl train --resume {folder}"

    with process(qwen, port, tmp_path / "state"):
        rest = training_run(folder, short(qwen), resume=True)
        assert rest.resume_from is not None
        assert rest.resume_from[0] == 2
        assert backend(url).train(rest).status == "completed"
    rest.directory.close()
    assert numbers(folder) == numbers(tmp_path / "unbroken")


def test_a_service_that_is_not_there(qwen: Path, tmp_path: Path) -> None:
    run = training_run(tmp_path / "run", short(qwen))
    with pytest.raises(RunError, match="connecting: no answer from the service within 1 s"):
        backend(f"http://127.0.0.1:{free_port()}", timeout_s=1.0).train(run)


def test_a_model_that_is_not_served(qwen: Path, compact: Server, tmp_path: Path) -> None:
    policy = backend(compact).policy
    with pytest.raises(RunError, match="base model 'elsewhere' is not served"):
        policy("elsewhere", None)


def test_a_checkpoint_that_is_not_there(qwen: Path, server: Any) -> None:
    with pytest.raises(RunError, match=r"the service (failed|refuses the request): "):
        backend(server).policy(str(qwen), "tinker://nobody:train:0/sampler_weights/none").sample(
            [[{"role": "user", "content": "hello"}]],
            n=1,
            keys=[(1,)],
            sampling=Sampling(max_tokens=2),
        )


def test_a_request_that_is_refused_is_not_to_be_resumed() -> None:
    request = httpx.Request("POST", "http://service/api/v1/asample")
    refused = tinker.BadRequestError(
        "prompt is longer than the context", response=httpx.Response(400, request=request), body=None
    )
    service = Service.__new__(Service)
    service.timeout, service.remedy = 1.0, "continue with: prl train --resume run"
    error = service._explained(refused, "sampling")
    assert "the service refuses the request: prompt is longer than the context" in error.message
    assert "--resume" not in error.hint
    assert "prl train --from RUN" in error.hint
    assert service._explained(RuntimeError("down"), "sampling").hint == service.remedy


def test_a_wrong_key_is_told_and_not_shown(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-wrong")
    run = training_run(tmp_path / "run", short(qwen))
    with pytest.raises(RunError) as caught:
        backend(compact).train(run)
    assert (caught.value.message, caught.value.hint) == (
        "the service refuses the API key",
        "check the value of TINKER_API_KEY",
    )


def test_the_key_is_nowhere_and_nothing_is_reported_about_the_user(
    qwen: Path,
    compact: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINKER_LOG", "debug")
    for logger in ("", "tinker", "httpx", "httpcore"):
        caplog.set_level("DEBUG", logger=logger)
    compact.service.seen.clear()
    run = training_run(tmp_path / "run", short(qwen, training={"max_steps": 1}))
    backend(compact).train(run)
    run.directory.close()
    written = "".join(file.read_text() for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert "tinker://" in written
    assert "forward_backward" in caplog.text, "the SDK's own log is among what is searched"
    for place in (written, caplog.text, *capfd.readouterr()):
        assert KEY not in place
    assert "forward_backward" in compact.service.seen
    assert "telemetry" not in compact.service.seen


def test_messages_that_hold_the_key_lose_it() -> None:
    from paraphrase_rl_plugins.backends._tinker_key import without_key

    assert without_key(f"bad header X-API-Key: {KEY}!") == "bad header X-API-Key: tml-***!"


def test_no_key_is_one_line(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINKER_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RecipeError) as caught:
        backend(compact).train(training_run(tmp_path / "run", short(qwen)))
    assert caught.value.one_line == "tinker: there is no API key; export TINKER_API_KEY=tml-..."


def test_a_run_through_a_bad_network_gives_the_numbers_of_a_good_one(
    qwen: Path, compact: Server, tmp_path: Path
) -> None:
    """No step is trained twice and none is skipped: one more optimizer step would change every later number."""
    proxy = FaultProxy(compact.url, rate=0.2)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    runs = {"good": compact.url, "bad": proxy.url}
    for name, url in runs.items():
        run = training_run(tmp_path / name, short(qwen, training={"max_steps": 3}))
        assert backend(url).train(run).status == "completed"
        run.directory.close()
    proxy.shutdown()
    assert set(proxy.done) >= set(FAULTS), "every kind of fault was met"
    assert numbers(tmp_path / "bad") == numbers(tmp_path / "good")


def test_a_lost_session_ends_in_the_line_that_resumes(qwen: Path, compact: Server, tmp_path: Path) -> None:
    unbroken = training_run(tmp_path / "unbroken", short(qwen))
    backend(compact).train(unbroken)
    folder = tmp_path / "run"
    run = training_run(folder, short(qwen))

    def forget(where: Path, record: Any) -> None:
        if record.step == 3:
            compact.service.sessions.clear()

    run.observe = forget
    with pytest.raises(RunError) as caught:
        backend(compact).train(run)
    run.directory.close()
    assert "the session is gone" in caught.value.message
    assert caught.value.hint == f"continue with: prl train --resume {folder}"
    rest = training_run(folder, short(qwen), resume=True)
    assert backend(compact).train(rest).status == "completed"
    rest.directory.close()
    assert numbers(folder) == numbers(tmp_path / "unbroken")


def failing(calls: range, engine: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the engine of a service fail in some calls of a method, counted from 1."""
    whole, made = getattr(engine, method), iter(range(1, 10**6))

    def call(*arguments: Any) -> Any:
        if next(made) in calls:
            raise RuntimeError("the GPU has fallen off the bus")
        return whole(*arguments)

    monkeypatch.setattr(engine, method, call)
    monkeypatch.setattr("paraphrase_rl_plugins.backends._tinker_service.RETRY_SECONDS", (0.01, 0.01))


def test_a_sample_that_fails_is_asked_for_again(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = short(qwen, training={"max_steps": 2})
    good = training_run(tmp_path / "good", settings)
    backend(compact).train(good)
    bad = training_run(tmp_path / "bad", settings)
    failing(range(3, 12, 4), compact.service.engine, "sample", monkeypatch)
    assert backend(compact).train(bad).status == "completed"
    bad.directory.close()
    retries = [row for row in read_jsonl(tmp_path / "bad" / "events.jsonl") if row["event"] == "retry"]
    assert len(retries) == 3
    assert all("fallen off the bus" in row["reason"] for row in retries)
    assert numbers(tmp_path / "bad") == numbers(tmp_path / "good")


HANGING = {
    "a group of rollouts": lambda body: not body.get("prompt_logprobs") and body["num_samples"] == 3,
    "a rollout of an evaluation": lambda body: not body.get("prompt_logprobs") and body["num_samples"] == 1,
    "reference log-probabilities": lambda body: body.get("prompt_logprobs"),
}


@pytest.mark.parametrize("what", HANGING)
def test_a_request_that_hangs_is_asked_for_again(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    settings = short(qwen, training={"max_steps": 2}, evaluation={"every": 1, "prompts": 2})
    good, bad = (training_run(tmp_path / name, settings) for name in ("good", "bad"))
    assert backend(compact).train(good).status == "completed"
    good.directory.close()
    service, over, hung = compact.service, threading.Event(), []
    ask, result = service._asample, service.result

    def asking(body: dict[str, Any]) -> Any:
        answer = ask(body)
        if HANGING[what](body):
            hung.append(answer["request_id"])
        return answer

    def silent(request_id: str) -> Any:
        if request_id in hung[1:2]:
            over.wait(60)  # the connection stays open
        return result(request_id)

    monkeypatch.setattr(service, "_asample", asking)
    monkeypatch.setattr(service, "result", silent)
    monkeypatch.setattr("paraphrase_rl_plugins.backends._tinker_service.RETRY_SECONDS", (0.01, 0.01))
    try:
        assert backend(compact, timeout_s=3.0).train(bad).status == "completed"
    finally:
        over.set()
        bad.directory.close()
    retries = [row for row in read_jsonl(tmp_path / "bad" / "events.jsonl") if row["event"] == "retry"]
    assert [row["reason"].partition(": ")[2] for row in retries] == ["no answer from the service within 3 s"]
    assert numbers(tmp_path / "bad") == numbers(tmp_path / "good")
    evaluations = [
        [row | {"seconds": None} for row in read_jsonl(tmp_path / name / "evaluations.jsonl")]
        for name in ("good", "bad")
    ]
    assert len(evaluations[0]) == 3
    assert evaluations[0] == evaluations[1]


@pytest.mark.service
@pytest.mark.parametrize("method", ["sample", "forward_backward"])
def test_a_service_that_goes_on_failing_costs_no_step_that_was_done(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    settings = short(qwen, checkpoints={"every": 1000})
    unbroken = training_run(tmp_path / "unbroken", settings)
    backend(compact).train(unbroken)
    run = training_run(tmp_path / "run", settings)

    def break_the_service(where: Path, record: Any) -> None:
        if record.step == 3:
            failing(range(1, 10**6), compact.service.engine, method, monkeypatch)

    run.observe = break_the_service
    with pytest.raises(RunError, match="fallen off the bus"):
        backend(compact).train(run)
    run.directory.close()
    monkeypatch.undo()
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    rows = read_jsonl(tmp_path / "run" / "checkpoints.jsonl")
    # a gradient that fails leaves the service with weights of no step; samples that fail leave those of step 3
    assert [row["step"] for row in rows] == ([3] if method == "sample" else [])
    rest = training_run(tmp_path / "run", settings, resume=True)
    assert backend(compact).train(rest).status == "completed"
    rest.directory.close()
    assert numbers(tmp_path / "run") == numbers(tmp_path / "unbroken")


# ---- between the gradient and the record of a step


def resumed(qwen: Path, compact: Server, folder: Path, settings: Any, unbroken: Path) -> None:
    rest = training_run(folder, settings, resume=True)
    assert backend(compact).train(rest).status == "completed"
    rest.directory.close()
    assert numbers(folder) == numbers(unbroken)


@pytest.fixture(scope="module")
def whole(qwen: Path, compact: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        run = training_run(tmp_path_factory.mktemp("whole") / "run", short(qwen, checkpoints={"every": 1000}))
        backend(compact).train(run)
        run.directory.close()
    return run.folder


def steps(run: Path) -> list[int]:
    return [row["step"] for row in read_jsonl(run / "metrics.jsonl")]


def listed(run: Path) -> list[int]:
    return [row["step"] for row in read_jsonl(run / "checkpoints.jsonl")]


def test_log_probabilities_after_the_step_are_asked_for_again(
    qwen: Path, compact: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    engine = compact.service.engine
    compute, calls = engine.forward_backward, []

    def failing_once(message: Any) -> Any:
        if message.forward_only:
            calls.append(len(message.data))
            if len(calls) == 3:
                raise RuntimeError("the GPU has fallen off the bus")
        return compute(message)

    monkeypatch.setattr(engine, "forward_backward", failing_once)
    monkeypatch.setattr("paraphrase_rl_plugins.backends._tinker_service.RETRY_SECONDS", (0.01, 0.01))
    run = training_run(tmp_path / "run", short(qwen, checkpoints={"every": 1000}))
    assert backend(compact).train(run).status == "completed"
    run.directory.close()
    assert calls == [2 * 2] * 5, "two rollouts of each group, of four steps, one of them twice"
    assert numbers(tmp_path / "run") == numbers(whole)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("ours")])
def test_an_update_that_the_service_carried_out_is_recorded_and_saved(
    qwen: Path,
    compact: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Path,
    error: BaseException,
) -> None:
    """What fails is here, after the update was sent: a second Ctrl-C, say."""
    from paraphrase_rl_plugins.backends._tinker_trainer import TinkerTrainer

    measured, calls = TinkerTrainer.measured, []

    def failing_once(self: Any, *sent: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return measured(self, *sent)

    settings = short(qwen, checkpoints={"every": 1000})
    with monkeypatch.context() as patched:
        patched.setattr(TinkerTrainer, "measured", failing_once)
        run = training_run(tmp_path / "run", settings)
        with pytest.raises(type(error)):
            backend(compact).train(run)
        run.directory.close()
    assert steps(tmp_path / "run") == [1, 2, 3]
    assert listed(tmp_path / "run") == [3]
    resumed(qwen, compact, tmp_path / "run", settings, whole)


@pytest.mark.parametrize(
    ("fails", "saved"),
    [
        (("forward_backward", "optim_step"), [2]),
        (("optim_step",), [2]),
        (("forward_backward",), []),
    ],
)
def test_an_update_that_failed_at_the_service(
    qwen: Path,
    compact: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Path,
    fails: tuple[str, ...],
    saved: list[int],
) -> None:
    """The weights are those of the step before if the service says that it did no optimizer step, else of no step."""
    settings = short(qwen, checkpoints={"every": 1000})
    run = training_run(tmp_path / "run", settings)

    def break_the_service(where: Path, record: Any) -> None:
        if record.step == 2:
            for method in fails:
                failing(range(1, 2), compact.service.engine, method, monkeypatch)

    run.observe = break_the_service
    with pytest.raises(RunError, match="fallen off the bus"):
        backend(compact).train(run)
    run.directory.close()
    monkeypatch.undo()
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    assert steps(tmp_path / "run") == [1, 2]
    assert ((tmp_path / "run" / "checkpoints.jsonl").exists() and listed(tmp_path / "run")) == (
        saved or False
    )
    resumed(qwen, compact, tmp_path / "run", settings, whole)
