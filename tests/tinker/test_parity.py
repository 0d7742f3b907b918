"""The same rollouts and rewards, from the same adapter, through TRL and through the service: the same update.

What is left between the two is rounding of fp32: TRL reads each prompt once and its completions from a cache, padded
to one length, where the server reads whole sequences one by one; the base model's and the policy's log-probabilities
differ by about 1e-6, the gradients by as much, and Adam's division by their own size passes that on.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._tinker_policy import Chat, TinkerPolicy
from paraphrase_rl_plugins.backends._tinker_service import Service
from paraphrase_rl_plugins.backends._tinker_trainer import Asked, TinkerTrainer, trained_logprobs
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from tinker.lib.public_interfaces.api_future import AwaitableConcurrentFuture
from transformers import TrainerCallback

from paraphrase_rl.recipe.schema import Recipe
from tests.servers.tinker_server import Server
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
        self.judged = trainer.current
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


def adapter(trainer: Any) -> dict[str, torch.Tensor]:
    """A start that has left the base model, so that the KL term is there: B random instead of 0."""
    generator = torch.Generator().manual_seed(3)
    weights = get_peft_model_state_dict(trainer.model)
    return {name: 0.05 * torch.randn(w.shape, generator=generator) for name, w in weights.items()}


@pytest.fixture(scope="module")
def settings(qwen: Path) -> Recipe:
    return short(
        qwen,
        lora={"rank": 4, "alpha": 32},
        training={"group_size": 4, "max_steps": 1, "learning_rate": RATE},
        sampling={"max_tokens": 24, "top_p": 0.95},
    )


@pytest.fixture(scope="module")
def on_trl(settings: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = training_run(tmp_path_factory.mktemp("trl") / "run", settings)
    trainer = trl_backend().trainer(run)
    start = adapter(trainer)
    set_peft_model_state_dict(trainer.model, start)
    capture = Capture(trainer)
    trainer.add_callback(capture)
    trainer.train()
    return SimpleNamespace(start=start, capture=capture)


@pytest.fixture(scope="module")
def on_the_service(
    on_trl: Any, settings: Recipe, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    run = training_run(tmp_path_factory.mktemp("service") / "run", settings)
    judged = on_trl.capture.judged
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", str(server.service.key))
        with Service(server.url, 60.0, "") as service:
            training = backend(server)._training(service, run)
            engine = server.service.engine
            name = engine.trained[training.model_id].adapter
            set_peft_model_state_dict(engine.peft, on_trl.start, adapter_name=name)
            base = service.connected.create_sampling_client(base_model=settings.model).result(30)
            policy = TinkerPolicy(service, base, Chat(settings.model))
            trainer = TinkerTrainer(run, service, training, policy, rate=RATE, ttl=None)
            same, _ = trainer.collect(replayed(trainer, judged))
            data = trainer.data(same)
            gradient, optimizer = trainer.update(data)
            before = gradient.result(30).loss_fn_outputs
            after = training.forward(data, "importance_sampling").result(30).loss_fn_outputs
            optimizer.result(30)
    rollouts = same.rollouts
    return SimpleNamespace(
        judged=same,
        advantages=[
            np.asarray(d.loss_fn_inputs["advantages"].to_numpy())[-len(r.completion_ids) :]
            for d, r in zip(data, rollouts, strict=True)
        ],
        change=[
            trained_logprobs(r, a) - trained_logprobs(r, b)
            for r, a, b in zip(rollouts, after, before, strict=True)
        ],
    )


def replayed(trainer: TinkerTrainer, judged: Any) -> Asked:
    """Rollouts that TRL sampled, as if the service had."""
    from concurrent.futures import Future

    size = trainer.run.recipe.training.group_size
    indices = trainer.run.order[0]
    prompts = [trainer.chat.prompt(trainer.run.conversation(trainer.run.train[i])) for i in indices]
    futures = []
    for group, prompt in enumerate(prompts):
        rollouts = judged.rollouts[group * size : (group + 1) * size]
        assert [list(r.prompt_ids) for r in rollouts] == [prompt] * size, "both read the same prompt"
        future: Future[Any] = Future()
        sequences = [SimpleNamespace(tokens=list(r.completion_ids), logprobs=r.logprobs) for r in rollouts]
        future.set_result(SimpleNamespace(sequences=sequences))
        futures.append(AwaitableConcurrentFuture(future))
    return Asked(list(indices), prompts, futures, version=0)


def test_rewards_and_texts_are_the_same(on_trl: Any, on_the_service: Any) -> None:
    ours, theirs = on_the_service.judged, on_trl.capture.judged
    assert [r.text for r in ours.rollouts] == [r.text for r in theirs.rollouts]
    assert [r.finished for r in ours.rollouts] == [r.finished for r in theirs.rollouts]
    assert ours.outcome.total.tolist() == theirs.outcome.total.tolist()


def test_every_tokens_advantage_is_the_same(on_trl: Any, on_the_service: Any) -> None:
    ours, theirs = np.concatenate(on_the_service.advantages), np.concatenate(on_trl.capture.advantages)
    assert np.ptp(theirs) > 1, "the batch had something to learn"
    by_rollout = [np.ptp(values) for values in on_trl.capture.advantages]
    assert max(by_rollout) > 1e-3, "the KL term was there"
    assert np.abs(ours - theirs).max() < 1e-6


def test_one_step_changes_the_log_probabilities_alike(on_trl: Any, on_the_service: Any) -> None:
    ours, theirs = np.concatenate(on_the_service.change), np.concatenate(on_trl.capture.change)
    assert np.abs(theirs).mean() > 0.005, "the step moved the policy"
    difference = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    print(f"\nparity: relative difference of the change of log-probabilities {difference:.2e}")
    assert difference < 0.02
