"""The table of scores: each text scored once by each detector, failures told and tried again by the next table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paraphrase_rl.detection.fitting import BuiltDetector
from paraphrase_rl.errors import ModelError
from paraphrase_rl.evaluation.cache import Cache
from paraphrase_rl.evaluation.score_table import CHUNK, ScoreTable
from paraphrase_rl.types import Failure, Scores, Truncation


class Length:
    """Scores by length times a factor; ``bad`` texts fail; remembers what it was asked."""

    def __init__(self, factor: float = 1.0, revision: str = "r1") -> None:
        self.factor, self.revision, self.asked = factor, revision, []

    def score(self, texts: Sequence[str]) -> Scores:
        self.asked.append(list(texts))
        if any(text == "stop" for text in texts):
            raise ModelError("no model", "bring it")
        bad = [i for i, text in enumerate(texts) if text == "bad"]
        values = np.array([self.factor * len(text) for text in texts])
        values[bad] = np.nan
        return Scores(values, tuple(Failure(index=i, owner="inner", kind="bad", message="no") for i in bad))

    def provenance(self) -> dict[str, str]:
        return {"length": self.revision}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "values.sqlite")


def table(cache: Cache, lines: list[str] | None = None, **detectors: Length) -> ScoreTable:
    built = [BuiltDetector(name=name, detector=detector) for name, detector in detectors.items()]
    return ScoreTable(built, cache, lambda line, *_: lines.append(line) if lines is not None else None)


def test_scores_by_detector_in_the_order_of_the_texts(cache: Cache) -> None:
    found = table(cache, one=Length(), two=Length(2.0)).score(["aaa", "b", "bad", "aaa"], "texts")
    np.testing.assert_array_equal(found["one"].values, [3.0, 1.0, np.nan, 3.0])
    np.testing.assert_array_equal(found["two"].values, [6.0, 2.0, np.nan, 6.0])
    assert [(f.index, f.owner, f.kind) for f in found["two"].failures] == [(2, "two", "bad")]


def test_a_text_is_scored_once_by_any_table_on_the_cache(cache: Cache) -> None:
    first, second = Length(), Length()
    lines: list[str] = []
    table(cache, one=first).score(["aaa", "b", "aaa"], "texts")
    table(cache, lines, one=second).score(["b", "cc"], "more")
    assert (first.asked, second.asked) == ([["aaa", "b"]], [["cc"]])
    assert lines == ["more: 2 texts x 1 detectors, 1 of 2 scores cached"]


@pytest.mark.parametrize(
    ("name", "detector", "options"),
    [("two", Length(), {}), ("one", Length(revision="r2"), {}), ("one", Length(), {"window": 3})],
    ids=["name", "model", "options"],
)
def test_another_detector_shares_no_score(cache: Cache, name: str, detector: Length, options: dict) -> None:
    table(cache, one=Length()).score(["aaa"], "texts")
    built = BuiltDetector(name=name, detector=detector, options=options)
    ScoreTable([built], cache, lambda *_: None).score(["aaa"], "texts")
    assert detector.asked == [["aaa"]]


def test_a_failure_is_remembered_by_its_table_alone(cache: Cache) -> None:
    detector = Length()
    same = table(cache, one=detector)
    for _ in range(2):
        assert same.score(["bad", "b"], "texts")["one"].failures[0].message == "no"
    assert detector.asked == [["bad", "b"]]
    table(cache, one=detector).score(["bad", "b"], "texts")
    assert detector.asked[-1] == ["bad"]


def test_a_call_that_fails_as_a_whole_fails_its_texts(cache: Cache) -> None:
    texts = [f"t{i}" for i in range(CHUNK)] + ["stop", "last"]
    found = table(cache, one=Length()).score(texts, "texts")["one"]
    assert [(f.index, f.message) for f in found.failures] == [
        (CHUNK, "no model; bring it"),
        (CHUNK + 1, "no model; bring it"),
    ]
    assert found.scored[:CHUNK].all()


def test_all_detectors_score_a_chunk_before_the_next(cache: Cache) -> None:
    one, two = Length(), Length()
    order: list[tuple[str, int]] = []
    for name, detector in (("one", one), ("two", two)):
        score = detector.score
        detector.score = lambda texts, name=name, score=score: (
            order.append((name, len(texts))) or score(texts)
        )
    table(cache, one=one, two=two).score([f"{i}" for i in range(CHUNK + 3)], "texts")
    assert order == [("one", CHUNK), ("two", CHUNK), ("one", 3), ("two", 3)]


def test_what_was_cut_off_is_saved_with_the_score_and_counted(cache: Cache) -> None:
    class Short(Length):
        def score(self, texts: Sequence[str]) -> Scores:
            cut = (Truncation(index=i, read=3, total=len(t), unit="letters") for i, t in enumerate(texts))
            found = super().score(texts)
            return Scores(found.values, found.failures, tuple(c for c in cut if (c.total or 0) > 3))

    first, second = table(cache, one=Short()), table(cache, one=Short())
    expected = first.score(["aaaa", "bad", "b", "aaaa"], "texts")["one"]
    assert [(c.index, str(c)) for c in expected.truncated] == [(0, "3 of 4 letters"), (3, "3 of 4 letters")]
    assert second.score(["b", "aaaa"], "texts")["one"].truncated == (replace(expected.truncated[0], index=1),)
    said = "1 of 2 texts are longer than one reads: its scores are those of their beginnings"
    assert first.truncation_notes == second.truncation_notes == [said]
    assert table(cache, one=Length(2.0)).truncation_notes == []


def test_no_texts_have_no_scores(cache: Cache) -> None:
    assert table(cache, one=Length()).score([], "texts")["one"].values.shape == (0,)
