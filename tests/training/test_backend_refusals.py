"""What the trl backend refuses before it trains, each in one line that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paraphrase_rl.errors import DataError, ModelError, RecipeError
from paraphrase_rl.plugin.specs import Context
from tests.tiny_model import save_tiny_model
from tests.training.runs import backend, recipe, training_run


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="cannot write a chat"):
        backend().trainer(training_run(tmp_path / "run", recipe(folder)))


def test_a_template_that_knows_no_system_message(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    with pytest.raises(ModelError, match="System role not supported"):
        backend().trainer(training_run(tmp_path / "run", recipe(folder)))


def test_a_text_longer_than_the_model_reads(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 60}))
    with pytest.raises(DataError, match=r"text t\d makes a prompt of \d+ tokens"):
        backend().trainer(training_run(tmp_path / "run", recipe(folder)))


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_sharded_weights(
    variable: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(RecipeError, match="does not train sharded weights"):
        backend().trainer(training_run(tmp_path / "run", recipe(tiny_model)))


def test_several_gpus_without_a_launcher(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with pytest.raises(RecipeError, match="one process sees 4 GPUs") as refused:
        TrlBackend(TrlOptions(), Context(device="cuda:0")).trainer(
            training_run(tmp_path / "run", recipe(tiny_model))
        )
    assert "accelerate launch" in refused.value.hint


def test_what_the_optimizer_and_the_sampler_are_told(tiny_model: Path, tmp_path: Path) -> None:
    """Published runs multiplied the rate by ten, ignored rank and top_p, decayed and clipped: none of it here."""
    settings = recipe(
        tiny_model,
        lora={"rank": 5, "alpha": 7},
        training={"learning_rate": 3e-4, "batch_size": 2, "group_size": 3, "max_steps": 2, "seed": 9},
        sampling={"temperature": 0.8, "top_p": 0.7, "max_tokens": 4},
    )
    trainer = backend().trainer(training_run(tmp_path / "run", settings))
    rates = []
    trainer.add_callback(rate_recorder(trainer, rates))
    trainer.train()
    group = trainer.optimizer.param_groups[0]
    assert rates == [3e-4, 3e-4]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.95), 1e-8, 0.0)
    assert trainer.args.max_grad_norm == 0
    assert (trainer.temperature, trainer.top_p, trainer.max_completion_length) == (0.8, 0.7, 4)
    assert trainer.args.seed == 9
    lora = trainer.model.peft_config["default"]
    assert (lora.r, lora.lora_alpha, lora.lora_dropout) == (5, 7, 0.0)
    adapted = {name.split(".")[-4] for name, _ in trainer.model.named_parameters() if "lora_A" in name}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def rate_recorder(trainer: object, rates: list[float]) -> object:
    from transformers import TrainerCallback

    class Rates(TrainerCallback):
        def on_pre_optimizer_step(self, *_: object, **__: object) -> None:
            rates.append(trainer.optimizer.param_groups[0]["lr"])

    return Rates()


def test_auto_is_the_published_formula(tiny_model: Path, tmp_path: Path) -> None:
    settings = recipe(tiny_model, training={"learning_rate": "auto", "batch_size": 2, "group_size": 3})
    trainer = backend().trainer(training_run(tmp_path / "run", settings))
    assert trainer.args.learning_rate == pytest.approx(5e-5 * 10 * (2000 / 32) ** 0.781)
