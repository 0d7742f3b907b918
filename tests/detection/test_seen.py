"""What a fitted thing has seen: duplicates and near duplicates are found, and none of them tests it."""

from __future__ import annotations

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paraphrase_rl as prl
from paraphrase_rl.data.audit import audit
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.ensemble import load_ensemble
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.trainable import train_detector
from paraphrase_rl.detection.training_record import training_of
from paraphrase_rl.errors import CalibrationError, DataError
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, Options
from paraphrase_rl.text.duplicates import shingles
from paraphrase_rl.types import Document, Scores

STORY = "The river rose above its banks on Monday night and three bridges had to be closed to all traffic"


def prose(i: int, label: str = "human") -> str:
    """A text of its own of 20 words, that says its number first."""
    return f"{i} " + " ".join(f"{label}{i}x{k}" for k in range(19))


class FolderOptions(Options):
    folder: str | None = None


class Number:
    """Scores a text by the number that it begins with."""

    def __init__(self, options: FolderOptions, context: Context) -> None:
        pass

    def score(self, texts: list[str]) -> Scores:
        return Scores(np.array([float(text.split()[0]) for text in texts]))

    def provenance(self) -> dict[str, str]:
        return {}


class Minus(Number):
    def score(self, texts: list[str]) -> Scores:
        return Scores(-super().score(texts).values)


def fit(options: FolderOptions, documents: list[Document], folder: Path) -> None:
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    (folder / "weights" / "model.json").write_text(json.dumps(len(documents)))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    @hookimpl
    def register_detectors() -> list[DetectorSpec]:
        common = {"summary": "toy", "family": "toy", "options": FolderOptions}
        return [
            DetectorSpec(name="number", factory=Number, fit=fit, **common),
            DetectorSpec(name="untrained", factory=Number, **common),
            DetectorSpec(name="minus", factory=Minus, **common),
        ]

    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    toys = type("Toys", (), {"register_detectors": staticmethod(register_detectors)})
    return Registry(Plugins.of(toys=toys))


def documents(split: str, human: range, ai: range = range(0)) -> list[Document]:
    return [
        Document(id=f"{label}{i}", text=prose(i, label), label=label, split=split)  # type: ignore[arg-type]
        for label, some in (("human", human), ("ai", ai))
        for i in some
    ]


def trained(registry: Registry, texts: list[Document], folder: Path) -> dict[str, str]:
    options = {"folder": str(folder)}
    train_detector(registry, "number", registry.options("detectors", "number", options), texts, folder)
    return options


def calibrated(registry: Registry, options: dict[str, str], texts: list[Document], *others: str):
    built = [build_detector(registry, Context(), "number", options)]
    built += [build_detector(registry, Context(), name, {}) for name in others]
    return calibrate(built, texts, [0.1], source="toy", needs_probability=False)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (STORY, True),
        (STORY.replace(" ", "\n  "), True),
        (STORY.upper() + "!", True),
        (" ".join(STORY.split()[3:15]), True),
        (f"{prose(1)} {STORY} {prose(2)}", True),
        (STORY.replace("The river", "A stream"), True),
        (STORY.replace("Monday", "Friday").replace("three", "two"), False),
        (" ".join(STORY.split()[:7]), False),
        ("on on on on on on on on on on on on", False),
        ("", False),
    ],
)
def test_duplicates_excerpts_and_light_edits_of_a_text_are_seen(text: str, seen: bool) -> None:
    assert SeenTexts.of([prose(9), STORY, prose(8)]).holds(["x", text]) == [False, seen]


words = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=24).map(" ".join)


@given(st.lists(words, min_size=1, max_size=4), words)
def test_near_is_what_the_audit_calls_near(texts: list[str], other: str) -> None:
    rows = [Document(id=str(i), text=text, split="train") for i, text in enumerate([*texts, other])]
    found, last = audit(rows), str(len(texts))
    told = any(last in pair for pair in (*found.exact_duplicates, *found.near_duplicates))
    assert SeenTexts.of(texts).holds([other]) == [told]


def test_a_phrase_that_stands_in_many_texts_does_not_make_a_text_seen() -> None:
    phrase = "please answer the question below in your own words"
    seen = SeenTexts.of([f"{phrase} {prose(i)}" for i in range(60)])
    assert seen.holds([f"{phrase}: why", f"{phrase} {prose(3)}"]) == [False, True]


def test_the_hashes_are_the_same_in_every_process() -> None:
    eight = "one two three four five six seven eight"
    assert shingles(f"One, two -- {eight[8:]}") == {crc32(eight.encode())}


def test_a_record_gives_back_itself_and_refuses_damage() -> None:
    record = SeenTexts.of([STORY, prose(1), STORY + " "])
    assert len(record) == 2
    assert SeenTexts.model_validate_json(record.model_dump_json()) == record
    assert STORY.split()[3] not in record.model_dump_json()
    for change in ({"grams": ["AAA", ""]}, {"grams": ["AAAA", ""]}, {"digests": ["x"]}, {"grams": ["é", ""]}):
        with pytest.raises(ValueError, match="validation error"):
            SeenTexts.model_validate(record.model_dump() | change)


