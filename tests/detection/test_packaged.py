"""The calibration that comes with the package: what it was made of, and that it is used for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import paraphrase_rl as prl
from paraphrase_rl.detection.calibration import CalibrationSet, default_path
from paraphrase_rl.detection.packaged import holding
from paraphrase_rl.files import sha256_texts
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.recipe.defaults import packaged_calibration
from paraphrase_rl.recipe.schema import Recipe
from tests.packaged_calibration import LEAST_WORDS, ROOT, WORDS, embedded
from tests.tiny_model import save_tiny_model

STORY = (
    "The council of a small town in the north met on Monday to talk about the old bridge. It was closed in the spring, "
    "when the river had risen and two of its pillars were found to be weak. Since then the people of the town have "
    "had to drive for an hour to get to the other side, and many of them have said that they cannot wait for another "
    "winter. The mayor told the meeting that there was money for the work, but that it would not be enough for a new "
    "bridge, and that she would ask the state for help."
)


@pytest.fixture(scope="module")
def shipped() -> CalibrationSet:
    path = packaged_calibration()
    assert path is not None
    return CalibrationSet.read(path)


def test_it_was_made_of_the_starter_set_as_it_is(shipped: CalibrationSet) -> None:
    documents = prl.load_data("starter", excerpt_words=WORDS).select(split="calibration")
    for record in (*shipped.calibrations, shipped.combined):
        assert record is not None
        assert record.texts.digest == sha256_texts(f"{d.label}\t{d.text}" for d in documents)
        assert record.texts.excerpt_words == WORDS
        assert record.texts.limits is not None
        assert (record.texts.limits.least_words, record.texts.limits.most_words) == (LEAST_WORDS, WORDS)
        assert (record.n_human, record.failed_human) == (sum(d.label == "human" for d in documents), 0)
        assert [point.target_fpr for point in record.points] == [0.05, 0.01]
        assert record.target.achieved_fpr <= 0.05
        assert [there.n_human for there in record.elsewhere] == [40, 40, 40]
    assert shipped.seen is not None
    assert all(shipped.seen.holds([d.text for d in documents]))
    assert not any(shipped.seen.holds([d.text for d in prl.load_data("starter").select(split="test")]))


def test_it_covers_what_is_installed(shipped: CalibrationSet) -> None:
    """`make calibration` is due where this fails: another model, a new detector, or other default detectors."""
    detectors = embedded(default_registry())
    assert [c.detector for c in shipped.calibrations] == [built.name for built in detectors]
    for calibration, built in zip(shipped.calibrations, detectors, strict=True):
        assert calibration.provenance == dict(built.detector.provenance())
        assert calibration.fitted is None
    assert set(shipped.default or ()) == {detector.name for detector in Recipe().detectors}
    assert shipped.records[-1].detector == "ensemble"
    path = packaged_calibration()
    assert path is not None
    assert path.stat().st_size < 350_000


def test_the_docs_show_its_counts(shipped: CalibrationSet) -> None:
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    used = [*(shipped.of(name) for name in ("log-likelihood", "fast-detectgpt")), shipped.combined]
    for record in used:
        assert record is not None
        assert record.target.above == 11
        flagged = " | ".join(f"{e.flagged} of {e.n_human - e.withheld}" for e in record.elsewhere)
        assert f"| `{record.detector}` | {record.flagged_ai} of {record.n_ai} | {flagged} |" in page


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packaged calibration of a tiny model, in its place; and an empty cache. Returns the model."""
    model = save_tiny_model(tmp_path / "model")
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    documents = [
        prl.Document(
            id=f"{label}{i}", text=f"{STORY} {label} says {i} {'x' * i}", label=label, split="calibration"
        )
        for label in ("human", "ai")
        for i in range(12)
    ]
    made = prl.calibrate(
        {name: {"model": str(model)} for name in ("log-likelihood", "lrr")},
        data=documents[:12],
        out=tmp_path / "packaged.json",
    ).records
    limits = {"least_words": 60, "most_words": 200, "scripts": ["Latin"], "language": "en"}
    raw = json.loads(made.model_dump_json(by_alias=True)) | {"default": ["lrr"], "seen": None}
    for calibration in raw["calibrations"]:
        calibration["texts"]["limits"] = limits
        calibration["profile"] = None
        calibration["elsewhere"] = [
            {"texts": "letters", "digest": "d", "n_human": 11, "withheld": 2, "flagged": 2}
        ]
    (tmp_path / "packaged.json").write_text(json.dumps(raw))
    for module in ("api.saved_calibration", "api.detector_choice"):
        monkeypatch.setattr(
            f"paraphrase_rl.{module}.packaged_calibration", lambda: tmp_path / "packaged.json"
        )
    return model


def verdicts(found: prl.ScoreResult) -> list[tuple[str | None, bool]]:
    return [(row.detector, row.verdict is not None) for row in found.rows]


def test_a_first_use_has_a_verdict_and_says_what_it_rests_on(packaged: Path) -> None:
    found = prl.score([STORY, "Too short to say."])
    assert verdicts(found) == [("lrr", True), ("lrr", False)]
    assert found.rows[1].no_verdict == "length: 4 words, and the calibration holds for 60 to 200"
    assert found.explanation[0].startswith("calibration: that of the package, fitted on documents (")
    assert "2 of 9 letters (2 more are outside)" in found.explanation[2]
    assert any("`prl calibrate --data FILE`" in note for note in found.notes)
    assert prl.load_calibration().rows[0].detector == "log-likelihood"


def test_it_is_used_only_for_the_options_and_model_it_was_made_with(packaged: Path, tmp_path: Path) -> None:
    named = {"log-likelihood": {"model": str(packaged)}, "entropy": {"model": str(packaged)}}
    found = prl.score(STORY, detectors=named)
    assert verdicts(found) == [("log-likelihood", True), ("entropy", False)]
    other = save_tiny_model(tmp_path / "other", seed=1)
    for options in ({"model": str(other)}, {"model": str(packaged), "max_tokens": 64}):
        found = prl.score(STORY, detectors={"lrr": options})
        assert verdicts(found) == [("lrr", False)]
        assert found.rows[0].score is not None
        assert any("made with other options, so it does not hold" in note for note in found.notes)
        assert found.calibration is None
    save_tiny_model(packaged, seed=2)
    changed = prl.score(STORY)
    assert verdicts(changed) == [("lrr", False)]
    assert any(f"another revision of {packaged}" in note for note in changed.notes)


def test_raw_scores_and_calibrations_of_ones_own_come_first(packaged: Path, tmp_path: Path) -> None:
    raw = prl.score(STORY, calibration="none", detectors={"lrr": {"model": str(packaged)}})
    assert verdicts(raw) == [("lrr", False)]
    assert raw.explanation == ()
    texts = [
        prl.Document(id=str(i), text=f"Word {i} is here.", label="human", split="calibration")
        for i in range(20)
    ]
    prl.calibrate({"entropy": {"model": str(packaged)}}, data=texts, out=default_path())
    assert verdicts(prl.score(STORY)) == [("entropy", False)], "a story is unlike a sentence of four words"
    assert verdicts(prl.score(STORY, force=True)) == [("entropy", True)]
    assert verdicts(prl.score(STORY, detectors={"lrr": {"model": str(packaged)}})) == [("lrr", False)]


def test_only_detectors_that_are_used_are_looked_at(shipped: CalibrationSet) -> None:
    held, notes = holding(shipped, {"no-such-detector": {}}, default_registry())
    assert (held, notes) == (None, [])
