"""Which layers an adapter may change: sampled, trained and merged it is one policy, or the recipe is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.models.adapters import load_adapted_lm
from tests.tiny_model import save_tiny_model
from tests.training.runs import backend, recipe, training_run

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Tiny models with norms of queries and keys, by whether their embeddings are tied."""
    folder = tmp_path_factory.mktemp("qwen")
    return {tied: save_tiny_model(folder / str(tied), qwen=True, tied=tied) for tied in (True, False)}


@pytest.mark.parametrize(
    ("tied", "target", "said"),
    [
        (True, "embed_tokens", "is the embedding of"),
        (True, "lm_head", "is the unembedding of"),
        (False, "lm_head", "is the unembedding of"),
        (True, "q_norm", "is not a linear layer"),
        (True, "self_attn", "is not a linear layer"),
        (True, "input_layernorm", "is not a linear layer"),
        (True, "nonsense.q_proj", "has no layer nonsense.q_proj"),
        (True, "q_prj", "has no layer q_prj"),
    ],
)
def test_a_layer_that_cannot_be_adapted_is_refused_with_what_can(
    qwen: dict[bool, Path], tmp_path: Path, tied: bool, target: str, said: str
) -> None:
    run = training_run(tmp_path / "run", recipe(qwen[tied], lora={"target_modules": ["q_proj", target]}))
    with pytest.raises(RecipeError) as caught:
        backend().trainer(run)
    assert said in caught.value.message
    assert "q_proj" in caught.value.hint
    assert f"did you mean {target}" not in caught.value.hint
    assert "\n" not in caught.value.one_line


@pytest.mark.parametrize(
    ("tied", "targets"),
    [
        (False, ["q_proj", "embed_tokens"]),
        (True, ["layers.0.self_attn.q_proj", "down_proj"]),
        (True, None),
    ],
)
def test_what_may_be_adapted_is_one_policy_everywhere(
    qwen: dict[bool, Path], tmp_path: Path, tied: bool, targets: list[str] | None
) -> None:
    settings = recipe(
        qwen[tied],
        lora={"rank": 4, "alpha": 8, "target_modules": targets},
        training={"batch_size": 2, "group_size": 3, "max_steps": 2, "learning_rate": 0.02},
    )
    run = training_run(tmp_path / "run", settings)
    backend().train(run)
    last = run.directory.rows("metrics.jsonl")[-1]["metrics"]
    assert abs(last["kl_sample_train"]) < 1e-5, "sampled and trained policies are the same"
    assert abs(last["kl_reference"]) > 1e-6, "and not the base model"
    adapter = run.folder / "adapter"
    with torch.no_grad():
        merged = load_adapted_lm(str(qwen[tied]), adapter)(input_ids=IDS).logits
        apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(qwen[tied]), adapter)
        assert torch.allclose(merged, apart(input_ids=IDS).logits, atol=1e-4)
    held = (adapter / "adapter_model.safetensors").stat().st_size
    assert held < (qwen[tied] / "model.safetensors").stat().st_size / 2, (
        "no weights of the base model are in it"
    )
