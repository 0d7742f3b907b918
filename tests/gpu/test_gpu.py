"""On an accelerator: the same scores and the same update as on a CPU, up to bf16, and what a step costs.

pytest -s tests/gpu        prints seconds a step, tokens a second, and the share of the card's bf16 limit
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, Qwen3Config, Qwen3ForCausalLM

from paraphrase_rl.models.language_model import LanguageModel
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Sampling
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


@pytest.mark.parametrize("sampler", ["own", "vllm"])
def test_a_step_of_the_recipes_model(tmp_path: Path, sampler: str) -> None:
    """Two steps of 4 x 8 rollouts with the shape of Qwen3-4B (random weights) and the recipe's LoRA."""
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    if sampler == "vllm":
        pytest.importorskip("vllm", reason="vLLM is not installed: make setup-gpu")
    tokens = tokenizer(151936)  # all of them text, so that rewards differ and there is an update
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
        training={"max_steps": 3},
        sampling={"max_tokens": 256},
        checkpoints={"every": 100},
    )
    run = training_run(tmp_path / "run", settings)
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    TrlBackend(TrlOptions(sampler=sampler), Context(device="cuda")).train(run)
    rows = [row["metrics"] for row in run.directory.rows("metrics.jsonl")]
    assert len(rows) == 3
    assert all(row["grad_norm"] > 0 for row in rows)
    assert all(row["kl_post_train"] != row["kl_sample_train"] for row in rows)
    assert all(abs(row["kl_sample_train"]) < 0.01 for row in rows)
    last = rows[-1]
    # forward of reference and policy, of two of eight after the update, backward with checkpointing: 2 + 2 + .5 + 2 + 2
    done = 8.5 * parameters * last["completion_tokens"] / last["seconds_total"]
    limit = 2 * _bf16_limit()
    print(
        f"\n{torch.cuda.get_device_name()}, sampler {sampler}: {last['seconds_total']:.1f} s a step, "
        f"{last['tokens_per_second']:.0f} completion tokens/s, {done / limit:.1%} of a measured matrix product, "
        f"{torch.cuda.max_memory_allocated() / 2**30:.0f} GiB, {time.perf_counter() - started:.0f} s in all\n"
        + ", ".join(f"{k} {v:.3g}" for k, v in last.items() if k.startswith(("seconds_", "kl_")))
    )


def test_a_recorded_step_gives_the_same_rollouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paraphrase_rl_plugins.backends import _sampler

    model = AutoModelForCausalLM.from_pretrained(save_tiny_model(tmp_path / "model", qwen=True)).cuda().eval()
    prompts = [[5] * 7, [9, 8, 7], [30] * 20]

    def sample() -> list[_sampler.Sampled]:
        return _sampler.sample_groups(
            model,
            prompts,
            [(0, 1, i) for i in range(3)],
            group_size=3,
            sampling=Sampling(max_tokens=40),
            end_ids=range(40, 44),
            pad_id=2,
        )

    assert _sampler.attends_to_everything(model)
    recorded = sample()
    monkeypatch.setattr(_sampler, "GRAPH_FROM", 1000)
    for one, other in zip(recorded, sample(), strict=True):
        assert one.ids == other.ids
        assert one.finished == other.finished
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_absolute_positions_and_prompts_of_different_lengths(tmp_path: Path) -> None:
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    tokens = tokenizer()
    config = GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=2,
        vocab_size=len(tokens),
        initializer_range=0.3,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    tokens.save_pretrained(tmp_path / "model")
    settings = recipe(tmp_path / "model", training={"batch_size": 4, "group_size": 3, "max_steps": 2})
    run = training_run(tmp_path / "run", settings)
    TrlBackend(TrlOptions(), Context(device="cuda")).train(run)
    for row in run.directory.rows("metrics.jsonl"):
        assert abs(row["metrics"]["kl_sample_train"]) < 0.02


def test_the_base_weights_stay_as_they_are(tmp_path: Path) -> None:
    from paraphrase_rl_plugins.backends._callback import TrainingCallback
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    settings = recipe(
        save_tiny_model(tmp_path / "model"), training={"batch_size": 4, "group_size": 8, "max_steps": 2}
    )
    run = training_run(tmp_path / "run", settings)
    trainer = TrlBackend(TrlOptions(), Context(device="cuda")).trainer(run)
    trainer.add_callback(TrainingCallback(run, trainer))
    before = {name: weights.clone() for name, weights in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    changed = {name for name, weights in before.items() if not torch.equal(weights, after[name])}
    assert changed
    assert all("lora_" in name for name in changed)


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
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions
    from peft import PeftModel

    folder = save_tiny_model(tmp_path / "model")
    run = training_run(
        tmp_path / "run", recipe(folder, training={"batch_size": 2, "group_size": 3, "max_steps": 2})
    )
    TrlBackend(TrlOptions(), Context(device="cuda")).train(run)
    base = AutoModelForCausalLM.from_pretrained(folder).cuda()
    adapted = PeftModel.from_pretrained(base, run.folder / "adapter")
    ids = torch.tensor([[5, 6, 7, 8]], device="cuda")
    with adapted.disable_adapter():
        plain = adapted(input_ids=ids).logits
    assert not torch.allclose(adapted(input_ids=ids).logits, plain, atol=1e-3)
