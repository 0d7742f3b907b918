"""The same rollouts and rewards, from the same adapter, through TRL and through the service: the same update.

What is left between the two is rounding of fp32: TRL reads each prompt once and its completions from a cache, padded
to one length, where the server reads whole sequences one by one; the base model's and the policy's log-probabilities
differ by about 1e-6, the gradients by as much, and Adam's division by their own size passes that on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._tinker_policy import ServedChat, TinkerPolicy
from paraphrase_rl_plugins.backends._tinker_service import Service
from paraphrase_rl_plugins.backends._tinker_trainer import (
    LOSS,
    Asked,
    TinkerTrainer,
    datum,
    trained_logprobs,
)
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from tinker import AdamParams, Datum
from tinker.lib.public_interfaces.api_future import AwaitableConcurrentFuture
from transformers import TrainerCallback

from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Rollout
from tests.servers.skyrl_process import SkyRL
from tests.tinker.conftest import KEY, SERVERS
from tests.tinker.runs import backend, short
from tests.training.runs import backend as trl_backend
from tests.training.runs import training_run

RATE = 1e-3


class Capture(TrainerCallback):
    """What TRL's first step was made of and what it changed."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self.trainer
        self.rated = trainer.current
        self.advantages, self.change = [], []
        for inputs, before in zip(trainer._buffered_inputs, self.before(), strict=True):
            with torch.no_grad():
                after = trainer._logprobs(trainer.model, inputs)
            for row, mask in enumerate(inputs["completion_mask"].bool()):
                self.advantages.append(inputs["advantages"][row][mask].numpy())
                self.change.append((after[row][mask].double() - before[row][mask].double()).numpy())

    def before(self) -> list[torch.Tensor]:
        """The trainer's own log-probabilities before the step: the sampler's, less the mismatch it measured."""
        mismatch = iter(self.trainer.mismatch)
        parts = []
        for inputs in self.trainer._buffered_inputs:
            old = inputs["old_per_token_logps"].double().clone()
            for row, mask in enumerate(inputs["completion_mask"].bool()):
                old[row][mask] -= torch.from_numpy(next(mismatch))
            parts.append(old)
        return parts


class SharedA(TrainerCallback):
    """SkyRL adapts q, k and v with one A, and gate and up with another; its gradient is theirs together."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        found = {name: p for name, p in model.named_parameters() if ".lora_A." in name}
        for layers in (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")):
            for name in (name for name in found if layers[0] in name):
                parts = [found[name.replace(layers[0], layer)] for layer in layers]
                together = sum(part.grad for part in parts)
                for part in parts:
                    part.grad = together.clone()


@pytest.fixture(scope="module")
def settings(qwen: Path) -> Recipe:
    return short(
        qwen,
        lora={"rank": 4, "alpha": 32},
        training={"group_size": 4, "max_steps": 1, "learning_rate": RATE},
        sampling={"max_tokens": 24, "top_p": 0.95},
    )


@pytest.fixture(scope="module")
def service(server: Any) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        with Service(server.url, 300.0, "") as open_service:
            yield open_service


@pytest.fixture(scope="module")
def start(
    settings: Recipe, server: Any, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """An adapter that has left the base model, so that the KL term is there: at the service, and its weights here."""
    folder = tmp_path_factory.mktemp("start")
    training = backend(server)._training(service, training_run(folder / "run", settings))
    rng = np.random.default_rng(3)
    rollouts = [
        Rollout(
            group=0,
            prompt_ids=ids[:4],
            completion_ids=ids[4:],
            logprobs=np.full(20, -5.0),
            text="",
            finished=False,
        )
        for ids in rng.integers(3, 250, size=(4, 24)).tolist()
    ]
    training.forward_backward([datum(r, rng.normal(size=20)) for r in rollouts], LOSS)
    training.optim_step(AdamParams(learning_rate=0.05))
    saved = service.ask(training.save_state("start"), "the start").path
    backend(server).export(folder, {"reference": saved}, folder / "adapter")
    return SimpleNamespace(saved=saved, weights=load_file(folder / "adapter" / "adapter_model.safetensors"))


def trl_step(folder: Path, settings: Recipe, start: SimpleNamespace, *, shared: bool) -> Capture:
    """One step of TRL from the start; ``shared`` = with one A where SkyRL has one."""
    trainer = trl_backend().trainer(training_run(folder, settings))
    assert get_peft_model_state_dict(trainer.model).keys() == start.weights.keys()
    set_peft_model_state_dict(trainer.model, start.weights)
    capture = Capture(trainer)
    trainer.add_callback(capture)
    if shared:
        trainer.add_callback(SharedA())
    trainer.train()
    return capture


@pytest.fixture(scope="module")
def on_trl(
    settings: Recipe, server: Any, start: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Capture:
    folder = tmp_path_factory.mktemp("trl")
    return trl_step(folder / "run", settings, start, shared=isinstance(server, SkyRL))


@pytest.fixture(scope="module")
def on_the_service(
    on_trl: Any,
    settings: Recipe,
    server: Any,
    service: Service,
    start: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
) -> SimpleNamespace:
    base = service.connected.create_sampling_client(base_model=settings.model).result(30)
    policy = TinkerPolicy(service, base, ServedChat(settings.model))
    run = training_run(tmp_path_factory.mktemp("service") / "run", settings)
    same, _ = (trainer := a_trainer(run, service, start, policy)).collect(replayed(trainer, on_trl.rated))
    data = trainer.data(same)
    advantages = [
        d.loss_fn_inputs["advantages"].to_numpy()[-len(r.completion_ids) :]
        for d, r in zip(data, same.rollouts, strict=True)
    ]
    return SimpleNamespace(
        rated=same,
        advantages=advantages,
        as_sent=change(trainer, same.rollouts, data),
        summed=change(
            a_trainer(run, service, start, policy), same.rollouts, [summed(d, len(data)) for d in data]
        )
        if isinstance(server, SkyRL)
        else None,
    )


def a_trainer(run: Any, service: Service, start: SimpleNamespace, policy: TinkerPolicy) -> TinkerTrainer:
    """The start's weights, with an optimizer that has seen nothing."""
    training = service.connected.create_training_client_from_state(start.saved).result(300)
    return TinkerTrainer(run, service, training, policy, rate=RATE, ttl=None)


