"""Data sets larger than memory: texts lie on disk; what reads, splits, audits, calibrates and fits streams them."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paraphrase_rl as prl
from paraphrase_rl.data import shared_grams
from paraphrase_rl.data.shared_grams import SharedGrams
from paraphrase_rl.detection import scoring, seen
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.errors import DataError
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, Options
from paraphrase_rl.stored import StoredDocuments, at, content_of, contents, select
from paraphrase_rl.types import Document, Failure, Scores, Truncation

ROWS, WORDS = 800, 100
"""6 MB of texts, of words of 80 letters: few words cost little, and what is held would be seen all the same."""
LONG = "y" * 74
FIELD = st.none() | st.text(max_size=6)
DOCUMENTS = st.lists(
    st.builds(
        Document,
        id=st.text(max_size=8),
        text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
        label=st.sampled_from([None, "human", "ai"]),
        group=FIELD.filter(lambda group: "\0" not in (group or "")),
        domain=FIELD,
        pair=FIELD,
        split=st.sampled_from([None, "train", "test", "calibration"]),
    ),
    max_size=12,
)


@settings(max_examples=50)
@given(DOCUMENTS, st.slices(12))
def test_stored_documents_are_the_sequence_they_were_made_of(documents: list[Document], part: slice) -> None:
    stored = StoredDocuments.of(iter(documents))
    assert list(stored) == documents
    assert stored == documents
    assert [stored[i] for i in range(len(documents))] == documents
    assert list(stored[part]) == documents[part]
    for split in (None, "train", "test"):
        for label in (None, "human", "ai"):
            assert list(select(stored, split, label)) == select(documents, split, label)  # type: ignore[arg-type]
            assert list(select(stored[part], split, label)) == select(documents[part], split, label)  # type: ignore[arg-type]
    rows = np.arange(len(documents))[::2]
    assert list(at(stored, rows)) == at(documents, rows)
    assert list(contents(stored)) == list(contents(documents)) == sorted(map(content_of, documents))
    firsts = [d.id for d in documents].index
    assert [(line, id, first) for line, id, first in stored.repeated_ids()] == [
        (i, d.id, firsts(d.id)) for i, d in enumerate(documents) if firsts(d.id) < i
    ]


def test_a_part_keeps_the_texts_and_splits_are_assigned() -> None:
    part = StoredDocuments.of(Document(id=str(i), text=f"text {i}") for i in range(300))[::7]
    assert [d.text for d in part] == [f"text {i}" for i in range(0, 300, 7)]
    part.assign(["test"] * len(part))
    assert {d.split for d in part} == {"test"}
    assert len(part.where("test")) == len(part)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredDocuments()
    stored._file.execute("PRAGMA max_page_count=20")
    with pytest.raises(
        DataError, match=r"cannot be held in a temporary file: database or disk is full"
    ) as caught:
        stored.extend((i, Document(id=str(i), text="word " * 1000)) for i in range(500))
    assert "SQLITE_TMPDIR" in caught.value.hint


class FolderOptions(Options):
    folder: str | None = None


class Ones:
    """Scores a text by its words beginning with 1; remembers how many texts it got at once."""

    calls: ClassVar[list[int]] = []

    def __init__(self, options: FolderOptions, context: Context) -> None:
        pass

    def score(self, texts: Sequence[str]) -> Scores:
        type(self).calls.append(len(texts))
        return Scores(np.array([float(sum(w[0] == "1" for w in text.split())) for text in texts]))

    def provenance(self) -> dict[str, str]:
        return {}


def _fit(options: FolderOptions, documents: Sequence[Document], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "n.txt").write_text(str(sum(len(d.text) > 0 for d in documents)))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    @hookimpl
    def register_detectors() -> list[DetectorSpec]:
        return [
            DetectorSpec(
                name="ones", summary="toy", family="toy", options=FolderOptions, factory=Ones, fit=_fit
            )
        ]

    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    toys = type("Toys", (), {"register_detectors": staticmethod(register_detectors)})
    return Registry(Plugins.of(toys=toys))


def _rows(n: int, words: int) -> Iterator[tuple[str, str, str]]:
    for i in range(n):
        ai = i % 2
        yield (
            str(i),
            " ".join(f"{ai if k % 3 else 1 - ai}{i}x{k}{LONG}" for k in range(words)),
            ("human", "ai")[ai],
        )


def table(path: Path, n: int, words: int) -> Path:
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "text", "label"])
        rows.writerows(_rows(n, words))
    return path


Work = Callable[[Path, Registry, Path], Any]


def _data(path: Path, registry: Registry, out: Path) -> Any:
    corpus = prl.load_data(path, excerpt_words=WORDS)
    return corpus.digest, corpus.audit.warnings


def _calibrate(path: Path, registry: Registry, out: Path) -> Any:
    return prl.calibrate("ones", data=path, registry=registry)


def _trained(path: Path, registry: Registry, out: Path) -> Any:
    return prl.fit("ones", data=path, out=out, registry=registry)


@pytest.mark.parametrize("work", [_data, _calibrate, _trained])
def test_the_texts_are_never_in_memory(
    work: Work, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "AT_ONCE", 50)
    monkeypatch.setattr(seen, "MOST_GRAMS", 20_000)
    monkeypatch.setattr(shared_grams, "_IN_MEMORY", 1 << 15)
    monkeypatch.setattr(shared_grams, "_AT_ONCE", 1 << 15)
    work(table(tmp_path / "first.csv", 60, 12), registry, tmp_path / "first")  # what is imported on first use
    path = table(tmp_path / "t.csv", ROWS, WORDS)
    tracemalloc.start()
    work(path, registry, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6 < path.stat().st_size, f"{peak / 1e6:.1f} MB at once"


def test_calibration_in_parts_is_the_one_in_a_whole(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "t.csv", 400, 12)
    Ones.calls.clear()
    whole = prl.calibrate("ones", data=path, registry=registry)
    assert Ones.calls == [40, 40, 40, 40, 40]  # calibration human and AI; again AI, and the test split
    monkeypatch.setattr(scoring, "AT_ONCE", 13)
    Ones.calls.clear()
    parts = prl.calibrate("ones", data=path, registry=registry)
    assert Ones.calls == [10] * 20, "the last part is no smaller than the others"
    assert parts.records == whole.records
    assert parts.rows == whole.rows


def test_scores_of_parts_are_joined_with_their_failures_and_truncations() -> None:
    class Odd(Ones):
        def score(self, texts: Sequence[str]) -> Scores:
            values = np.array([np.nan if "bad" in text else float(len(text)) for text in texts])
            bad = [i for i, text in enumerate(texts) if "bad" in text]
            long = [i for i, text in enumerate(texts) if len(text) > 3]
            return Scores(
                values,
                tuple(Failure(index=i, owner="odd", kind="bad", message="no") for i in bad),
                tuple(Truncation(index=i, read=3, total=9, unit="letters") for i in long),
            )

    documents = [Document(id=str(i), text=t) for i, t in enumerate(["a", "bad", "cccc", "d", "eeeee", "bad"])]
    detector = Odd(FolderOptions(), Context())
    expected = detector.score([d.text for d in documents])
    before, scoring.AT_ONCE = scoring.AT_ONCE, 2
    try:
        found = scoring.score_documents({"odd": detector}, StoredDocuments.of(documents))["odd"]
    finally:
        scoring.AT_ONCE = before
    np.testing.assert_array_equal(found.values, expected.values)
    assert (found.failures, found.truncated) == (expected.failures, expected.truncated)


@given(
    st.lists(
        st.frozensets(st.integers(0, 2**32 - 1).map(lambda n: n % 7 * 613_566_756), max_size=4), max_size=9
    )
)
def test_pairs_of_texts_that_share_a_gram(texts: list[frozenset[int]]) -> None:
    grams = SharedGrams()
    for number, text in enumerate(texts):
        grams.add(number, text)
    assert list(grams.pairs()) == [
        (a, b) for a in range(len(texts)) for b in range(a + 1, len(texts)) if texts[a] & texts[b]
    ]


def test_a_gram_of_too_many_texts_proposes_no_pair() -> None:
    grams = SharedGrams()
    for number in range(51):
        grams.add(number, [7])
    grams.add(51, [8])
    grams.add(99, [8])
    assert list(grams.pairs()) == [(51, 99)]


def test_a_record_of_many_texts_is_a_sample_and_still_finds_what_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [" ".join(f"w{i}x{k}" for k in range(80)) for i in range(200)]
    monkeypatch.setattr(seen, "MOST_GRAMS", 4000)
    record = SeenTexts.of(iter(texts))
    assert record.every == 4, "14,600 8-grams, of which 4,000 may be recorded"
    assert sum(len(grams) for grams in record.grams) * 3 / 16 < 4400
    edited = [" ".join(text.split()[:79]) + " end" for text in texts]
    others = [" ".join(f"o{i}x{k}" for k in range(80)) for i in range(200)]
    assert record.holds(texts) == record.holds(edited) == [True] * 200
    assert record.holds(others) == [False] * 200
    assert SeenTexts.model_validate_json(record.model_dump_json()) == record
    assert SeenTexts.of(texts[:3]).every == 1


def test_labels_that_look_swapped_to_the_earlier_detector_overwrite_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    documents = [
        Document(id=id, text=text, label=label, split="train")  # type: ignore[arg-type]
        for id, text, label in _rows(40, 12)
    ]
    folder = tmp_path / "trained"
    prl.fit("ones", data=documents, out=folder, registry=registry)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    swapped = [replace(d, label="ai" if d.label == "human" else "human") for d in documents]
    with pytest.raises(DataError, match=r"the labels look swapped: .* \(AUROC 0\.000\)") as caught:
        prl.fit("ones", data=swapped, out=folder, registry=registry)
    assert "label_values" in caught.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    prl.fit("ones", data=swapped, out=tmp_path / "other", registry=registry)
    prl.fit("ones", data=documents, out=folder, registry=registry)
