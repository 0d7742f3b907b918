"""The backend's update against one written from full logits, token by token, without padding or shared prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._forward import whole_logprobs
from peft import PeftModel
from transformers import AutoModelForCausalLM, TrainerCallback

from tests.training.runs import backend, documents, recipe, training_run

GROUP, BETA = 3, 0.1


class Capture(TrainerCallback):
    """Keeps what the second step started from and the gradient it came to."""

    def __init__(self, trainer: Any, folder: Path) -> None:
        self.trainer, self.folder = trainer, folder

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            self.trainer.model.save_pretrained(self.folder)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        named = self.trainer.model.named_parameters()
        self.gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.rated = self.trainer.current


def reference_gradient(base: Path, adapter: Path, rated: Any) -> dict[str, torch.Tensor]:
    """d loss / d adapter with RECIPE section 5 written out in torch, one rollout at a time."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter, is_trainable=True)

    def logprobs(rollout: Any) -> torch.Tensor:
        ids = torch.tensor([[*rollout.prompt_ids, *rollout.completion_ids]])
        full = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
        at = len(rollout.prompt_ids)
        return torch.stack([full[at + i - 1, token] for i, token in enumerate(rollout.completion_ids)])

    with torch.no_grad():
        sampler = [logprobs(rollout) for rollout in rated.rollouts]
        with model.disable_adapter():
            base_ = [logprobs(rollout) for rollout in rated.rollouts]
    distance = torch.cat(sampler) - torch.cat(base_)
    rewards = [sum(c in "aeiou" for c in r.text) / max(1, len(r.text)) for r in rated.rollouts]
    loss = torch.zeros((), dtype=torch.double)
    for i, rollout in enumerate(rated.rollouts):
        group = rewards[i // GROUP * GROUP : i // GROUP * GROUP + GROUP]
        if len(set(group)) == 1:
            continue
        advantage = (rewards[i] - np.mean(group)) / (np.std(group, ddof=1) + 1e-4)
        per_token = advantage - BETA * ((sampler[i] - base_[i]) - distance.mean())
        loss = loss - (torch.exp(logprobs(rollout) - sampler[i]) * per_token).sum()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def second_step(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Capture, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("update")
    settings = recipe(
        tiny_model,
        training={"batch_size": 2, "group_size": GROUP, "max_steps": 2, "learning_rate": 0.02, "seed": 5},
        sampling={"max_tokens": 40},
    )
    trainer = backend().trainer(training_run(folder / "run", settings))
    capture = Capture(trainer, folder / "adapter")
    trainer.add_callback(capture)
    trainer.train()
    return capture, reference_gradient(tiny_model, folder / "adapter", capture.rated)


def test_the_gradient_is_the_recipes(second_step: tuple[Capture, dict[str, torch.Tensor]]) -> None:
    capture, expected = second_step
    got = capture.gradients
    assert got.keys() == expected.keys()
    assert (
        sum("lora_" in name for name in got) == len(got) == 2 * 7 * 2
    )  # A and B of seven layers in two blocks
    flat = torch.cat([got[name].ravel() for name in expected])
    reference = torch.cat([expected[name].ravel() for name in expected])
    assert reference.norm() > 1
    assert (flat - reference).norm() / reference.norm() < 1e-5


def test_the_policy_had_left_the_base_model(second_step: tuple[Capture, dict[str, torch.Tensor]]) -> None:
    """Else the KL part of the gradient would have been zero and its test empty."""
    capture, _ = second_step
    distance = [
        np.abs(r.logprobs - b).mean()
        for r, b in zip(capture.rated.rollouts, capture.rated.base_logprobs, strict=True)
    ]
    assert np.mean(distance) > 0.01
    assert len({len(r.completion_ids) for r in capture.rated.rollouts}) > 1, "no padding was exercised"


def test_three_kls_have_their_own_names(tiny_model: Path, tmp_path: Path) -> None:
    run = training_run(
        tmp_path / "run", recipe(tiny_model, training={"batch_size": 2, "group_size": 3, "max_steps": 2})
    )
    backend().train(run)
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert all(abs(row["kl_sample_train"]) < 1e-5 for row in rows), "sampler and trainer are one model here"
    assert rows[0]["kl_reference"] == pytest.approx(0, abs=1e-6), "the adapter starts as the base model"
    assert rows[1]["kl_reference"] != pytest.approx(0, abs=1e-6)
    assert rows[0]["kl_post_train"] != pytest.approx(0, abs=1e-6)


def test_a_batch_that_does_not_divide_over_processes_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraphrase_rl.errors import RecipeError

    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(RecipeError, match="is not a multiple of the 3 processes"):
        backend().trainer(training_run(tmp_path / "run", recipe(tiny_model)))


def test_fixture_documents_differ_in_length() -> None:
    assert len({len(d.text) for d in documents(8)}) > 4


def test_the_size_of_a_step_is_that_of_the_first_two_rollouts_of_each_group(
    tiny_model: Path, tmp_path: Path
) -> None:
    settings = recipe(tiny_model, training={"batch_size": 2, "group_size": 3, "max_steps": 1})
    trainer: Any = backend().trainer(training_run(tmp_path / "run", settings))
    trainer.train()
    differences = []
    for group in trainer._buffered_inputs:
        few = {key: values[:2] for key, values in group.items()}
        keys = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        with torch.no_grad():
            now = whole_logprobs(trainer.model, *(few[key] for key in keys), temperature=1.0)
        differences.append((few["old_per_token_logps"] - now)[few["completion_mask"].bool()])
    assert len(differences) == 2
    expected = float(torch.cat(differences).mean())
    assert abs(expected) > 1e-6
    assert trainer.step_metrics()["kl_post_train"] == pytest.approx(expected, abs=1e-6)
