"""The packaged recipe, as published, for two steps of a tiny random model of its architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from paraphrase_rl.files import read_jsonl
from paraphrase_rl.models.references import resolve
from tests.tiny_model import CHAT_TEMPLATE, SIZES, save_tiny_model
from tests.training.cases import Prl
from tests.training.runs import WORDS, backend, recipe, training_run

WATCHED = (
    "reward_mean", "reward_std", "detector_reward", "semantic_reward", "fluency_reward", "fairness_reward",
    "format_rate", "kl_sample_train", "kl_post_train", "kl_reference", "frac_constant_groups", "grad_norm",
)  # fmt: skip
VOCABULARY = [*WORDS, *"ferry village garden winter letter river music bread window teacher".split()]  # noqa: SIM905


def save_word_model(folder: Path, spread: float) -> Path:
    """A random Qwen3 that speaks in whole words, so that some of its outputs pass for rewrites."""
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>", "<unk>"]
    words = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate([*special, *VOCABULARY])}, "<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        unk_token="<unk>",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = Qwen3Config(
        **{**SIZES, "initializer_range": spread},
        vocab_size=len(tokenizer),
        head_dim=8,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_encoder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "words.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *VOCABULARY]))
    tokenizer = BertTokenizer(vocab=str(folder / "words.txt"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(
        folder
    )
    return folder


def write_data(path: Path, scorer: Path) -> None:
    """Human texts of random words beside texts sampled from the model that the detectors score with."""
    rng = np.random.default_rng(0)
    model = AutoModelForCausalLM.from_pretrained(scorer)
    first = torch.tensor(rng.integers(4, 4 + len(VOCABULARY), size=(40, 1)))
    torch.manual_seed(0)
    sampled = model.generate(
        first, do_sample=True, top_k=0, max_new_tokens=20, suppress_tokens=[0, 1, 2, 3], pad_token_id=0
    )
    rows = []
    for i, ids in enumerate(sampled.tolist()):
        shared = {"pair": str(i), "group": "non-native" if i % 2 else "native", "domain": "news"}
        rows.append({"label": "ai", "text": " ".join(VOCABULARY[k - 4] for k in ids), **shared})
        rows.append({"label": "human", "text": " ".join(rng.choice(VOCABULARY, size=20)), **shared})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Run:
    """The recipe's run."""

    def __init__(self, folder: Path, launch: Prl) -> None:
        self.folder = folder / "run"
        self.policy = save_word_model(folder / "policy", 0.02)
        self.scorer = save_word_model(folder / "scorer", 0.3)
        encoder = save_encoder(folder / "encoder")
        write_data(folder / "texts.jsonl", self.scorer)
        settings = {
            "model": self.policy,
            "detectors.fast-detectgpt.options.model": self.scorer,
            "detectors.log-likelihood.options.model": self.scorer,
            "rewards.semantic-similarity.options.model": encoder,
            "rewards.fluency.options.model": self.scorer,
            "data.source.options.path": folder / "texts.jsonl",
            "sampling.max_tokens": 48,
            "training.max_steps": 2,
        }
        self.options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = ["train", "--config", "recipe", *self.options, "--device", "cpu", "--out", "run"]
        self.ended = launch(*command, "--format", "json", cwd=folder)

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, launch: Prl) -> Run:
    return Run(tmp_path_factory.mktemp("recipe"), launch)


def test_preflight_passes(run: Run, launch: Prl) -> None:
    ended = launch("check", "--config", "recipe", *run.options, cwd=run.folder.parent)
    assert "0 errors" in ended.stderr
    assert "evaluations" in ended.stdout


def test_stdout_is_the_summary_alone_and_stderr_is_readable(run: Run) -> None:
    payload = json.loads(run.ended.stdout)
    assert payload["schema"] == "prl.train"
    assert payload["steps"] == [0, 2]
    assert {row["term"] for row in payload["rows"]} >= {"reward_mean", "detector_reward", "format_rate"}
    assert len(payload["samples"]) == 3
    assert "Warning" not in run.ended.stderr
    lines = run.ended.stderr.splitlines()
    kinds = ("calibrating", "note:", "evaluation at step", "step ", "monitor ", "next: prl evaluate")
    assert [line for line in lines if not line.startswith(kinds)] == []
    step = next(line for line in lines if line.startswith("step 2/2"))
    for shown in (
        "reward",
        "detector",
        "semantic",
        "fluency",
        "format",
        "fairness",
        "KL",
        "tokens/s",
        "left",
    ):
        assert shown in step


