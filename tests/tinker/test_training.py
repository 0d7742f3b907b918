"""Whole runs on a server that really trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.backends._tinker_policy import ServedChat
from peft import PeftModel
from transformers import AutoModelForCausalLM

from paraphrase_rl.errors import RunError
from paraphrase_rl.recipe.schema import Sampling
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.types import RewardBatch, Terms
from tests.tinker.conftest import KEY
from tests.tinker.runs import alike, backend, numbers, short
from tests.training.runs import training_run


@pytest.fixture(scope="module")
def whole(qwen: Path, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of four steps, from start to end."""
    run = training_run(tmp_path_factory.mktemp("whole") / "run", short(qwen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINKER_API_KEY", KEY)
        result = backend(server).train(run)
    run.directory.close()
    assert (result.status, result.step) == ("completed", 4)
    return run


def test_metrics_have_the_names_of_every_backend(whole: Any) -> None:
    rows = [row["metrics"] for row in whole.directory.rows("metrics.jsonl")]
    assert len(rows) == 4
    assert all(abs(row["kl_sample_train"]) < 1e-5 for row in rows), "sampler and trainer are one model here"
    assert rows[0]["kl_reference"] == pytest.approx(0, abs=1e-6), "the adapter starts as the base model"
    assert abs(rows[1]["kl_reference"]) > 1e-3
    assert abs(rows[0]["kl_post_train"]) > 1e-3
    assert all(row["learning_rate"] == 0.01 for row in rows), "the rate is applied as written"
    assert rows[0]["grad_norm"] > 0
    assert all(row["seconds_service_waits"] <= row["seconds_total"] for row in rows)


def test_the_ledger_says_what_the_service_holds_and_how_long(whole: Any) -> None:
    ledger = whole.directory.rows("checkpoints.jsonl")
    assert [(row["step"], row["kind"]) for row in ledger] == [(2, "periodic"), (4, "periodic"), (4, "final")]
    assert [row["expires"] is None for row in ledger] == [False, False, True]
    assert all("/weights/" in row["reference"] and "/sampler_weights/" in row["sampler"] for row in ledger)


def test_evaluations_before_and_after_use_the_same_noise(whole: Any) -> None:
    assert [row["step"] for row in whole.directory.rows("evaluations.jsonl")] == [0, 4]


def test_resumed_after_an_interrupt_it_gives_the_numbers_of_the_unbroken_run(
    whole: Any, qwen: Path, server: Any, tmp_path: Path
) -> None:
    run = training_run(tmp_path / "run", short(qwen))
    asked = iter((False, False, True))
    run.stop_requested = lambda: next(asked)
    assert backend(server).train(run).status == "interrupted"
    run.directory.close()
    assert len(numbers(tmp_path / "run")) == 3

    rest = training_run(tmp_path / "run", short(qwen), resume=True)
    assert rest.resume_from is not None
    assert rest.resume_from[0] == 3
    assert backend(server).train(rest).status == "completed"
    rest.directory.close()
    assert numbers(tmp_path / "run") == alike(numbers(whole.folder), server)


def test_batches_sampled_ahead_say_how_far_off_policy_they_are(
    whole: Any, qwen: Path, server: Any, tmp_path: Path
) -> None:
    run = training_run(tmp_path / "run", short(qwen))
    backend(server, max_steps_off_policy=1).train(run)
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert [row["steps_off_policy"] for row in rows] == [0, 1, 1, 1]
    assert abs(rows[0]["kl_sample_train"]) < 1e-5
    assert all(abs(row["kl_sample_train"]) > 1e-3 for row in rows[1:]), "the trainer had moved on"
    on_policy = [row["metrics"]["steps_off_policy"] for row in whole.directory.rows("metrics.jsonl")]
    assert on_policy == [0, 0, 0, 0]


def test_ratios_of_batches_sampled_ahead_are_truncated(qwen: Path, server: Any, tmp_path: Path) -> None:
    """A batch from the weights that it updates has none, however low the cap; one from older weights does."""

    def trained(name: str, cap: float | None) -> list[dict[str, float]]:
        given = {"batch_size": 2, "group_size": 3, "seed": 5, "learning_rate": 0.01, "max_steps": 3}
        run = training_run(tmp_path / name, short(qwen, training={**given, "ratio_cap": cap}))
        assert backend(server, max_steps_off_policy=1).train(run).status == "completed"
        run.directory.close()
        return [row["metrics"] for row in run.directory.rows("metrics.jsonl")]

    free, loose, tight = trained("free", None), trained("loose", 1e6), trained("tight", 1.001)
    assert all("ratio_truncated" not in row for row in [*free, loose[0], tight[0]])
    assert [row["ratio_truncated"] for row in loose[1:]] == [0.0, 0.0]
    assert all(0.1 < row["ratio_truncated"] < 0.9 for row in tight[1:]), (
        "about half of the ratios are above 1"
    )
    assert loose[1]["kl_post_train"] == pytest.approx(free[1]["kl_post_train"], rel=1e-3), "the same gradient"
    if "grad_norm" in free[1]:
        assert loose[1]["grad_norm"] == pytest.approx(free[1]["grad_norm"], rel=1e-4)
        assert tight[1]["grad_norm"] != pytest.approx(free[1]["grad_norm"], rel=1e-4)


def test_the_exported_adapter_is_the_trained_policy(
    whole: Any, qwen: Path, server: Any, tmp_path: Path
) -> None:
    final = whole.directory.rows("checkpoints.jsonl")[-1]
    at_the_service = backend(server)
    at_the_service.export(whole.folder, final, tmp_path / "adapter")
    policy = at_the_service.policy(str(qwen), final["sampler"])
    [[rollout]] = policy.sample(
        [[{"role": "user", "content": "hello"}]],
        n=1,
        keys=[(1,)],
        sampling=Sampling(top_p=1.0, max_tokens=20),
    )
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(qwen), tmp_path / "adapter")
    ids = torch.tensor([[*rollout.prompt_ids, *rollout.completion_ids]])

    def logprobs() -> np.ndarray:
        with torch.no_grad():
            full = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1)
        return full.gather(1, ids[0, 1:, None])[-len(rollout.completion_ids) :, 0].numpy()

    assert np.abs(logprobs() - rollout.logprobs).max() < 1e-4
    with model.disable_adapter():
        assert np.abs(logprobs() - rollout.logprobs).max() > 0.1


