"""A calibration: what it keeps, what it refuses, what it warns of, and its file."""

import json
from pathlib import Path

import numpy as np
import pytest

from paraphrase_rl.detection.calibration import CalibrationSet, check_provenance
from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Limits
from paraphrase_rl.detection.fitting import fit_calibration
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.types import Failure, Scores

ANY = Limits(least_words=0, most_words=10**6, scripts=(), language=None)
TEXTS = CalibrationTexts(source="essays", digest="d", median_words=120, excerpt_words=100, limits=ANY)


def scores(*values):
    array = np.array(values, dtype=np.float64)
    missing = np.flatnonzero(np.isnan(array)).tolist()
    return Scores(
        array, tuple(Failure(index=i, owner="x", kind="short", message="too short") for i in missing)
    )


def fitted(human=None, ai=None, rates=(0.1, 0.01), **more):
    human = scores(*range(20)) if human is None else human
    return fit_calibration(human, ai, rates, detector="toy", texts=TEXTS, **more)


def test_failures_are_left_out_and_counted():
    nan = float("nan")
    record = fitted(scores(nan, 1.0, nan, 2.0, 3.0), scores(4.0, nan))
    assert (record.n_human, record.failed_human, record.n_ai, record.failed_ai) == (3, 2, 1, 1)
    assert record.probability == fitted(scores(1.0, 2.0, 3.0), scores(4.0)).probability
    assert any("2 human and 1 AI" in line for line in record.warnings())


def test_too_few_human_scores_name_the_first_reason():
    nan = float("nan")
    with pytest.raises(CalibrationError, match=r"only 1 of 3 .* too short"):
        fitted(scores(nan, 1.0, nan))


def test_without_ai_texts_there_is_a_threshold_but_no_probability():
    record = fitted(ai=None)
    assert record.target.threshold == 18.0  # one of 20 may lie above: floor(0.1 * 21) - 1
    with pytest.raises(CalibrationError, match="without AI texts"):
        record.probabilities(np.array([1.0]))


def test_only_stored_rates_have_an_operating_point():
    record = fitted()
    assert record.point(0.01).threshold == 19.0
    with pytest.raises(CalibrationError, match=r"0\.1, 0\.01, not 0\.05") as caught:
        record.point(0.05)
    assert "--target-fpr 0.05" in caught.value.hint


def test_warnings_name_what_n_cannot_show_ties_and_lack_of_power():
    assert fitted(ai=scores(30.0, 40.0)).warnings() == []
    (few,) = fitted().warnings(0.01)
    assert "n too small for 0.01: 20 human texts keep a rate of 0.048 or more" in few
    tied = fitted(scores(*[0.0] * 10, *[1.0] * 10))
    assert any("10 human scores tie" in line for line in tied.warnings())
    powerless = fitted(ai=scores(-1.0, -2.0))
    assert any("AUROC 0.000" in line for line in powerless.warnings())


def test_the_file_gives_back_the_same_calibration(tmp_path):
    record = fitted(ai=scores(15.0, 25.5, 30.1), options={"model": "m"}, provenance={"m": "abc"})
    kept = CalibrationSet(calibrations=(record,), weights=(2.0,), combine="worst-case", combined=fitted())
    kept.write(tmp_path / "sub" / "c.json")
    read = CalibrationSet.read(tmp_path / "sub" / "c.json")
    assert read == kept
    raw = json.loads((tmp_path / "sub" / "c.json").read_text())
    assert raw["schema"] == "paraphrase-rl/calibration/2"
    assert {"paraphrase-rl", "numpy", "python"} <= set(raw["versions"])


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("calibrations"),
        lambda raw: raw.update(calibrations=[]),
        lambda raw: raw.update(weights=[]),
        lambda raw: raw.update(schema="other/2"),
        lambda raw: raw.update(surprise=1),
        lambda raw: raw["calibrations"][0]["points"][0].update(threshold=None),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, change):
    path = tmp_path / "c.json"
    CalibrationSet(calibrations=(fitted(),), weights=(1.0,)).write(path)
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(CalibrationError, match="is not a calibration") as caught:
        CalibrationSet.read(path)
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "change", [lambda raw: raw.pop("canonical_text"), lambda raw: raw.update(canonical_text=0)]
)
def test_a_calibration_made_on_other_texts_is_refused_by_name(tmp_path, change):
    path = tmp_path / "c.json"
    CalibrationSet(calibrations=(fitted(),), weights=(1.0,)).write(path)
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(CalibrationError, match=r"c\.json was made by another version, .*rule 0,") as caught:
        CalibrationSet.read(path)
    assert "prl calibrate" in caught.value.hint


