"""Hugging Face data sets, offline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paraphrase_rl_plugins.datasets.huggingface import HuggingFace, commit

from paraphrase_rl.data.documents import load_documents
from paraphrase_rl.errors import DataError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.recipe.schema import Component, Data
from paraphrase_rl.types import Document

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def build(**options: Any) -> HuggingFace:
    isolated: Any = default_registry().build("datasets", "huggingface", options)
    assert isinstance(isolated.component, HuggingFace)
    return isolated.component


def table(n: int = 3) -> Any:
    return datasets.Dataset.from_dict(
        {"essay": [f"text {i}" for i in range(n)], "label": [i % 2 for i in range(n)]},
        features=datasets.Features(
            {"essay": datasets.Value("string"), "label": datasets.ClassLabel(names=["human", "ai"])}
        ),
    )


def test_local_parquet_files_with_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        table().to_parquet(str(tmp_path / f"{split}.parquet"))
    files = {"train": str(tmp_path / "train.parquet"), "validation": str(tmp_path / "test.parquet")}
    source = build(name="parquet", data_files=files, columns={"text": "essay"})
    documents = list(source.documents())
    assert documents[1] == Document(id="train-1", text="text 1", label="ai", split="train")
    assert Counter(d.split for d in documents) == {"train": 3, "calibration": 3}
    assert "not pinned" in source.description()


def test_a_saved_folder_and_a_slice(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": table(), "extra": table()}).save_to_disk(str(tmp_path / "saved"))
    folder = str(tmp_path / "saved")
    with pytest.raises(DataError, match="the data has unknown splits: extra"):
        list(build(name=folder, columns={"text": "essay"}).documents())
    chosen = list(build(name=folder, split="extra", columns={"text": "essay"}).documents())
    assert [(d.id, d.split, d.label) for d in chosen][:2] == [
        ("extra-0", None, "human"),
        ("extra-1", None, "ai"),
    ]


def test_an_unlabelled_row_of_a_class_label(tmp_path: Path) -> None:
    rows = table().map(lambda row: {"label": -1})
    rows.save_to_disk(str(tmp_path / "saved"))
    assert {d.label for d in build(name=str(tmp_path / "saved"), columns={"text": "essay"}).documents()} == {
        None
    }


def test_only_train_is_split_by_the_core(tmp_path: Path) -> None:
    table(20).to_json(str(tmp_path / "a.jsonl"))
    options = {
        "name": "json",
        "data_files": str(tmp_path / "a.jsonl"),
        "columns": {"text": "essay"},
        "label_values": {"0": "human", "1": "ai"},
    }
    data = Data(source=Component(name="huggingface", options=options))
    corpus = load_documents(data.source, data, default_registry())
    assert Counter(d.split for d in corpus.documents) == {"train": 13, "test": 4, "calibration": 3}


def test_a_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    table().save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError) as raised:
        list(build(name=str(tmp_path / "saved")).documents())
    assert "essay, label" in raised.value.hint


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as raised:
        list(build(name="nobody/nothing").documents())
    assert "data set nobody/nothing cannot be loaded" in raised.value.message
    assert "save_to_disk" in raised.value.hint
    assert "\n" not in raised.value.message


def test_the_commit_is_read_from_the_downloads() -> None:
    sha = "0123456789abcdef0123456789abcdef01234567"
    info = SimpleNamespace(
        download_checksums={f"hf://datasets/a/b@{sha}/data/train.parquet": {"num_bytes": 1}}
    )
    assert commit(info) == sha
    assert commit(SimpleNamespace(download_checksums=None)) is None
