"""The starter data set."""

from __future__ import annotations

import hashlib
import importlib.util
import json
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


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    data = Data()
    return load_documents(data.source, data, default_registry())


def test_counts(corpus: Corpus) -> None:
    assert Counter((d.split, d.label) for d in corpus.documents) == {
        ("calibration", "human"): 179,
        ("calibration", "ai"): 50,
        ("train", "human"): 50,
        ("train", "ai"): 50,
        ("test", "human"): 114,
        ("test", "ai"): 50,
    }


def test_nothing_leaks(corpus: Corpus) -> None:
    assert corpus.audit.warnings == ()
    assert corpus.audit.exact_duplicates == ()
    assert len(corpus.audit.near_duplicates) == 4


def test_every_ai_story_has_its_human_counterpart_of_one_domain_and_length(corpus: Corpus) -> None:
    human = {d.pair: d for d in corpus.documents if d.label == "human" and d.id.startswith("lee-background-")}
    ai = corpus.select(label="ai")
    assert len(ai) >= 120
    for d in ai:
        assert (human[d.pair].domain, human[d.pair].split) == (d.domain, d.split)
        assert len(d.text.split()) == pytest.approx(len(human[d.pair].text.split()), rel=0.4)


def test_ids_name_the_line(corpus: Corpus) -> None:
    found = importlib.util.find_spec("gensim")
    assert found is not None
    assert found.origin is not None
    lines = (
        (Path(found.origin).parent / "test/test_data/lee_background.cor").read_text("latin-1").splitlines()
    )
    by_id = {d.id: d for d in corpus.documents}
    for number in (0, 17, 299):
        assert by_id[f"lee-background-{number}"].text == " ".join(lines[number].split())
    assert "lee-background-112" not in by_id  # the same text as line 104


def test_ai_stories_are_plain_and_distinct() -> None:
    path = Path(starter.__file__).with_name("starter_ai.jsonl")
    rows = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert len(rows) == len({row["pair"] for row in rows}) == len({row["text"] for row in rows}) == 150
    assert all(row["text"].isprintable() for row in rows)


def test_gensim_is_read_and_never_imported() -> None:
    code = (
        "import sys; from paraphrase_rl_plugins.datasets.starter import Starter;"
        "Starter(None, None).documents(); print('gensim' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_without_gensim_the_error_brings_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as raised:
        starter.Starter(starter.NoOptions(), starter.Context()).documents()
    assert raised.value.hint == "pip install --no-deps gensim"


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(starter._HUMAN_FILES, "lee.cor", hashlib.sha256(b"").hexdigest())
    with pytest.raises(DataError, match=r"lee\.cor is not the file"):
        starter.Starter(starter.NoOptions(), starter.Context()).documents()


def test_the_description_says_origin_and_licences(corpus: Corpus) -> None:
    for fact in ("ABC news", "LGPL-2.1", "language model (Claude)", "MIT", "50 each"):
        assert fact in corpus.description


def test_its_texts_are_canonical_already() -> None:
    """So that making every text canonical has not moved a figure of the demo."""
    documents = starter.Starter(NoOptions(), Context()).documents()
    assert [d.id for d in documents if canonical(d.text) != d.text] == []