def test_a_calibration_of_the_format_before_is_refused_by_name(tmp_path):
    path = tmp_path / "c.json"
    CalibrationSet(calibrations=(fitted(),), weights=(1.0,)).write(path)
    raw = json.loads(path.read_text()) | {"schema": "paraphrase-rl/calibration/1"}
    del raw["calibrations"][0]["texts"]["limits"]
    path.write_text(json.dumps(raw))
    with pytest.raises(CalibrationError, match="did not record the texts that it holds for") as caught:
        CalibrationSet.read(path)
    assert "calibration/1, this version reads paraphrase-rl/calibration/2" in caught.value.message
    assert "prl calibrate" in caught.value.hint


def test_of_several_populations_the_highest_threshold_is_deployed():
    """20 texts 1 .. 20 of one population, 40 of another up to 10: at 0.1 the first sets 19, the second would set 7."""
    human = scores(*range(1, 21), *(i / 4 for i in range(1, 41)))
    record = fitted(human, scores(30.0), populations=["essays"] * 20 + ["news"] * 40)
    assert (record.target.threshold, record.target.n_human, record.n_human) == (19.0, 20, 60)
    assert record.worst() == "essays"
    essays, news = record.populations
    assert (essays.points[0].threshold, essays.flagged[0]) == (19.0, 1)
    assert (news.points[0].threshold, news.flagged[0]) == (9.25, 0)  # floor(0.1 * 41) - 1 = 3 above
    assert "flags 1 of 20 human texts of essays (5.0 %" in record.describe()
    assert record.describe().endswith("; of news 0 of 40 (0.0 %)")
    alone = fitted(human, scores(30.0), populations=["essays"] * 60)
    assert (alone.populations, alone.worst()) == ((), None)


def test_a_population_without_scores_is_refused_by_name():
    with pytest.raises(CalibrationError, match="only 1 human calibration texts of news have a score"):
        fitted(scores(1.0, 2.0, 3.0, float("nan")), populations=["essays", "essays", "news", "news"])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
def test_what_is_not_a_calibration_file_is_refused(tmp_path, content):
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(CalibrationError):
        CalibrationSet.read(path)


def test_a_missing_or_impossible_file_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match="no calibration at") as caught:
        CalibrationSet.read(tmp_path / "none.json")
    assert "prl calibrate" in caught.value.hint
    with pytest.raises(CalibrationError, match="cannot read"):
        CalibrationSet.read(tmp_path)


@pytest.mark.parametrize("current", [{"m": "2"}, {}, {"m": "1", "n": "1"}, {"n": "1"}])
def test_another_model_is_refused(current):
    record = fitted(provenance={"m": "1"})
    check_provenance(record, {"m": "1"})
    with pytest.raises(CalibrationError, match="calibrated with another") as caught:
        check_provenance(record, current)
    assert "prl calibrate" in caught.value.hint


@pytest.mark.parametrize("text", ["[" * 9999, "9" * 5000, "{", '{"schema": NaN}', "\x00"])
def test_a_file_of_somebody_else_costs_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(CalibrationError) as caught:
        CalibrationSet.read(tmp_path / "calibration.json")
    assert "calibration.json" in caught.value.message
    assert "\n" not in caught.value.message
