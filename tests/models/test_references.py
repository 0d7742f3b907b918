"""Hub ids, folders and packages: what is found, what identifies it, and what is refused with which words."""

import json
import os
import pickle
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models.references import (
    load_causal_lm,
    load_tokenizer,
    resolve,
    scoring_dtype,
    shared_causal_lm,
)
from tests.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def refused(reference, load=resolve):
    """Message and hint of the error, each one line."""
    with pytest.raises(ModelError) as caught:
        load(reference)
    assert "\n" not in caught.value.message + caught.value.hint
    assert caught.value.hint
    return caught.value.message, caught.value.hint


def test_a_folder_is_identified_by_its_files(original, folder):
    found = resolve(str(folder))
    assert (found.kind, found.path) == ("folder", folder)
    assert found.revision == resolve(str(original)).revision
    assert found.revision.startswith("sha256:")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_changed_file_changes_the_digest(folder, name):
    before = resolve(str(folder)).revision
    changed = bytearray((folder / name).read_bytes())
    changed[-2] ^= 1
    state = (folder / name).stat()
    (folder / name).write_bytes(changed)
    os.utime(folder / name, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert resolve(str(folder)).revision != before


def test_the_digest_reads_each_file_once(folder, monkeypatch):
    resolve(str(folder))
    monkeypatch.setattr("paraphrase_rl.files.sha256_file", None)
    resolve(str(folder))


def test_notes_beside_a_model_do_not_change_its_digest(folder):
    before = resolve(str(folder)).revision
    (folder / "README.md").write_text("notes")
    (folder / "optimizer.pt").write_bytes(b"state")
    assert resolve(str(folder)).revision == before


def test_a_hub_id_offline_names_the_model_and_the_remedy():
    message, hint = refused("some-org/some-model")
    assert "some-org/some-model" in message
    assert "HF_HUB_OFFLINE" in message
    assert "hf download some-org/some-model" in hint
    assert "package:" in hint


def test_no_network_is_said_without_the_switch(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")

    def unreachable(*arguments, **options):
        raise ConnectionError("[Errno -2] Name or service not known\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    message, hint = refused("some-org/some-model")
    assert "cannot be downloaded: [Errno -2] Name or service not known" in message
    assert "hf download" in hint


def test_a_hub_model_in_the_cache_is_identified_by_its_commit(original, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--some-org--tiny"
    shutil.copytree(original, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = resolve("some-org/tiny")
    assert (found.kind, found.revision) == ("hub", commit)
    assert load_causal_lm("some-org/tiny").num_parameters() > 0


@pytest.mark.parametrize(
    "name", ["no/such/folder", "/no/such", "../elsewhere", "a b", "", "~/nowhere-at-all"]
)
def test_what_is_neither_folder_nor_hub_id(name):
    assert repr(name) in refused(name)[0] or "not a model" in refused(name)[0]


def test_a_file_is_not_a_model(folder):
    assert "not a model folder" in refused(str(folder / "config.json"))[0]


def test_a_folder_without_a_model(tmp_path):
    assert "no config.json" in refused(str(tmp_path))[0]


def test_an_adapter_is_not_a_whole_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    message, hint = refused(str(tmp_path))
    assert "adapter" in message
    assert "merge" in hint


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "no weights" in refused(str(folder))[0]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickles_are_refused_and_never_opened(folder, name, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "opened"),)

    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Trap()))
    message, hint = refused(str(folder), load_causal_lm)
    assert name in message
    assert "can run code" in message
    assert "safetensors" in hint
    assert not (tmp_path / "opened").exists()


def test_a_missing_shard_is_named(folder):
    (folder / "model.safetensors").unlink()
    weights = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(weights))
    assert "model-00001-of-00002.safetensors is missing" in refused(str(folder))[0]
    (folder / "model.safetensors.index.json").write_text("[]")
    assert "damaged" in refused(str(folder))[0]


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "../model.safetensors",
        "/model.safetensors",
        "a/b.safetensors",
        ".safetensors",
        7,
        None,
    ],
)
def test_an_index_names_safetensors_of_its_own_folder_only(folder, name, tmp_path):
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "not a safetensors file in that folder" in refused(str(folder), load_causal_lm)[0]


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "notes.json", "model.safetensors", "merges.txt"]
)
def test_a_pipe_in_place_of_a_file_does_not_hang(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert name in refused(str(folder))[0]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_one_line(folder, name):
    (folder / name).write_bytes(b"not what it should be")
    load = load_tokenizer if name == "tokenizer.json" else load_causal_lm
    assert str(folder) in refused(str(folder), load)[0]


def test_code_of_a_model_is_never_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "unheard-of",
        "auto_map": {"AutoModelForCausalLM": "code.Model", "AutoConfig": "code.C"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"import os; os.mkdir({str(tmp_path / 'ran')!r})")
    refused(str(folder), load_causal_lm)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_missing_are_not_made_up(tmp_path):
    """An encoder opened as a language model would get a random unembedding."""
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(tmp_path)
    assert "are missing from its files" in refused(str(tmp_path), load_causal_lm)[0]


def test_fresh_and_shared_instances(original):
    shared = shared_causal_lm(str(original))
    assert shared_causal_lm(str(original)) is shared
    assert not any(p.requires_grad for p in shared.parameters())
    fresh = load_causal_lm(str(original))
    assert fresh is not shared
    assert all(p.requires_grad for p in fresh.parameters())
    assert not fresh.training
    for ours, theirs in zip(fresh.parameters(), shared.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_new_weights_are_a_new_shared_instance(folder):
    first = shared_causal_lm(str(folder))
    save_tiny_model(folder, seed=1)
    second = shared_causal_lm(str(folder))
    assert second is not first
    assert not torch.equal(first.lm_head.weight, second.lm_head.weight)


def test_the_precision_is_ours_and_not_the_checkpoints(original, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(original, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert load_causal_lm(str(tmp_path)).dtype == torch.float32
    assert load_causal_lm(str(tmp_path), dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_half_precision_on_an_accelerator(monkeypatch, has_bf16, expected):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: has_bf16)
    assert scoring_dtype("cuda:1") == expected
    assert scoring_dtype("cpu") == torch.float32
