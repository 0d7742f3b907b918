"""Rows of a calibration."""

from __future__ import annotations

import numpy as np
import pytest

import paraphrase_rl as prl
from paraphrase_rl.detection.roc import area

SHIFT = 0.5


def calibrated(paired: bool) -> tuple[float, float]:
    """Interval of the AUROC where the two texts of a document score alike, paired or not."""
    level = np.random.default_rng(0).normal(size=60)
    documents = [
        prl.Document(
            id=f"{label}{i}",
            text=f"text {i} by {label} {score:.6f}",
            label=label,
            split="test" if i < 40 else "calibration",
            pair=f"p{i}" if paired else None,
        )
        for label, shift in (("human", 0.0), ("ai", SHIFT))
        for i, score in enumerate(level + shift)
    ]
    found = prl.calibrate(
        prl.detector(lambda texts: [float(t.split()[-1]) for t in texts], name="level"), data=documents
    )
    row = found.rows[0]
    assert row.auroc_low is not None
    assert row.auroc_high is not None
    human = np.round(level[:40], 6)
    units = np.arange(40)
    given = (units, units, 40) if paired else ()
    assert (row.auroc_low, row.auroc_high) == pytest.approx(
        area(human, np.round(human + SHIFT, 6), *given).interval
    )
    return row.auroc_low, row.auroc_high


def test_the_auroc_of_a_calibration_counts_the_texts_of_a_pair_together() -> None:
    low, high = calibrated(paired=True)
    lowest, highest = calibrated(paired=False)
    assert high - low < highest - lowest
