"""On an accelerator: the same scores and the same update as on a CPU, up to bf16, and what a step costs.

pytest -s tests/gpu        prints seconds a step, tokens a second, and the share of the card's bf16 limit
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from paraphrase_rl.models.language_model import LanguageModel
from paraphrase_rl.plugin.specs import Context, NoOptions
from tests.tiny_model import save_tiny_model, tokenizer
from tests.training.runs import recipe, training_run

pytestmark = pytest.mark.gpu
TEXTS = ["The council voted on Tuesday to close the old bridge.", "Rain fell. " * 40, "A short one."]


def test_scores_agree_with_the_cpu_up_to_bf16(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    on_cpu = LanguageModel(str(folder), "cpu", 256).statistics(TEXTS)
    on_gpu = LanguageModel(str(folder), "cuda", 256).statistics(TEXTS)
    for cpu, gpu in zip(on_cpu, on_gpu, strict=True):
        assert np.mean(gpu.logprob) == pytest.approx(np.mean(cpu.logprob), abs=0.05)
        assert np.mean(gpu.entropy) == pytest.approx(np.mean(cpu.entropy), abs=0.05)


def test_a_step_of_the_recipes_model(tmp_path: Path) -> None:
    """Two steps of 4 x 8 rollouts with the shape of Qwen3-4B (random weights) and the recipe's LoRA."""
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend

    tokens = tokenizer()
    config = Qwen3Config(
        vocab_size=151936,
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    with torch.device("cuda"):
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model")
    tokens.save_pretrained(tmp_path / "model")
    parameters = sum(p.numel() for p in model.parameters())
    del model
    settings = recipe(
        tmp_path / "model",
        lora={},
        training={"max_steps": 2},
        sampling={"max_tokens": 256},
        checkpoints={"every": 100},
    )
    run = training_run(tmp_path / "run", settings)
    started = time.perf_counter()
    TrlBackend(NoOptions(), Context(device="cuda")).train(run)
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert len(rows) == 2
    assert all(abs(row["kl_sample_train"]) < 0.01 for row in rows)
    last = rows[-1]
    # forward of reference, policy and after the update, backward with checkpointing: 2 + 2 + 2 + 2 + 2 a token
    done = 10 * parameters * last["completion_tokens"] / last["seconds_total"]
    limit = 2 * _bf16_limit()
    print(
        f"\n{torch.cuda.get_device_name()}: {last['seconds_total']:.1f} s a step, "
        f"{last['tokens_per_second']:.0f} completion tokens/s, {done / limit:.1%} of a measured matrix product, "
        f"{time.perf_counter() - started:.0f} s in all"
    )


def _bf16_limit() -> float:
    """Multiply-adds a second of one large bf16 product."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(10):
        a @ a
    torch.cuda.synchronize()
    return 10 * 8192**3 / (time.perf_counter() - started)


def test_the_adapter_loads_with_plain_peft(tmp_path: Path) -> None:
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend
    from peft import PeftModel

    folder = save_tiny_model(tmp_path / "model")
    run = training_run(
        tmp_path / "run", recipe(folder, training={"batch_size": 2, "group_size": 3, "max_steps": 2})
    )
    TrlBackend(NoOptions(), Context(device="cuda")).train(run)
    base = AutoModelForCausalLM.from_pretrained(folder).cuda()
    adapted = PeftModel.from_pretrained(base, run.folder / "adapter")
    ids = torch.tensor([[5, 6, 7, 8]], device="cuda")
    with adapted.disable_adapter():
        plain = adapted(input_ids=ids).logits
    assert not torch.allclose(adapted(input_ids=ids).logits, plain, atol=1e-3)