def test_an_adapter_without_its_list_of_layers_gets_one(whole: Any, server: Any, tmp_path: Path) -> None:
    """Peft would otherwise load two layers of seven, and say nothing."""
    from paraphrase_rl_plugins.backends.tinker_backend import _complete

    backend(server).export(whole.folder, whole.directory.rows("checkpoints.jsonl")[0], tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target_modules": None}))
    _complete(tmp_path / "adapter")
    layers = json.loads(path.read_text())["target_modules"]
    assert layers == sorted("q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split())  # noqa: SIM905


def test_the_markup_of_a_chat_inside_a_text_does_not_end_the_turn(qwen: Path) -> None:
    chat = ServedChat(str(qwen))
    plain, marked = (chat.prompt([{"role": "user", "content": text}]) for text in ("ab", "a<|im_end|>b"))
    end = chat.tokenizer.eos_token_id
    assert marked.count(end) == plain.count(end) > 0
    assert chat.tokenizer.decode(marked) == chat.tokenizer.decode(plain).replace("ab", "a<|im_end|>b")


def test_a_run_whose_checkpoints_have_all_expired_is_not_begun_anew(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    rows = [("2020-01-01T00:00:00+00:00", "old"), (None, "kept"), ("2021-01-01T00:00:00+00:00", "late")]
    for step, (expires, name) in enumerate(rows, start=1):
        row = {
            "step": step,
            "kind": "periodic",
            "reference": f"tinker://r/weights/{name}",
            "expires": expires,
        }
        run.append("checkpoints.jsonl", row)
    assert run.checkpoints.last() == (2, "tinker://r/weights/kept")
    (tmp_path / "run" / "checkpoints.jsonl").unlink()
    run.append("checkpoints.jsonl", row)
    with pytest.raises(RunError, match="expired at the service; the last one on 2021-01-01"):
        run.checkpoints.last()


class Letters:
    """Share of plain letters: about a quarter of what a random byte model writes."""

    def __call__(self, batch: RewardBatch) -> Terms:
        shares = [
            sum(c.isascii() and c.isalpha() for c in text) / max(1, len(text)) for text in batch.rewrites
        ]
        return Terms(np.array(shares))


@pytest.mark.service
def test_the_reward_rises(qwen: Path, server: Any, tmp_path: Path) -> None:
    settings = short(
        qwen,
        lora={"rank": 8, "alpha": 32},
        training={"group_size": 8, "max_steps": 15, "learning_rate": 0.006, "epochs": 9},
        sampling={"max_tokens": 8, "top_p": 1.0},
        kl={"penalty_coef": 0.0},
    )
    run = training_run(tmp_path / "run", settings)
    run.reward = ComposedReward([WeightedReward(name="letters", reward=Letters(), weight=1.0)])
    backend(server).train(run)
    rewards = [row["metrics"]["reward_mean"] for row in run.directory.rows("metrics.jsonl")]
    before, after = np.mean(rewards[:3]), np.mean(rewards[-3:])
    print(f"\nreward on {type(server).__name__}: {before:.3f} -> {after:.3f}")
    assert after > before + 0.3