def test_the_recipe_is_resolved_with_its_origins(run: Run) -> None:
    text = (run.folder / "recipe.yaml").read_text()
    resolved = yaml.safe_load(text)
    assert resolved["lora"] == {"rank": 32, "alpha": 32.0, "target_modules": None}
    assert resolved["kl"]["penalty_coef"] == 0.01
    lines = {line.split("#")[0].strip(): line.rpartition("# ")[2] for line in text.splitlines()}
    assert lines["max_steps: 2"] == "--set"
    assert lines["top_p: 0.95"].startswith("file ")
    assert lines["normalize_advantages: true"] == "default"


def test_the_manifest_says_what_the_run_depends_on(run: Run) -> None:
    manifest = run.json("manifest.json")
    assert manifest["backend"] == "trl"
    assert manifest["models"][str(run.policy)] == resolve(run.policy).revision
    assert manifest["models"][str(run.scorer)].startswith("sha256:")
    assert len(manifest["models"]) == 3
    assert {"torch", "transformers", "trl", "peft"} <= manifest["packages"].keys()
    assert manifest["data"]["documents"] == 80
    assert len(manifest["data"]["digest"]) == 64
    assert manifest["seeds"] == {"training": 0, "split": 42}
    assert (manifest["git"] or {"commit": 0}).keys() == {"commit"}
    calibrated = run.json("calibration.json")["calibrations"]
    assert [record["detector"] for record in calibrated] == ["fast-detectgpt", "log-likelihood"]
    assert all(record["probability"]["auroc"] > 0.6 for record in calibrated)


def test_every_number_the_recipe_watches_is_logged(run: Run) -> None:
    rows = [row["metrics"] for row in read_jsonl(run.folder / "metrics.jsonl")]
    assert len(rows) == 2
    for row in rows:
        for name in WATCHED:
            assert isinstance(row[name], float), name
        assert 0 < row["format_rate"] < 1, "valid and invalid outputs both occur"
        assert row["learning_rate"] == 2.8e-4, "applied exactly as written"
        assert abs(row["kl_sample_train"]) < 1e-5
        assert row["grad_norm"] > 0
    assert rows[0]["kl_reference"] == pytest.approx(0, abs=1e-6)
    assert abs(rows[1]["kl_reference"]) > 1e-7
    assert [row["step"] for row in read_jsonl(run.folder / "evaluations.jsonl")] == [0, 2]


def test_the_ledger_lists_the_final_adapter(run: Run) -> None:
    ledger = read_jsonl(run.folder / "checkpoints.jsonl")
    periodic, final = ledger
    assert (periodic["step"], periodic["kind"]) == (2, "periodic"), "the last step can be extended from"
    assert {key: final[key] for key in ("step", "kind", "path")} == {
        "step": 2,
        "kind": "final",
        "path": "adapter",
    }
    assert set(final["sha256"]) >= {"adapter_config.json", "adapter_model.safetensors"}
    config = run.json("adapter/adapter_config.json")
    assert (config["r"], config["lora_alpha"]) == (32, 32)
    assert {name.rpartition(".")[2] for name in config["target_modules"]} == {
        f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")
    }


def test_the_final_adapter_loads_with_plain_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    folder = save_tiny_model(tmp_path / "qwen", qwen=True)
    changes: dict[str, Any] = {
        "training": {"batch_size": 2, "group_size": 3, "max_steps": 2, "learning_rate": 0.05}
    }
    trl = backend()
    make, kept = trl.trainer, []
    trl.trainer = lambda run: kept.append(make(run)) or kept[0]
    trl.train(training_run(tmp_path / "run", recipe(folder, **changes)))

    def logprobs(model: Any) -> torch.Tensor:
        ids = torch.arange(10, 60).reshape(2, 25)
        with torch.no_grad():
            return torch.log_softmax(model.eval()(input_ids=ids).logits, -1)

    trained = logprobs(kept[0].model)
    base = AutoModelForCausalLM.from_pretrained(folder)
    assert (logprobs(base) - trained).abs().max() > 0.01
    adapter = tmp_path / "run" / "adapter"
    assert torch.allclose(logprobs(PeftModel.from_pretrained(base, adapter)), trained, atol=1e-5)
