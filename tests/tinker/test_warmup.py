"""The warm-up at the service: the same pairs, batches and update as on TRL; a stop changes nothing of its numbers."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from paraphrase_rl_plugins.backends._tinker_service import Service
from paraphrase_rl_plugins.backends._tinker_warmup import SupervisedStep
from paraphrase_rl_plugins.backends._warmup import add_gradient, completion_logprobs
from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from tinker import AdamParams
from tinker.proto import tinker_public_pb2 as pb

import paraphrase_rl as prl
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.plugin.rated import SupervisedExample
from tests.servers.tinker_server import Server
from tests.tinker.conftest import KEY
from tests.tinker.runs import backend
from tests.training.runs import (
    ENDED_VOWELS,
    OWN_BEST,
    OWN_PAIRS,
    candidates,
    check_own_best,
    documents,
    warm_run,
    warmup_numbers,
)
from tests.training.runs import backend as trl_backend

RATE = 1e-3


@pytest.fixture(scope="module")
def on_the_service(compact: Server, qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        session = warm_run(folder, qwen)
        assert backend(compact).train(session).status == "completed"
        session.directory.close()
    return folder


def test_both_backends_take_the_same_steps(on_the_service: Path, qwen: Path, tmp_path: Path) -> None:
    session = warm_run(tmp_path / "run", qwen)
    assert trl_backend().train(session).status == "completed"
    session.directory.close()
    ours, theirs = warmup_numbers(on_the_service)[:-1], warmup_numbers(tmp_path / "run")[:-1]
    assert len(ours) == len(theirs) == 6
    for count in ("prompt_tokens", "completion_tokens"):
        assert [row[count] for row in ours] == [row[count] for row in theirs], count
    assert ours[0]["warmup_loss"] == pytest.approx(theirs[0]["warmup_loss"], abs=1e-5), "of the base model"
    for side in (ours, theirs):  # from there on, the adapters begin with other random numbers
        assert side[-1]["warmup_loss"] < side[0]["warmup_loss"] - 0.2


def test_grpo_starts_from_the_warmed_up_policy_and_measures_both_distances(on_the_service: Path) -> None:
    first, *_ = [row["metrics"] for row in read_jsonl(on_the_service / "metrics.jsonl")]
    assert abs(first["kl_warmup"]) < 1e-4
    assert abs(first["kl_reference"]) > 0.01
    ledger = read_jsonl(on_the_service / "checkpoints.jsonl")
    last = [row for row in ledger if row["kind"] == "warmup"][-1]
    assert (last["warmup_step"], last["warmup_steps"], last["expires"]) == ("6", "6", None)
    evaluations = read_jsonl(on_the_service / "evaluations.jsonl")
    assert [row["step"] for row in evaluations] == [0, 2]
    assert "evaluation" in read_jsonl(on_the_service / "warmup.jsonl")[-1]


def test_a_run_warms_up_on_the_policys_own_best_rewrites(
    compact: Server, qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    session = warm_run(tmp_path / "run", qwen, warmup=OWN_BEST, reward=ENDED_VOWELS)
    assert backend(compact).train(session).status == "completed"
    check_own_best(session, backend(compact).policy(str(qwen), None))
    session.directory.close()


def test_after_from_the_started_policy_makes_the_pairs_and_is_evaluated_first(
    on_the_service: Path, compact: Server, qwen: Path, tmp_path: Path
) -> None:
    final = read_jsonl(on_the_service / "checkpoints.jsonl")[-1]
    one_each = {**OWN_PAIRS, "candidates": 1, "temperature": 0.8}
    session = warm_run(tmp_path / "run", qwen, warmup=one_each, kl={"penalty_coef": 0.1})
    session.start_from = final["reference"]
    assert backend(compact).train(session).status == "completed"
    session.directory.close()
    sampling = session.recipe.sampling.model_copy(update={"temperature": 0.8})
    drawn = candidates(session, backend(compact).policy(str(qwen), final["sampler"]), sampling)
    pairs = read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")
    assert [row["source"] for row in pairs] == [rollout.text.strip() for [rollout] in drawn]
    first, last = (read_jsonl(run / "evaluations.jsonl") for run in (tmp_path / "run", on_the_service))
    assert first[0]["step"] == 0
    assert first[0]["prompts"] == last[-1]["prompts"] != last[0]["prompts"]


@pytest.mark.parametrize("reference", ["base", "warmup"])
def test_after_from_both_backends_begin_alike_and_mean_the_same_by_a_reference(
    on_the_service: Path, compact: Server, qwen: Path, tmp_path: Path, reference: str
) -> None:
    """The loss of the first batch is that of the weights they begin with; GRPO then samples the warmed-up policy."""
    final = read_jsonl(on_the_service / "checkpoints.jsonl")[-1]
    backend(compact).export(on_the_service, final, tmp_path / "adapter")
    begins: dict[str, Any] = {"service": final["reference"], "here": tmp_path / "adapter"}
    of_each = {}
    for name, start_from in begins.items():
        given = {"lora": {"rank": 4, "alpha": 32}, "kl": {"penalty_coef": 0.1, "reference": reference}}
        session = warm_run(tmp_path / name, qwen, **given)
        session.start_from = start_from
        chosen = backend(compact) if name == "service" else trl_backend()
        assert chosen.train(session).status == "completed"
        session.directory.close()
        of_each[name] = (
            warmup_numbers(tmp_path / name)[0]["warmup_loss"],
            read_jsonl(tmp_path / name / "metrics.jsonl")[0]["metrics"],
        )
    (ours, at_service), (theirs, here) = of_each["service"], of_each["here"]
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours < warmup_numbers(on_the_service)[0]["warmup_loss"] - 0.2, "not that of the base model"
    for metrics in (at_service, here):
        assert abs(metrics["kl_warmup"]) < 1e-4
        assert abs(metrics["kl_reference"]) > 0.01, "against the model without an adapter"


@pytest.mark.parametrize("asked", [3, 6], ids=["in the warm-up", "in the first step after it"])
def test_a_stop_changes_nothing(
    on_the_service: Path, compact: Server, qwen: Path, tmp_path: Path, asked: int
) -> None:
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) >= asked

    session = warm_run(tmp_path / "run", qwen, stop_requested=stop)
    assert backend(compact).train(session).status == "interrupted"
    session.directory.close()
    rest = warm_run(tmp_path / "run", qwen, resume=True)
    assert backend(compact).train(rest).status == "completed"
    rest.directory.close()
    assert warmup_numbers(tmp_path / "run") == warmup_numbers(on_the_service)
    for name in ("reward_mean", "kl_warmup", "kl_reference", "grad_norm"):
        found, expected = (
            [row["metrics"][name] for row in read_jsonl(run / "metrics.jsonl")]
            for run in (tmp_path / "run", on_the_service)
        )
        assert found == expected, name


@pytest.fixture
def charged(compact: Server, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Tokens that the server reads, samples and trains on from now on."""
    engine, counted = compact.service.engine, Counter[str]()
    sample, train = engine.sample, engine.forward_backward

    def sampling(which: Any, requests: list[dict[str, Any]]) -> list[bytes]:
        answers = sample(which, requests)
        for request, answer in zip(requests, answers, strict=True):
            sequences = pb.SampleResponse.FromString(answer).sequences
            prompt = sum(len(chunk["tokens"]) for chunk in request["prompt"]["chunks"])
            counted["prefill"] += prompt * len(sequences)
            if not request.get("prompt_logprobs"):
                counted["sample"] += sum(len(one.tokens) // 4 for one in sequences)
        return answers

    def training(message: Any) -> bytes:
        for datum in message.data:  # the last token is a target alone
            counted["train"] += 1 + sum(len(part.encoded_text.tokens) // 4 for part in datum.model_input)
        return train(message)

    monkeypatch.setattr(engine, "sample", sampling)
    monkeypatch.setattr(engine, "forward_backward", training)
    return counted


def test_the_cost_so_far_is_what_the_server_did(
    charged: Counter[str], compact: Server, qwen: Path, tmp_path: Path
) -> None:
    """Pairs, steps and evaluations of a warm-up that was stopped, and every rollout read by both references.

    Of groups of two all rollouts are read after the update; of larger ones a share, whose tokens are estimated.
    """
    method = {
        "method": "inverse-paraphrase",
        "path": None,
        "candidates": 3,
        "min_length_ratio": 0.001,
        "max_length_ratio": 1000.0,
    }
    of_two = {"group_size": 2}
    given = {
        "texts": documents(14),
        "warmup": method,
        "evaluation": {"every": 1, "prompts": 3},
        "training": of_two,
    }
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 1  # the first time between two chunks of pairs

    session = warm_run(tmp_path / "run", qwen, stop_requested=stop, **given)
    assert backend(compact).train(session).status == "interrupted"
    session.directory.close()
    assert [row["warmup_step"] for row in read_jsonl(tmp_path / "run" / "warmup.jsonl")] == [1]
    price = {"prefill": 1.0, "sample": 1e3, "train": 1e6, "date": "2026-01-01", "source": "made up"}
    table = {"currency": "USD", "passes": {"prefill": 1, "train": 1, "measured": 2}, "assumptions": "none"}
    prices = tmp_path / "prices.yaml"
    prices.write_text(yaml.safe_dump(table | {"models": {str(qwen): price}}))
    (tmp_path / "run" / "recipe.yaml").write_text(
        yaml.safe_dump({"model": str(qwen), "warmup": method, "training": of_two})
    )

    def told() -> int:
        spent = prl.monitor(tmp_path / "run", prices=prices).spent
        assert spent is not None
        return round(spent.amount * 1e6)

    def done() -> int:
        return charged["prefill"] + 1000 * charged["sample"] + 1_000_000 * charged["train"]

    assert told() == done() > 0
    before = Counter(charged)
    rest = warm_run(tmp_path / "run", qwen, resume=True, **given)
    assert backend(compact).train(rest).status == "completed"
    rest.directory.close()
    assert all(charged[kind] > before[kind] > 0 for kind in ("prefill", "sample", "train"))
    assert told() == done()


def supervised_step(service: Service, training: Any, examples: Any, adam: Any) -> Any:
    step = SupervisedStep(service, training, examples)
    step.send(adam)
    return step.measured()


@pytest.fixture(scope="module")
def start(compact: Server, qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An adapter that has left the base model, at the service and here, and a batch to learn."""
    folder = tmp_path_factory.mktemp("start")
    rng = np.random.default_rng(1)
    lengths = [(4, 9), (7, 3), (5, 14), (3, 1), (9, 6)]
    total = sum(completion for _, completion in lengths)
    examples = [
        SupervisedExample(
            prompt_ids=rng.integers(3, 250, prompt).tolist(),
            completion_ids=rng.integers(3, 250, completion).tolist(),
            weight=1 / total,
        )
        for prompt, completion in lengths
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        with Service(compact.url, 60.0, "") as service:
            session = warm_run(folder / "run", qwen, lora={"rank": 4, "alpha": 32})
            training = backend(compact)._training(service, session)
            supervised_step(service, training, examples, AdamParams(learning_rate=0.05))
            saved = service.ask(training.save_state("start"), "").path
            backend(compact).export(folder, {"reference": saved}, folder / "adapter")
            session.directory.close()
            weights = load_file(folder / "adapter" / "adapter_model.safetensors")
            yield SimpleNamespace(service=service, saved=saved, weights=weights, examples=examples)


def test_one_step_is_the_same_on_both(start: Any, qwen: Path, tmp_path: Path) -> None:
    training = start.service.connected.create_training_client_from_state(start.saved).result(60)
    adam = AdamParams(learning_rate=RATE, beta1=0.9, beta2=0.95, eps=1e-8)
    before, measured = supervised_step(start.service, training, start.examples, adam)
    again, _ = supervised_step(start.service, training, start.examples, adam)

    session = warm_run(tmp_path / "run", qwen, lora={"rank": 4, "alpha": 32})
    trainer = trl_backend().trainer(session)
    set_peft_model_state_dict(trainer.model, start.weights)
    optimizer = torch.optim.AdamW(
        [p for p in trainer.model.parameters() if p.requires_grad],
        lr=RATE,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.0,
    )
    ours, norm = add_gradient(trainer.model, start.examples, trainer.accelerator, 0)
    optimizer.step()
    with torch.no_grad():
        logprobs, mask = completion_logprobs(trainer.model, start.examples, 0, "cpu")
    after = np.concatenate([row[there].numpy() for row, there in zip(logprobs, mask.bool(), strict=True)])
    session.directory.close()

    theirs = np.concatenate(before)
    assert np.abs(np.concatenate(ours) - theirs).max() < 1e-4
    assert norm == pytest.approx(measured["grad_norm"], rel=1e-4)
    changed, expected = after - np.concatenate(ours), np.concatenate(again) - theirs
    assert np.abs(expected).mean() > 0.005, "the step moved the policy"
    found = np.linalg.norm(changed - expected) / np.linalg.norm(expected)
    print(f"\nparity: relative difference of the change of log-probabilities {found:.2e}")
    assert found < 0.02


def test_what_is_wrong_with_a_reference_is_told(on_the_service: Path, tmp_path: Path, qwen: Path) -> None:
    from paraphrase_rl.errors import RunError
    from paraphrase_rl.files import write_jsonl

    shutil.copytree(on_the_service, tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "checkpoints.jsonl")
    for row in rows:
        if row["kind"] == "warmup":
            row["expires"] = "2020-01-01T00:00:00+00:00"
    write_jsonl(tmp_path / "run" / "checkpoints.jsonl", rows)
    session = warm_run(tmp_path / "run", qwen, resume=True)
    assert session.warmup is not None
    with pytest.raises(RunError, match="expired at the service on 2020"):
        _ = session.warmup.reference
    session.directory.close()
