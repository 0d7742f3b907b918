"""The calibrated ensemble: combination, failures, and its file."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.comparison.figures import reliability
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.decision import decide
from paraphrase_rl.detection.ensemble import CalibratedEnsemble, combine_probabilities, load_ensemble
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.types import Document, Scores


def documents(human=range(20), ai=range(15, 35)):
    rows = [("human", h) for h in human] + [("ai", a) for a in ai]
    return [
        Document(id=f"{label}-{i}", text=str(v), label=label, split="calibration")
        for i, (label, v) in enumerate(rows)
    ]


@pytest.fixture
def registry(numbers):
    built = {
        "up": numbers(),
        "also-up": numbers(2.0),
        "down": numbers(-1.0),
        "words": SimpleNamespace(score=numbers().score, provenance=dict),
    }
    return SimpleNamespace(
        build=lambda kind, name, options, context: built[name],
        spec=lambda kind, name: SimpleNamespace(fit=None),
        built=built,
    )


def calibrated(registry, *detectors, texts=None, target_fpr=0.1, **more):
    texts = texts or documents()
    return calibrate(
        [build_detector(registry, Context(), name, {}, weight) for name, weight in detectors],
        texts,
        usual_rates(target_fpr),
        source="numbers",
        **more,
    )


def test_one_detector_alone_is_the_ensemble(registry):
    ensemble = calibrated(registry, ("up", None))
    by_name, combined = ensemble.probabilities(["3", "12", "40"])
    assert ensemble.names == ("up",)
    assert combined.values.tolist() == by_name["up"].values.tolist()
    assert (np.diff(combined.values) > 0).all()
    target = ensemble.combined.target
    assert (target.allowed, target.above) == (1, 1)  # floor(0.1 * 21) - 1


def test_weighted_mean_and_worst_case_by_hand():
    table = np.array([[0.2, 0.9, np.nan, np.nan], [0.8, np.nan, 0.4, np.nan]])
    weights = np.array([3.0, 1.0])
    mean = combine_probabilities(table, weights, "mean")
    assert mean[:3] == pytest.approx([0.35, 0.9, 0.4])
    worst = combine_probabilities(table, weights, "worst-case")
    assert worst[:3].tolist() == [0.8, 0.9, 0.4]
    assert np.isnan([mean[3], worst[3]]).all()


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["mean", "worst-case"]),
)
def test_the_combination_lies_between_its_parts(rows, combine):
    table = np.array(rows)
    combined = combine_probabilities(table, np.arange(1.0, len(rows) + 1), combine)
    assert (combined >= table.min(axis=0) - 1e-12).all()
    assert (combined <= table.max(axis=0) + 1e-12).all()


def test_a_failure_of_one_member_stays_visible_and_the_others_judge(registry, numbers):
    registry.built["picky"] = type(
        "Picky",
        (numbers,),
        {"score": lambda self, texts: numbers().score([t if t != "5" else "?" for t in texts])},
    )()
    ensemble = calibrated(registry, ("up", None), ("picky", None))
    by_name, combined = ensemble.probabilities(["5", "6", "nonsense"])
    assert [f.index for f in by_name["picky"].failures] == [0, 2]
    assert combined.values[0] == by_name["up"].values[0]
    assert [f.index for f in combined.failures] == [2]
    assert combined.failures[0].owner == "ensemble"
    assert "nonsense is not" in combined.failures[0].message


def test_a_member_without_power_has_no_vote_and_says_so(registry):
    ensemble = calibrated(registry, ("down", None), ("up", None))
    by_name, combined = ensemble.probabilities(["1", "30"])
    assert combined.values.tolist() == by_name["up"].values.tolist()
    assert np.ptp(by_name["down"].values) == 0.0
    assert any(line.startswith("down: ") and "AUROC" in line for line in ensemble.warnings())


def test_no_power_at_all_is_an_error_with_the_aurocs(registry):
    with pytest.raises(CalibrationError, match=r"down AUROC 0\.4"):
        calibrated(registry, ("down", None), texts=documents(range(20), range(1, 21)))


def test_without_ai_texts_training_is_refused_and_thresholds_are_not(registry):
    texts = documents(ai=())
    with pytest.raises(CalibrationError, match="no AI texts"):
        calibrated(registry, ("up", None), texts=texts)
    ensemble = calibrated(registry, ("up", None), texts=texts, needs_probability=False)
    assert ensemble.members[0].calibration.target.threshold == 18.0
    assert ensemble.combined is None
    with pytest.raises(CalibrationError, match="without AI texts"):
        ensemble.probabilities(["1"])


def test_weights_of_the_recipe_count(registry, numbers):
    registry.built["flat"] = numbers(0.001)
    equal = calibrated(registry, ("up", None), ("also-up", None))
    by_name, combined = equal.probabilities(["9", "22"])
    assert combined.values == pytest.approx((by_name["up"].values + by_name["also-up"].values) / 2)
    lopsided = calibrated(registry, ("up", 3.0), ("also-up", 0.0))
    by_name, combined = lopsided.probabilities(["9", "22"])
    assert combined.values.tolist() == by_name["up"].values.tolist()


def test_one_and_five_percent_are_fitted_beside_the_target(registry):
    points = calibrated(registry, ("up", None), target_fpr=0.2).members[0].calibration.points
    assert [p.target_fpr for p in points] == [0.2, 0.01, 0.05]


def test_the_file_restores_the_same_judgements(registry, tmp_path):
    ensemble = calibrated(registry, ("up", 2.0), ("also-up", None), combine="worst-case")
    ensemble.to_file(tmp_path / "c.json")
    loaded = load_ensemble(tmp_path / "c.json", registry, Context())
    texts = ["1", "17.3", "x"]
    assert loaded.combined == ensemble.combined
    for before, after in zip(ensemble.probabilities(texts), loaded.probabilities(texts), strict=True):
        if isinstance(before, dict):
            before, after = before["also-up"], after["also-up"]
        assert np.array_equal(before.values, after.values, equal_nan=True)


def test_a_changed_model_is_refused_on_loading(registry, numbers, tmp_path):
    calibrated(registry, ("up", None)).to_file(tmp_path / "c.json")
    registry.built["up"] = numbers(revision="r2")
    with pytest.raises(CalibrationError, match="up was calibrated with another numbers"):
        load_ensemble(tmp_path / "c.json", registry, Context())


def test_the_data_digest_follows_texts_and_labels(registry):
    def digest(texts):
        return calibrated(registry, ("up", None), texts=texts).members[0].calibration.texts.digest

    assert digest(documents()) == digest(documents())
    assert digest(documents()) != digest(documents(human=range(1, 21)))
    assert digest(documents(human=(1, 2, 15), ai=(15, 20))) != digest(
        documents(human=(1, 2), ai=(15, 15, 20))
    )


class Column:
    """Reads one of the numbers of a text."""

    def __init__(self, which):
        self.which = which

    def score(self, texts):
        return Scores(np.array([float(text.split()[self.which]) for text in texts]))

    def provenance(self):
        return {}


def noisy(gains, n, seed):
    """n human and n AI texts of a number a detector: its gain of the label plus noise of its own."""
    draw = np.random.default_rng(seed)
    return [
        Document(
            id=f"{label}{i}",
            text=" ".join(f"{x:.6f}" for x in gains * ai + draw.normal(size=len(gains))),
            label=label,
        )
        for ai, label in enumerate(("human", "ai"))
        for i in range(n)
    ]


def fitted_on(columns, documents):
    """An ensemble of detectors 0, 1, ..., each of which reads one of the numbers."""
    registry = SimpleNamespace(
        build=lambda kind, name, options, context: Column(columns[int(name)]),
        spec=lambda kind, name: SimpleNamespace(fit=None),
    )
    built = [build_detector(registry, Context(), str(d), {}, None) for d in range(len(columns))]
    return calibrate(built, documents, usual_rates(0.05), source="noise")


def test_p_ai_of_an_ensemble_is_one_and_a_mean_of_p_ai_is_not():
    gains = np.full(6, 0.9)
    ensemble = fitted_on(range(len(gains)), noisy(gains, 300, 0))
    fresh = noisy(gains, 2000, 1)
    found = decide([d.text for d in fresh], ensemble, {}, force=True)
    combined = [d for d in found if d.detector == "ensemble"]
    human = np.array([d.label == "human" for d in fresh])
    ours = reliability(np.array([d.p_ai for d in combined]), human).ece
    mean = reliability(np.array([d.score for d in combined]), human).ece
    assert ours < 0.04
    assert mean > 0.1
    for d in combined:
        assert d.flagged == (d.score > d.threshold)
    order = np.argsort([d.score for d in combined])
    assert (np.diff(np.array([d.p_ai for d in combined])[order]) >= 0).all()


def test_the_p_ai_of_an_ensemble_comes_back_from_the_file_and_older_files_have_the_mean(tmp_path):
    gains = np.array([1.0, 0.5])
    ensemble = fitted_on(range(len(gains)), noisy(gains, 50, 0))
    assert ensemble.combined.probability is not None
    assert (ensemble.combined.n_ai, ensemble.combined.flagged_ai) == (50, ensemble.combined.flagged_ai)
    scores = np.linspace(0.1, 0.9, 9)
    ensemble.to_file(tmp_path / "calibration.json")
    saved = CalibrationSet.read(tmp_path / "calibration.json").combined
    assert saved.probability == ensemble.combined.probability
    older = CalibratedEnsemble(
        ensemble.members, "mean", ensemble.combined.model_copy(update={"probability": None})
    )
    assert older.combined_p_ai(scores).tolist() == scores.tolist()
    assert ensemble.combined_p_ai(scores).tolist() != scores.tolist()


def test_an_ensemble_that_does_worse_than_a_member_alone_says_so():
    good_and_four_times_weak = [0, 1, 1, 1, 1]
    ensemble = fitted_on(good_and_four_times_weak, noisy(np.array([2.5, 1.2]), 200, 0))
    flagged = {m.name: m.calibration.flagged_ai for m in ensemble.members}
    together = ensemble.combined.flagged_ai
    assert together < flagged["0"] == max(flagged.values())
    expected = f"it flags {together} of 200 AI calibration texts, 0 {flagged['0']} of 200"
    assert any("does worse than 0 alone" in line and expected in line for line in ensemble.warnings())
    alike = fitted_on(range(4), noisy(np.full(4, 1.2), 200, 0))
    assert not any("does worse" in line for line in alike.warnings())
