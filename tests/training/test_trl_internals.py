"""What the trl backend uses of TRL and the Trainer beyond their documented surface.

TRL may change these in any version below 2: this file then fails by name, and the other tests say what it means.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends._trainer import RecipeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import add_fused_lm_head, split_tensor_dict, use_adapter

from tests.tiny_model import SIZES
from tests.training.runs import backend, recipe, training_run

OVERRIDDEN = {
    "_get_train_sampler": ["dataset"],
    "_save": ["output_dir", "state_dict"],
    "_save_checkpoint": ["model", "trial"],
    "_load_from_checkpoint": ["resume_from_checkpoint", "model"],
    "_load_optimizer_and_scheduler": ["checkpoint"],
    "_load_rng_state": ["checkpoint"],
    "_prepare_inputs": ["generation_batch"],
    "_generate_and_score_completions": ["inputs"],
    "_compute_loss": ["model", "inputs"],
    "train": ["resume_from_checkpoint"],
    "store_flos": [],
}
CALLED: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "log-probabilities": (
        GRPOTrainer._get_per_token_logps_and_entropies,
        ["model", "input_ids", "attention_mask", "logits_to_keep"],
    ),
    "disable_gradient_checkpointing": (
        disable_gradient_checkpointing,
        ["model", "gradient_checkpointing_kwargs"],
    ),
    "split_tensor_dict": (split_tensor_dict, ["tensor_dict", "num_chunks"]),
    "use_adapter": (use_adapter, ["model", "adapter_name"]),
}


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_is_overridden_is_there_with_its_arguments(name: str) -> None:
    assert name in vars(RecipeTrainer), "the list is of what the backend overrides"
    base = getattr(GRPOTrainer, name)
    assert list(inspect.signature(base).parameters)[1:][: len(OVERRIDDEN[name])] == OVERRIDDEN[name]


def test_the_list_of_what_is_overridden_is_whole() -> None:
    ours = {
        name
        for name in vars(RecipeTrainer)
        if callable(getattr(RecipeTrainer, name)) and hasattr(GRPOTrainer, name)
    }
    inherited = {name for name in ours if getattr(object, name, None) is None and name != "__init__"}
    assert inherited - {"create_model_card"} == OVERRIDDEN.keys()


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_takes_what_it_is_given(name: str) -> None:
    function, arguments = CALLED[name]
    assert [p for p in inspect.signature(function).parameters if p != "self"][: len(arguments)] == arguments


def test_the_trainer_has_the_attributes_that_are_read(tiny_model: Any, tmp_path: Any) -> None:
    trainer = backend().trainer(training_run(tmp_path / "run", recipe(tiny_model)))
    assert isinstance(trainer, Trainer)
    assert trainer._step == 0
    assert trainer.num_generations == 3
    assert trainer.temperature == 1.0
    assert trainer.args.steps_per_generation == trainer.args.gradient_accumulation_steps == 2
    assert trainer._tokenizer.pad_token_id is not None
    assert list(trainer.eos_token_ids)
    assert "vllm" not in GRPOConfig.__dataclass_fields__ or not trainer.use_vllm


def test_the_fused_head_scores_shifted_labels_where_they_are() -> None:
    """``shift_labels``: the token each position predicts, -100 where none is scored; a 4D mask passes through."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=40)).eval()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    labels = torch.tensor([[-100, 30, 8, 9, 31]])
    full = torch.log_softmax(model(input_ids=ids).logits[0] / 0.7, -1)
    add_fused_lm_head(model, temperature=0.7)
    mask = torch.ones(1, 1, 5, 5).tril().bool()
    scored = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=torch.arange(5)[None],
        shift_labels=labels,
        fused_lm_head=True,
    ).log_probs
    for at, label in enumerate(labels[0].tolist()):
        if label >= 0:
            assert float(scored[0, at]) == pytest.approx(float(full[at, label]), abs=1e-5)
