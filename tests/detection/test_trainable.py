"""A calibration keeps the trained detectors it was made with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from paraphrase_rl.detection.ensemble import CalibratedEnsemble, load_ensemble
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.trainable import keep_fitted, trainer_of
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.types import Document

TEXTS = ["the cat sat on the mat and slept", "we therefore delve into a rich tapestry"]


def documents(split: str, n: int = 12) -> list[Document]:
    return [
        Document(
            id=f"{split}{i}",
            text=f"{TEXTS[i % 2]} {i}",
            label="ai" if i % 2 else "human",
            split=split,  # type: ignore[arg-type]
        )
        for i in range(n)
    ]


def train(registry: Registry, folder: Path, n: int) -> None:
    options = registry.options("detectors", "tfidf", {"folder": str(folder)})
    trainer_of(registry, "tfidf")(options, documents("train", n), folder)


@pytest.fixture
def ensemble(tmp_path: Path) -> CalibratedEnsemble:
    registry = default_registry()
    train(registry, tmp_path / "trained", 12)
    built = build_detector(registry, Context(), "tfidf", {"folder": str(tmp_path / "trained")})
    return calibrate([built], documents("calibration"), [0.05], source="here")


def test_a_kept_detector_outlives_a_new_training_and_a_move(
    ensemble: CalibratedEnsemble, tmp_path: Path
) -> None:
    registry, run = default_registry(), tmp_path / "run"
    keep_fitted(ensemble, registry, run / "detectors").to_file(run / "calibration.json")
    ensemble.to_file(tmp_path / "calibration.json")
    expected = ensemble.scores(TEXTS)["tfidf"].values
    train(registry, tmp_path / "trained", 4)
    shutil.move(run, tmp_path / "elsewhere")

    again = load_ensemble(tmp_path / "elsewhere" / "calibration.json", registry, Context())
    assert np.array_equal(again.scores(TEXTS)["tfidf"].values, expected)
    with pytest.raises(CalibrationError, match="another tfidf"):
        load_ensemble(tmp_path / "calibration.json", registry, Context())


def test_it_moves_from_one_file_to_another(ensemble: CalibratedEnsemble, tmp_path: Path) -> None:
    registry, run = default_registry(), tmp_path / "run"
    keep_fitted(ensemble, registry, run / "detectors").to_file(run / "calibration.json")
    loaded = load_ensemble(run / "calibration.json", registry, Context())
    loaded.to_file(run / "evaluation" / "calibration.json")
    assert '"fitted": "../detectors/tfidf"' in (run / "evaluation" / "calibration.json").read_text()
    again = load_ensemble(run / "evaluation" / "calibration.json", registry, Context())
    assert again.members[0].calibration == loaded.members[0].calibration
