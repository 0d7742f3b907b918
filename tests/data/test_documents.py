"""From a plug-in to a corpus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.errors import DataError, PluginError
from paraphrase_rl.recipe.schema import Component, Data
from paraphrase_rl.types import Document


class Source:
    def __init__(self, documents: Iterable[object]) -> None:
        self._documents = documents

    def documents(self) -> Any:
        return self._documents

    def description(self) -> str:
        return "made up"


class OneSource:
    """A registry with one data set."""

    def __init__(self, documents: Iterable[object]) -> None:
        self._documents = documents

    def build(self, kind: str, name: str, options: object, context: object) -> Source:
        assert (kind, name) == ("datasets", "mine")
        return Source(self._documents)


def load(documents: Iterable[object], **settings: Any) -> Corpus:
    data = Data(source=Component(name="mine"), **settings)
    return load_documents(data.source, data, OneSource(documents))  # type: ignore[arg-type]


def many(n: int = 20) -> list[Document]:
    return [
        Document(
            id=f"{x}{i}", text=f"{x} number {i}. And more.", label="ai" if x == "a" else "human", pair=str(i)
        )
        for i in range(n)
        for x in "ah"
    ]


def test_a_corpus_is_split_and_selected() -> None:
    corpus = load(many(), test_fraction=0.1, calibration_fraction=0.4)
    assert [len(corpus.select(split=s)) for s in ("calibration", "train", "test")] == [16, 20, 4]
    assert {d.label for d in corpus.select(split="train", label="ai")} == {"ai"}
    assert len(corpus.select(label="human")) == 20
    assert corpus.select() == list(corpus.documents)
    assert (corpus.source, corpus.description) == ("mine", "made up")


def test_excerpts_are_cut_after_the_split() -> None:
    long = [
        Document(id=str(i), text=f"Same opening sentence for all of the texts here. And number {i}")
        for i in range(20)
    ]
    corpus = load(long, excerpt_words=10)
    assert {d.text for d in corpus.documents} == {"Same opening sentence for all of the texts here."}
    assert {d.split for d in corpus.documents} == {"calibration", "train", "test"}
    assert any("are in more than one split" in warning for warning in corpus.audit.warnings)


def test_the_digest_depends_on_content_not_on_order() -> None:
    documents = many()
    digest = load(documents).digest
    assert load(documents[::-1]).digest == digest
    assert load(documents, split_seed=1).digest != digest
    changed = [*documents[1:], Document(id="new", text="other", label="ai")]
    assert load(changed).digest != digest


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Document(id="x", text=" \n"), "row 2 (id x): the text is empty"),
        (Document(id="x", text=3), "row 2 (id x): the text is 3, not a string"),  # type: ignore[arg-type]
        (Document(id="x", text="ok", label="robot"), "unknown label 'robot'"),  # type: ignore[arg-type]
        (Document(id="x", text="ok", split="dev"), "unknown split 'dev'"),  # type: ignore[arg-type]
        (Document(id="a0", text="ok"), "the id is already used in row 1"),
        (Document(id="x", text="half \ud83d"), "half a surrogate pair"),
        (Document(id="x", text="a\0b"), "NUL characters"),
        ({"text": "ok"}, "expected a Document, got dict"),
    ],
)
def test_bad_rows_are_refused_by_name(row: object, said: str) -> None:
    with pytest.raises(DataError) as raised:
        load([many()[0], row])
    assert said in raised.value.message
    assert "data set mine, row 2" in raised.value.message
    assert raised.value.hint


def test_no_documents_is_an_error() -> None:
    with pytest.raises(DataError, match="has no documents"):
        load([])


@pytest.mark.parametrize("text", ["🙂", "مرحبا بالعالم", "<|im_end|>", "word" + " word" * 200_000])
def test_odd_texts_are_texts(text: str) -> None:
    assert load([Document(id="x", text=text)]).documents[0].text == text


def test_an_unknown_source_is_named() -> None:
    from paraphrase_rl.plugin.registry import default_registry

    data = Data(source=Component(name="startr"))
    with pytest.raises(PluginError) as raised:
        load_documents(data.source, data, default_registry())
    assert "starter" in raised.value.hint
