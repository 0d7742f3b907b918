"""A hybrid model through the trl backend: told not to think, or its thought trained and not judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paraphrase_rl.errors import ModelError
from paraphrase_rl.recipe.prompt import Prompt
from paraphrase_rl.recipe.schema import Sampling
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.types import RewardBatch, Terms
from tests.hybrid_model import published_template, save_hybrid_model
from tests.models.test_chat import KNOWN, template
from tests.tiny_model import save_tiny_model
from tests.training.runs import backend, recipe, training_run

CLOSED = "<|im_start|>assistant\n<think>\n\n</think>\n\n"


class Seen:
    """Remembers what it judged."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, batch: RewardBatch) -> Terms:
        self.texts += batch.rewrites
        return Terms(np.array([min(1.0, len(text) / 9) for text in batch.rewrites], dtype=np.float64))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_hybrid_model(tmp_path_factory.mktemp("hybrid"))


def trained(folder: Path, model: Path, *, thinking: bool) -> tuple[list[Any], Seen]:
    seen = Seen()
    settings = recipe(
        model,
        prompt={"system": "s", "instruction": "i", "thinking": thinking},
        training={"batch_size": 2, "group_size": 4, "max_steps": 1, "learning_rate": 0.01},
        sampling={"max_tokens": 8},
    )
    session = training_run(folder, settings)
    session.reward = ComposedReward([WeightedReward(name="seen", reward=seen, weight=1.0)])
    trainer = backend().trainer(session)
    batches = []
    rate = session.rate
    session.rate = lambda indices, rollouts: batches.append(rollouts) or rate(indices, rollouts)  # type: ignore[method-assign]
    from paraphrase_rl_plugins.backends._callback import TrainingCallback

    trainer.add_callback(TrainingCallback(session, trainer))
    trainer.train()
    return [trainer, batches[0], session.directory.rows("samples.jsonl")], seen


def test_told_not_to_think(hybrid: Path, tmp_path: Path) -> None:
    (trainer, rollouts, _), seen = trained(tmp_path / "run", hybrid, thinking=False)
    for rollout in rollouts:
        assert trainer.chat.tokenizer.decode(rollout.prompt_ids).endswith(CLOSED)
        assert rollout.thought == ""
    assert any("</think>" in text for text in seen.texts), "what leaks is judged"


def test_a_thought_is_trained_and_not_judged(hybrid: Path, tmp_path: Path) -> None:
    (trainer, rollouts, samples), seen = trained(tmp_path / "run", hybrid, thinking=True)
    decode = trainer.chat.tokenizer.decode
    closed = 0
    for rollout in rollouts:
        assert decode(rollout.prompt_ids).endswith("assistant\n<think>\n")
        thought, mark, answer = decode(rollout.completion_ids, skip_special_tokens=True).partition("</think>")
        closed += bool(mark)
        assert rollout.text == answer.lstrip()
        assert rollout.thought == thought.strip().removeprefix("<think>").strip()
    assert 0 < closed < len(rollouts), "some thoughts are closed, others reach the limit"
    assert not any("</think>" in text.partition("</think>")[0] for text in seen.texts)
    judged = [rollout.text for rollout in rollouts]
    assert seen.texts[4 : 4 + len(judged)] == judged, "after the evaluation before training"
    assert "" in judged, "a thought that is not closed leaves nothing to judge"
    advantages = trainer.current.advantages.values
    assert [len(a) for a in advantages] == [len(r.completion_ids) for r in rollouts]
    mattered = [values for values in advantages if np.abs(values).max() > 0.1]
    assert mattered
    for values in mattered:
        assert np.abs(values).min() > 0.1, "each token of a thought has its advantage"
    rows = [row for row in samples if row["kind"] == "training"]
    assert [row.get("thought", "") for row in rows] == [r.thought for r in rollouts[: len(rows)]]


def test_a_model_that_cannot_stop_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "gpt-oss-20b")
    (folder / "chat_template.jinja").write_text(published_template("gptoss"), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="gpt-oss-20b thinks before it answers and cannot be told not to"):
        backend().trainer(training_run(tmp_path / "run", recipe(folder)))
    with pytest.raises(ModelError, match="gpt-oss-20b thinks before it answers"):
        backend().policy(str(folder), None)


def test_a_policy_gives_answers_without_thoughts(hybrid: Path) -> None:
    policy = backend().policy(str(hybrid), None, thinking=True)
    asked = [Prompt().messages(f"text {i}") for i in range(4)]
    sampling = Sampling(max_tokens=8)
    groups = policy.sample(asked, n=3, keys=[(1, i) for i in range(4)], sampling=sampling)
    rollouts = [rollout for group in groups for rollout in group]
    for rollout in rollouts:
        written = policy.chat.tokenizer.decode(rollout.completion_ids, skip_special_tokens=True)
        answer = written.partition("</think>")[2]
        assert rollout.text == answer.lstrip()
    assert 0 < sum(bool(rollout.text) for rollout in rollouts) < len(rollouts)


FAMILIES = (
    "qwen3",
    "qwen3_5_think",
    "llama3",
    "gemma3",
    "Mistral-Small-3.2",
    "Mistral-Small-4",
    "SmolLM2",
    "SmolLM3",
    "gptoss",
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("families") / "tiny")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_sampled_at_the_end_of_its_own_prompt(plain: Path, family: str) -> None:
    """Real chat templates on tiny weights: the prompt ends as the family's does, and the text given is in it."""
    (plain / "chat_template.jinja").write_text(template(family), encoding="utf-8")
    thinks, _, end = KNOWN[family]
    policy = backend().policy(str(plain), None, thinking=thinks == "always")
    asked = Prompt(instruction="Rewrite it.").messages("It rained.")
    [rollouts] = policy.sample([asked], n=2, keys=[(1,)], sampling=Sampling(max_tokens=4))
    for rollout in rollouts:
        prompt = policy.chat.tokenizer.decode(rollout.prompt_ids)
        assert prompt.endswith(end.replace("It rained.", "").lstrip() or end)
        assert "Rewrite it." in prompt
        assert "It rained." in prompt
        assert len(rollout.completion_ids) == len(rollout.logprobs) > 0
