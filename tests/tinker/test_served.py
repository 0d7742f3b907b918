"""A hybrid model at the service, and what the service is asked before a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import paraphrase_rl as prl
from paraphrase_rl.errors import DataError, ModelError, RunError
from paraphrase_rl.recipe.prompt import Prompt
from paraphrase_rl.recipe.schema import Sampling
from tests.hybrid_model import published_template, save_hybrid_model
from tests.servers.engine import Engine
from tests.servers.skyrl_process import SkyRL, installed
from tests.servers.tinker_server import HttpError, Server, Service
from tests.tinker.conftest import KEY, SERVERS
from tests.tinker.runs import backend, short
from tests.training.runs import training_run

CLOSED = "<|im_start|>assistant\n<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_hybrid_model(tmp_path_factory.mktemp("hybrid") / "hybrid-4B")


@pytest.fixture(scope="module", params=SERVERS)
def service(
    request: pytest.FixtureRequest, hybrid: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server | SkyRL]:
    """Each server in turn, with a model that often closes a thought."""
    folder = tmp_path_factory.mktemp("state")
    if request.param == "compact":
        running = Server(Service(Engine(str(hybrid), folder), key=KEY))
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()
    else:
        if not installed():
            pytest.skip("SkyRL's server is not installed: make skyrl")
        other = SkyRL(hybrid, folder)
        yield other
        other.stop()


def trained(
    folder: Path, model: Path, service: Server | SkyRL, *, thinking: bool
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Rollouts of the one step of a run, and the rows of its samples."""
    settings = short(
        model,
        prompt={"system": "s", "instruction": "i", "thinking": thinking},
        training={"max_steps": 1, "group_size": 4},
        sampling={"max_tokens": 8},
    )
    session = training_run(folder, settings)
    rollouts: list[Any] = []
    rate = session.rate
    session.rate = lambda indices, batch: rollouts.extend(batch) or rate(indices, batch)  # type: ignore[method-assign]
    assert backend(service).train(session).status == "completed"
    return rollouts, session.directory.rows("samples.jsonl")


def test_a_hybrid_model_is_told_not_to_think(hybrid: Path, service: Server | SkyRL, tmp_path: Path) -> None:
    rollouts, _ = trained(tmp_path / "run", hybrid, service, thinking=False)
    decode = backend(service).policy(str(hybrid), None).chat.tokenizer.decode
    assert all(decode(rollout.prompt_ids).endswith(CLOSED) for rollout in rollouts)
    assert {rollout.thought for rollout in rollouts} == {""}


def test_a_thought_is_trained_at_the_service_and_not_rated(
    hybrid: Path, service: Server | SkyRL, tmp_path: Path
) -> None:
    rollouts, rows = trained(tmp_path / "run", hybrid, service, thinking=True)
    decode = backend(service).policy(str(hybrid), None).chat.tokenizer.decode
    closed = 0
    for rollout in rollouts:
        assert decode(rollout.prompt_ids).endswith("assistant\n<think>\n")
        written = decode(rollout.completion_ids, skip_special_tokens=True)
        thought, mark, answer = written.partition("</think>")
        assert (rollout.thought, rollout.text) == (
            thought.strip().removeprefix("<think>").strip(),
            answer.lstrip(),
        )
        closed += bool(mark)
    assert 0 < closed < len(rollouts)
    assert {row["rewrite"] for row in rows if row["kind"] == "training"} <= {r.text for r in rollouts}


def test_a_policy_at_the_service_answers_without_thoughts(hybrid: Path, service: Server | SkyRL) -> None:
    policy = backend(service).policy(str(hybrid), None, thinking=True)
    asked = [Prompt().messages(f"text {i}") for i in range(3)]
    groups = policy.sample(asked, n=4, keys=[(1, i) for i in range(3)], sampling=Sampling(max_tokens=8))
    for rollout in (rollout for group in groups for rollout in group):
        written = policy.chat.tokenizer.decode(rollout.completion_ids, skip_special_tokens=True)
        assert rollout.text == written.partition("</think>")[2].lstrip()