def test_training_is_recorded_and_a_training_without_a_record_makes_it_void(
    registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "trained"
    assert training_of(registry, "number", {"folder": str(folder)}) is None
    assert training_of(registry, "untrained", {"folder": str(folder)}) is None
    options = trained(registry, documents("train", range(5)), folder)
    known = training_of(registry, "number", options)
    assert known is not None
    assert known.texts is not None
    assert known.texts.holds([prose(4), prose(5)]) == [True, False]
    assert known.notes == []
    fit(FolderOptions(), documents("train", range(9)), folder)
    void = training_of(registry, "number", options)
    assert void is not None
    assert void.texts is None
    assert "number: there is no record of the texts it was trained on" in void.notes[0]
    ensemble = calibrated(registry, options, documents("calibration", range(20)))
    assert any("there is no record" in note for note in ensemble.warnings())


def test_a_file_of_somebody_else_is_not_replaced(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text('{"movies": []}')
    with pytest.raises(DataError, match=r"seen\.json exists already"):
        trained(registry, documents("train", range(5)), tmp_path)
    assert (tmp_path / "seen.json").read_text() == '{"movies": []}'
    assert not (tmp_path / "weights").exists()


def test_calibration_leaves_out_what_a_detector_was_trained_on(registry: Registry, tmp_path: Path) -> None:
    options = trained(registry, documents("train", range(5), range(30, 33)), tmp_path / "trained")
    ensemble = calibrated(registry, options, documents("calibration", range(25), range(20, 40)), "untrained")
    number, untrained = ensemble.members
    assert (number.calibration.n_human, number.calibration.n_ai) == (20, 17)
    assert (untrained.calibration.n_human, untrained.calibration.texts.left_out) == (20, 8)
    assert number.calibration == untrained.calibration.model_copy(
        update={"detector": "number", "options": options}
    )
    assert any(
        note.startswith("8 calibration texts are left out: a detector") for note in ensemble.warnings()
    )
    ensemble.to_file(tmp_path / "c.json")
    loaded = load_ensemble(tmp_path / "c.json", registry, Context())
    assert loaded.seen is not None
    assert loaded.seen.holds([prose(4), prose(5), prose(39, "ai"), prose(99)]) == [False, True, True, False]
    assert loaded.members[0].training == number.training
    assert CalibrationSet.read(tmp_path / "c.json") == ensemble.calibrations


@pytest.mark.parametrize(
    ("human", "ai", "message"),
    [
        (range(16), range(0), r"number was trained on 16 of 25 human .*the other 9 are too few .* of 0\.1"),
        (range(2), range(20, 40), "number was trained on 20 of 20 AI"),
    ],
)
def test_too_few_unseen_texts_are_refused(
    registry: Registry, tmp_path: Path, human: range, ai: range, message: str
) -> None:
    options = trained(registry, documents("train", human, ai), tmp_path / "trained")
    with pytest.raises(CalibrationError, match=message) as caught:
        calibrated(registry, options, documents("calibration", range(25), range(20, 40)))
    assert "prl fit" in caught.value.hint


def test_a_detector_trained_on_swapped_labels_does_not_vouch_for_them(
    registry: Registry, tmp_path: Path
) -> None:
    """Its AUROC is 1 on labels that it learned; a detector that was not trained says otherwise."""
    options = trained(registry, documents("train", range(5)), tmp_path / "trained")
    texts = documents("calibration", range(100, 120), range(200, 220))
    assert calibrated(registry, options, texts).members[0].calibration.probability.auroc == 1.0
    with pytest.raises(DataError, match=r"the labels look swapped: .*\(AUROC 0\.000 of minus\)"):
        calibrated(registry, options, texts, "minus")


def test_other_fractions_than_the_training_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A16: tfidf fitted at one split of the data, then calibrated at another: most humans had been trained on."""
    monkeypatch.setenv("PRL_HOME", str(tmp_path))
    data = [
        Document(id=d.id, text=d.text, label=d.label, pair=d.pair)
        for d in prl.load_data("starter", excerpt_words=60)
    ]
    assert prl.fit("tfidf", data=prl.load_data(data)).rows[0].n_human > 150
    other = prl.load_data(data, test_fraction=0.1, calibration_fraction=0.25, split_seed=7)
    with pytest.raises(CalibrationError, match=r"tfidf was trained on \d+ of \d+ human calibration texts"):
        prl.calibrate("tfidf", data=other, target_fpr=0.01)
    same = prl.calibrate("tfidf", data=prl.load_data(data))
    assert same.texts.left_out == 0
    assert same.rows[0].n_human > 60
    found = prl.calibrate("tfidf", data=other)
    assert found.texts.left_out > 50
    assert found.rows[0].n_human + found.rows[0].n_ai + found.texts.left_out == len(
        other.select(split="calibration")
    )
    assert f"{found.texts.left_out} calibration texts are left out" in repr(found)