def change(trainer: TinkerTrainer, rollouts: list[Rollout], data: list[Any]) -> np.ndarray:
    """Of the rollouts' log-probabilities, by one step."""
    gradient, optimizer = trainer.update(data)
    before = trainer.service.wait(gradient, "").loss_fn_outputs
    trainer.service.wait(optimizer, "")
    after = trainer.service.ask(trainer.training.forward(data, LOSS), "").loss_fn_outputs
    return np.concatenate(
        [
            trained_logprobs(r, a) - trained_logprobs(r, b)
            for r, a, b in zip(rollouts, after, before, strict=True)
        ]
    )


def summed(one: Any, count: int) -> Any:
    """A datum from whose loss a server that takes means gets the sum.

    SkyRL divides a sequence's loss by its length, prompt included, and the batch's by the number of its sequences.
    """
    inputs = {name: tensor.to_numpy() for name, tensor in one.loss_fn_inputs.items()}
    inputs["advantages"] = inputs["advantages"] * np.float32(len(inputs["advantages"]) * count)
    return Datum(model_input=one.model_input, loss_fn_inputs=inputs)


def replayed(trainer: TinkerTrainer, rated: Any) -> Asked:
    """Rollouts that TRL sampled, as if the service had."""
    from concurrent.futures import Future

    size = trainer.session.recipe.training.group_size
    indices = trainer.session.order[0]
    prompts = [trainer.chat.prompt(trainer.session.conversation(trainer.session.train[i])) for i in indices]
    futures = []
    for group, prompt in enumerate(prompts):
        rollouts = rated.rollouts[group * size : (group + 1) * size]
        assert [list(r.prompt_ids) for r in rollouts] == [prompt] * size, "both read the same prompt"
        future: Future[Any] = Future()
        sequences = [SimpleNamespace(tokens=list(r.completion_ids), logprobs=r.logprobs) for r in rollouts]
        future.set_result(SimpleNamespace(sequences=sequences))
        futures.append(AwaitableConcurrentFuture(future))
    requests = [lambda again=future: again for future in futures]
    return Asked(list(indices), prompts, requests, futures, version=0)


def test_rewards_and_texts_are_the_same(on_trl: Any, on_the_service: Any) -> None:
    ours, theirs = on_the_service.rated, on_trl.rated
    assert [r.text for r in ours.rollouts] == [r.text for r in theirs.rollouts]
    assert [r.finished for r in ours.rollouts] == [r.finished for r in theirs.rollouts]
    assert ours.outcome.total.tolist() == theirs.outcome.total.tolist()


def test_the_base_model_gives_the_same_log_probabilities(on_trl: Any, on_the_service: Any) -> None:
    ours, theirs = (np.concatenate(side.rated.base_logprobs) for side in (on_the_service, on_trl))
    print(f"\nparity: largest difference of a reference log-probability {np.abs(ours - theirs).max():.2e}")
    assert np.abs(ours - theirs).max() < 1e-5


def test_every_tokens_advantage_is_the_same(on_trl: Any, on_the_service: Any) -> None:
    ours, theirs = np.concatenate(on_the_service.advantages), np.concatenate(on_trl.advantages)
    assert np.ptp(theirs) > 1, "the batch had something to learn"
    by_rollout = [np.ptp(values) for values in on_trl.advantages]
    assert max(by_rollout) > 1e-3, "the KL term was there"
    print(f"\nparity: largest difference of an advantage {np.abs(ours - theirs).max():.2e}")
    assert np.abs(ours - theirs).max() < 1e-6


def test_one_step_changes_the_log_probabilities_alike(on_trl: Any, on_the_service: Any) -> None:
    assert np.abs(np.concatenate(on_trl.change)).mean() > 0.005, "the step moved the policy"
    means = on_the_service.summed is not None
    found = difference(on_the_service.summed if means else on_the_service.as_sent, on_trl)
    print(f"\nparity: relative difference of the change of log-probabilities {found:.2e}")
    assert found < 0.02


@pytest.mark.parametrize("server", SERVERS[1:], indirect=True)
def test_what_means_and_shared_matrices_come_to(
    on_the_service: Any, on_trl: Any, settings: Recipe, start: SimpleNamespace, tmp_path: Path
) -> None:
    """Figures of docs/tinker.md: how far a server goes from TRL that is not the hosted service's like."""
    plain = trl_step(tmp_path / "run", settings, start, shared=False)
    means = difference(on_the_service.as_sent, on_trl)
    apart, both = (difference(side, plain) for side in (on_the_service.summed, on_the_service.as_sent))
    print(
        f"\nparity: relative difference by means {means:.2e}, by the shared A {apart:.2e}, by both {both:.2e}"
    )
    assert 0.02 < means < both < 0.5


def difference(change: np.ndarray, on_trl: Capture) -> float:
    theirs = np.concatenate(on_trl.change)
    return float(np.linalg.norm(change - theirs) / np.linalg.norm(theirs))
