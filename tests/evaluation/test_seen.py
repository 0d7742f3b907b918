"""An evaluation leaves out the texts that its detectors were trained on, and counts them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.trainable import train_detector
from paraphrase_rl.errors import CalibrationError, DataError
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.evaluation.results import Results
from paraphrase_rl.evaluation.start import evaluate_plan
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DetectorSpec, Options, RewriterSpec
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.schema import Attack, Component, Recipe, Weighted
from paraphrase_rl.types import Document, Rewrite, Scores


class FolderOptions(Options):
    folder: str | None = None
    sign: float = 1.0


class Number:
    """Scores a text by the number that it begins with."""

    def __init__(self, options: FolderOptions, context: Context) -> None:
        self.sign = options.sign

    def score(self, texts: list[str]) -> Scores:
        return Scores(self.sign * np.array([float(text.split()[0]) for text in texts]))

    def provenance(self) -> dict[str, str]:
        return {}


def fit(options: FolderOptions, documents: list[Document], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(len(documents)))


class Last:
    """Leaves only the first and the last word."""

    def rewrite(self, texts: list[str], n: int, seed: int) -> list[list[Rewrite]]:
        return [[Rewrite(text=f"{t.split()[0]} {t.split()[-1]}")] * n for t in texts]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    @hookimpl
    def register_detectors() -> list[DetectorSpec]:
        common = {"summary": "toy", "family": "toy", "options": FolderOptions, "factory": Number}
        return [DetectorSpec(name="taught", fit=fit, **common), DetectorSpec(name="plain", **common)]

    @hookimpl
    def register_rewriters() -> list[RewriterSpec]:
        return [RewriterSpec(name="last", summary="toy", factory=lambda options, context: Last())]

    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    toys = type(
        "Toys",
        (),
        {
            "register_detectors": staticmethod(register_detectors),
            "register_rewriters": staticmethod(register_rewriters),
        },
    )
    return Registry(Plugins.of(toys=toys))


def prose(i: int, name: str) -> str:
    return f"{i} " + " ".join(f"{name}{i}x{k}" for k in range(14))


def documents() -> list[Document]:
    """In each split 30 human texts that begin with 0 to 29, and 30 AI texts with 20 to 49."""
    return [
        Document(id=f"{split}-{label}-{i}", text=prose(first + i, split + label), label=label, split=split)
        for split in ("calibration", "train", "test")
        for label, first in (("human", 0), ("ai", 20))
        for i in range(30)
    ]


def train(registry: Registry, texts: list[Document]) -> None:
    folder = Path(registry.options("detectors", "taught").folder or "home/detectors/taught")
    train_detector(registry, "taught", FolderOptions(), texts, folder)


def run(registry: Registry, out: Path, detectors: str, held_out: str, **options: float) -> Results:
    recipe = Recipe(
        detectors=[Weighted(name=name, options=options) for name in detectors.split()],
        held_out=[Component(name=name) for name in held_out.split()],
        rewriters=[Attack(name="last")],
        metrics=[],
    )
    plan = Plan(
        recipe=recipe, corpus=Corpus(tuple(documents()), "toy", "toy"), out=out, texts=30, resamples=20
    )
    return evaluate_plan(plan, registry, reporter(None))


@pytest.fixture
def taught(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The detector was trained on the train split, 4 calibration humans, 3 test humans and 5 AI test texts."""
    monkeypatch.chdir(tmp_path)
    chosen = {f"calibration-human-{i}" for i in range(4)} | {f"test-human-{i}" for i in range(3)}
    chosen |= {f"test-ai-{i}" for i in range(5)}
    train(registry, [d for d in documents() if d.split == "train" or d.id in chosen])
    return registry


def test_texts_that_the_ensemble_was_trained_on_are_left_out_for_all(
    taught: Registry, tmp_path: Path
) -> None:
    found = run(taught, tmp_path / "out", "taught", "plain")
    about = found.about
    assert (about.calibration_texts, about.human_texts, about.ai_texts) == (26, 27, 25)
    assert any(
        note.startswith("taught was trained on 12 of 120 calibration and test") for note in about.notes
    )
    assert {cell.texts for cell in found.cells} == {25}
    assert sum(cell.failed for cell in found.cells) == 0
    there = {row["id"] for row in read_jsonl(tmp_path / "out" / "documents.jsonl")}
    assert not there & {"test-human-2", "test-ai-4"}
    assert {"test-human-3", "test-ai-5"} <= there
    seen = CalibrationSet.read(tmp_path / "out" / "calibration.json").seen
    assert seen is not None
    assert seen.holds([prose(3, "calibrationhuman"), prose(4, "calibrationhuman")]) == [False, True]


def test_another_detector_has_no_score_of_what_it_was_trained_on(taught: Registry, tmp_path: Path) -> None:
    """Also not of the rewrites, which do not resemble the text."""
    found = run(taught, tmp_path / "out", "plain", "taught")
    assert (found.about.calibration_texts, found.about.human_texts, found.about.ai_texts) == (30, 30, 30)
    for rewriter in ("none", "last"):
        assert (found.cell(rewriter, "plain").failed, found.cell(rewriter, "taught").failed) == (0, 5)
    assert "trained on this text" in (found.cell("last", "taught").failure or "")
    assert found.cell("last", "taught").points[0].tpr_after.n == 25
    saved = CalibrationSet.read(tmp_path / "out" / "calibration.json")
    assert [(c.n_human, c.failed_human) for c in saved.calibrations] == [(30, 0), (26, 4)]
    assert any("taught was trained on 4 of 60 calibration texts" in note for note in found.about.notes)


def test_too_few_unseen_texts_end_the_evaluation_before_it_begins(taught: Registry, tmp_path: Path) -> None:
    train(taught, [d for d in documents() if d.id in {f"calibration-human-{i}" for i in range(15)}])
    with pytest.raises(CalibrationError, match="taught was trained on 15 of 30 human calibration texts"):
        run(taught, tmp_path / "out", "taught", "plain")
    assert not (tmp_path / "out").exists()
    found = run(taught, tmp_path / "other", "plain", "taught")
    assert found.cell("none", "taught").points[0].tpr_before.n == 30


def test_labels_that_look_swapped_write_no_results(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the labels look swapped"):
        run(registry, tmp_path / "out", "plain", "", sign=-1.0)
    assert not (tmp_path / "out" / "results.json").exists()
    assert not (tmp_path / "out" / "calibration.json").exists()
