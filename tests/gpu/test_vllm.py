"""vLLM itself, where it is installed (`make setup-gpu`): it loads our adapters, and samples for a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Sampling
from tests.tiny_model import tokenizer
from tests.training.runs import recipe, training_run

pytestmark = pytest.mark.gpu
vllm = pytest.importorskip("vllm", reason="vLLM is not installed: make setup-gpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose heads are as wide as vLLM's kernels want them."""
    folder, tokens = tmp_path_factory.mktemp("llama"), tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.1,
        vocab_size=len(tokens),
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def test_an_adapter_we_write_has_its_effect_in_vllm(model: Path, tmp_path: Path) -> None:
    from paraphrase_rl_plugins.backends._adapter import write_adapter
    from paraphrase_rl_plugins.backends._vllm import VllmSampler, start_engine

    base: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    )
    engine = start_engine(model, memory=0.2, seed=0, rank=4, longest=256)
    sampler = VllmSampler(engine, lambda folder: write_adapter(adapted, tokenizer(), folder, str(model)), [2])
    sampler.hold_current()
    prompt, completion = [5, 6, 7, 8], [90, 41, 33, 70, 71]
    with torch.no_grad():
        for name in (True, False):
            adapted.enable_adapter_layers() if name else adapted.disable_adapter_layers()
            full = torch.log_softmax(adapted(input_ids=torch.tensor([prompt + completion])).logits[0], -1)
            wanted = [float(full[len(prompt) - 1 + i, token]) for i, token in enumerate(completion)]
            got = sampler.logprobs(prompt, completion, adapted=name)
            assert got == pytest.approx(wanted, abs=0.15), "up to bf16"
    with_adapter = sampler.logprobs(prompt, completion, adapted=True)
    assert abs(with_adapter - sampler.logprobs(prompt, completion, adapted=False)).max() > 0.2


def test_a_saved_adapter_is_evaluated_by_vllm(model: Path, tmp_path: Path) -> None:
    from paraphrase_rl_plugins.backends._adapter import write_adapter
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    base: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    )
    write_adapter(adapted, tokenizer(), tmp_path / "adapter", str(model))
    backend = TrlBackend(TrlOptions(sampler="vllm", vllm_memory=0.2), Context(device="cuda"))
    talk = [[{"role": "system", "content": "s"}, {"role": "user", "content": f"text {i}"}] for i in range(4)]
    texts = []
    for adapter in (tmp_path / "adapter", None):  # asked at its first rewrite whether it holds the adapter
        policy = backend.policy(str(model), adapter)
        groups = policy.sample(talk, n=2, keys=[(1, i) for i in range(4)], sampling=Sampling(max_tokens=16))
        texts.append([one.text for group in groups for one in group])
    assert texts[0] != texts[1]


def test_a_run_sampled_by_vllm_measures_what_it_should(model: Path, tmp_path: Path) -> None:
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    training = {"batch_size": 4, "group_size": 8, "max_steps": 4, "learning_rate": 1e-3}
    settings = recipe(model, training=training, sampling={"max_tokens": 64}, checkpoints={"every": 2})
    run = training_run(tmp_path / "run", settings)
    TrlBackend(TrlOptions(sampler="vllm", vllm_memory=0.2), Context(device="cuda")).train(run)
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert len(rows) == 4
    for row in rows:
        assert row["kl_sample_train"] != 0.0
        assert abs(row["kl_sample_train"]) < 0.02
        assert row["ratio_truncated"] < 0.05
