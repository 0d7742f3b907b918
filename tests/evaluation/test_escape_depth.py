"""Deep escapes: the halves, what counts as evading, and the change, against answers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.detection.fitting import fit_calibration
from paraphrase_rl.evaluation.escape_depth import escape_depths
from paraphrase_rl.evaluation.results import EscapeDepth
from paraphrase_rl.evaluation.rewrite_quality import Measured
from paraphrase_rl.evaluation.scores import Row, Scored
from paraphrase_rl.statistics.bootstrap import resample
from paraphrase_rl.types import Document, Failure, Rewrite, Scores

CALIBRATION = fit_calibration(
    Scores(np.linspace(-19.0, 0.0, 39)),  # one of thirty-nine lies above -0.5, which is the threshold at 5 %
    Scores(np.arange(1.0, 9.0)),
    [0.05],
    detector="toy",
    texts=CalibrationTexts.of([Document(id="c", text="c", label="human")], source="toy"),
)


def scored(values: list[float]) -> Scored:
    documents = [Document(id=str(i), text=f"text {i}") for i in range(len(values))]
    rows = [Row(document=i, sample=0, rewrite=Rewrite(text=str(i))) for i in range(len(values))]
    missing = tuple(
        Failure(index=i, owner="toy", kind="short", message="too short")
        for i, value in enumerate(values)
        if np.isnan(value)
    )
    return Scored(
        rewriter="r", documents=documents, rows=rows, scores={"toy": Scores(np.array(values), missing)}
    )


def depths(before: list[float], after: list[float], quality: list[float | None]) -> list[EscapeDepth]:
    measured = [Measured({"kept": value}) for value in quality]
    drawn = resample([str(i) for i in range(len(before))], 500, 0)
    return escape_depths(CALIBRATION, scored(before), scored(after), measured, drawn)


def test_the_half_beyond_is_compared_with_the_half_at_the_threshold() -> None:
    assert CALIBRATION.target.threshold == -0.5
    before = [5.0] * 6 + [-3.0, 5.0]  # the seventh was not flagged; the eighth still is
    after = [-1.0, -2.0, -3.0, -4.0, -5.0, float("nan"), -9.0, 4.0]
    quality = [0.9, 0.8, 0.7, 0.4, 0.2, 0.0, 0.0, 0.0]
    [row] = depths(before, after, quality)
    assert (row.rewriter, row.detector, row.metric) == ("r", "toy", "kept")
    assert row.at.value == pytest.approx(0.8)
    assert row.beyond.value == pytest.approx(0.3)
    assert row.change.value == pytest.approx(-0.5)
    assert (row.at.n, row.beyond.n, row.change.n) == (3, 2, 5)
    assert row.change.high is not None
    assert row.change.high < -0.2


def test_a_score_at_the_threshold_evades_and_a_missing_quality_is_left_out() -> None:
    [row] = depths([5.0] * 4, [-0.5, -1.0, -2.0, -3.0], [1.0, None, 0.5, None])
    assert (row.at.value, row.beyond.value, row.change.n) == (1.0, 0.5, 2)


@pytest.mark.parametrize("after", [[4.0, 4.0, 4.0, 4.0], [-1.0, -2.0, -3.0, 4.0]])
def test_too_few_that_evade_give_no_row(after: list[float]) -> None:
    assert depths([5.0] * 4, after, [1.0] * 4) == []