def test_a_model_that_cannot_stop_costs_nothing(compact: Server, tmp_path: Path) -> None:
    thinker = tmp_path / "gpt-oss-20b"
    save_hybrid_model(thinker)
    (thinker / "chat_template.jinja").write_text(published_template("gptoss"), encoding="utf-8")
    before = list(compact.service.seen)
    with pytest.raises(ModelError, match="gpt-oss-20b thinks before it answers and cannot be told not to"):
        backend(compact).train(training_run(tmp_path / "run", short(thinker)))
    assert compact.service.seen == before, "nothing was asked of the service"


@pytest.mark.parametrize("told", [None, "less", "more"])
def test_a_text_longer_than_the_context_costs_nothing(
    compact: Server, qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    """The limit is the service's, more or less than the model's; the model's where the service tells none."""
    settings = short(qwen, training={"max_steps": 1}, evaluation={"every": 1, "prompts": 2})
    chat = backend(compact).policy(str(qwen), None).chat
    config = json.loads((qwen / "config.json").read_text())

    def trained(slack: int) -> str:
        session = training_run(tmp_path / f"run{slack}", settings)
        lengths = {
            d.id: len(chat.prompt(session.conversation(d))) for d in (*session.train, *session.test[:2])
        }
        longest = max(lengths, key=lambda id_: lengths[id_])
        room = lengths[longest] + settings.sampling.max_tokens
        model = {None: room + slack, "less": 10 * room, "more": 10}[told]
        (qwen / "config.json").write_text(json.dumps({**config, "max_position_embeddings": model}))
        served = {"model_name": str(qwen), "max_context_length": told and room + slack}
        monkeypatch.setattr(compact.service, "get", lambda *_: {"supported_models": [served]})
        compact.service.seen.clear()
        if slack < 0:
            with pytest.raises(DataError) as caught:
                backend(compact).train(session)
            assert (caught.value.message, caught.value.hint) == (
                f"text {longest} makes a prompt of {lengths[longest]} tokens: with sampling.max_tokens 12 that is "
                f"beyond the {room - 1} of {qwen}",
                "leave out this text, cut all texts with data.excerpt_words, or lower sampling.max_tokens",
            )
        else:
            assert backend(compact).train(session).status == "completed"
        session.directory.close()
        return " ".join(compact.service.seen)

    try:
        assert "create_sampling_session" in (asked := trained(-1))
        assert not {"create_model", "asample", "forward_backward"} & set(asked.split())
        assert "forward_backward" in trained(0)
    finally:
        (qwen / "config.json").write_text(json.dumps(config))


def test_a_service_that_cannot_tell_its_models_trains(
    compact: Server, qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(route: str, host: str) -> Any:
        asked.append(route)
        raise HttpError(404, f"no route {route}")

    asked: list[str] = []
    monkeypatch.setattr(compact.service, "get", unknown)
    session = training_run(tmp_path / "run", short(qwen, training={"max_steps": 1}))
    assert backend(compact).train(session).status == "completed"
    assert "get_server_capabilities" in asked


def test_the_hybrid_model_is_checked_before_a_run(
    hybrid: Path, service: Server | SkyRL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", service.url)
    findings = {
        row.code: row for row in prl.check("quickstart", backend="tinker", set={"model": str(hybrid)})
    }
    assert findings["PRL013"].evidence == f"{hybrid} is served by tinker (asked now)"
    assert findings["PRL016"].evidence.endswith(r"<think>\n\n</think>\n\n', told enable_thinking: false")


def test_each_server_is_asked_for_its_models(
    server: Server | SkyRL, qwen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", server.url)
    codes = {row.code for row in prl.check("quickstart", backend="tinker", set={"model": str(qwen)})}
    assert "PRL013" in codes
    [other] = [
        row
        for row in prl.check("quickstart", backend="tinker", set={"model": "Acme/Nowhere-4B"})
        if row.code == "PRL014"
    ]
    assert other.severity == "error"
    assert str(qwen) in other.remedy


def test_a_wrong_address_is_told_at_once() -> None:
    from paraphrase_rl_plugins.backends._tinker_served import ask

    with pytest.raises(RunError, match="the service cannot be reached: Connection refused"):
        ask("http://127.0.0.1:9")
