"""What an ensemble flags before a training, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from paraphrase_rl.detection.calibration import Calibration
from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.detection.ensemble import CalibratedEnsemble, Member
from paraphrase_rl.detection.fitting import fit_calibration
from paraphrase_rl.detection.signal import carries_the_signal, nothing_to_evade, signals
from paraphrase_rl.types import Scores

HUMAN = np.arange(100.0)


def calibration(name: str, ai: np.ndarray) -> Calibration:
    texts = CalibrationTexts.of([], source="numbers")
    return fit_calibration(Scores(HUMAN), Scores(ai), (0.05,), detector=name, texts=texts)


def ensemble(**shift: float) -> CalibratedEnsemble:
    """Detectors by how far AI texts score above human ones."""
    return CalibratedEnsemble(
        [Member(name=n, detector=None, calibration=calibration(n, HUMAN + s)) for n, s in shift.items()]  # type: ignore[arg-type]
    )


def test_flagged_are_the_ai_texts_above_the_threshold_of_the_target_rate() -> None:
    found = {one.detector: one for one in signals(ensemble(weak=5.0, strong=60.0))}
    assert found["weak"].flagged == pytest.approx(np.mean(HUMAN + 5 > 95))
    assert found["strong"].flagged == pytest.approx(np.mean(HUMAN + 60 > 95))
    assert found["weak"].weight == 0.5


def test_which_detector_carries_the_signal_is_said() -> None:
    line = carries_the_signal(signals(ensemble(weak=5.0, strong=60.0)))
    assert "strong 64.0 %" in line
    assert "strong carries the signal with 50.0 % of the weight" in line
    assert "carries the signal" not in carries_the_signal(signals(ensemble(one=60.0, two=59.0)))
    assert "carries the signal" not in carries_the_signal(signals(ensemble(alone=60.0)))


def test_little_to_evade_is_said_only_where_every_detector_flags_little() -> None:
    assert "little to evade" in nothing_to_evade(signals(ensemble(a=5.0, b=8.0)))
    assert nothing_to_evade(signals(ensemble(a=5.0, b=40.0))) == ""


def test_a_calibration_that_did_not_count_says_nothing() -> None:
    old = calibration("old", HUMAN + 5).model_copy(update={"flagged_ai": None})
    found = signals(CalibratedEnsemble([Member(name="old", detector=None, calibration=old)]))  # type: ignore[arg-type]
    assert found == []
    assert carries_the_signal(found) == nothing_to_evade(found) == ""
