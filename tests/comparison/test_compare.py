"""Detectors compared by cross-fitting: folds, thresholds, intervals, ranking; figures against scikit-learn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score, roc_curve

import paraphrase_rl as prl
from paraphrase_rl.comparison import figures
from paraphrase_rl.comparison.compare import band, compare
from paraphrase_rl.comparison.figures import CrossFitted, Sample
from paraphrase_rl.comparison.folds import Folds, deal
from paraphrase_rl.comparison.records import Comparison, TestedScores
from paraphrase_rl.detection.roc import units_of
from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.errors import DataError, PluginError, UsageError
from paraphrase_rl.reporting.comparison import comparison_page, roc_points
from paraphrase_rl.statistics.bootstrap import resample
from paraphrase_rl.types import Document

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "liang" / "detector_scores.json"
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def documents(n: int, m: int, *, pairs: bool = False, groups: bool = False) -> list[Document]:
    """n human and m AI texts, all different."""
    found = []
    for label, count in (("human", n), ("ai", m)):
        for i in range(count):
            found.append(
                Document(
                    id=f"{label}-{i}",
                    text=" ".join(WORDS[int(c)] for c in f"{i:05d}")
                    + f" {label} {'word ' * (i % 90)}".rstrip(),
                    label=label,  # type: ignore[arg-type]
                    pair=f"p{i}" if pairs and i < min(n, m) else None,
                    group=("native", "second")[i % 2] if groups and label == "human" else None,
                )
            )
    return found


def fixed(name: str, scores: np.ndarray, folds: Folds) -> CrossFitted:
    return CrossFitted(name, np.tile(scores, (folds.count, 1)), failures=int((~np.isfinite(scores)).sum()))


def sample_of(texts: list[Document], folds: Folds, resamples: int = 200) -> Sample:
    human = np.array([d.label == "human" for d in texts])
    return Sample(human, folds, resample(units_of(texts), resamples, 0))


def compared(texts: list[Document], *scored: CrossFitted, folds: Folds, rate: float = 0.05) -> Comparison:
    return compare(scored, texts, folds, source="toys", target_fpr=rate, resamples=200, seed=0)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(10, 60),
    st.integers(10, 60),
    st.integers(3, 5),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_folds_keep_pairs_together_are_even_and_do_not_depend_on_the_order(
    n: int, m: int, count: int, pairs: bool, rnd: object
) -> None:
    texts = documents(n, m, pairs=pairs, groups=True)
    folds = deal(texts, count, seed=3)
    by_pair: dict[str, set[int]] = {}
    for d, fold in zip(texts, folds.of.tolist(), strict=True):
        if d.pair is not None:
            by_pair.setdefault(d.pair, set()).add(fold)
    assert all(len(found) == 1 for found in by_pair.values())
    for label in ("human", "ai"):
        sizes = np.bincount(folds.of[[d.label == label for d in texts]], minlength=count)
        assert sizes.max() - sizes.min() <= 3
    shuffled = list(texts)
    rnd.shuffle(shuffled)  # type: ignore[attr-defined]
    again = dict(zip([d.id for d in shuffled], deal(shuffled, count, seed=3).of.tolist(), strict=True))
    assert [again[d.id] for d in texts] == folds.of.tolist()


def test_folds_have_of_every_group_and_domain_their_part() -> None:
    texts = [
        replace(d, group=("native", "second")[i % 4 == 0], domain=("news", "essays", "stories")[i % 3])
        for i, d in enumerate(documents(120, 60))
    ]
    folds = deal(texts, 5, seed=1)
    for of in (lambda d: (d.label, d.group), lambda d: (d.label, d.domain)):
        for kind in {of(d) for d in texts}:
            sizes = np.bincount(folds.of[[of(d) == kind for d in texts]], minlength=5)
            assert sizes.max() - sizes.min() <= 3, kind


def test_labels_that_look_swapped_are_said() -> None:
    letters = prl.detector(lambda texts: [len(t) for t in texts], name="letters")
    texts = [replace(d, text=d.text + " more" * (40 if d.label == "ai" else 0)) for d in documents(20, 20)]
    right = prl.compare(texts, detectors=letters, folds=3, resamples=20)
    assert not any("swapped" in note for note in right.notes)
    other = {"human": "ai", "ai": "human"}
    wrong = prl.compare(
        [replace(d, label=other[d.label]) for d in texts], detectors=letters, folds=3, resamples=20
    )
    assert wrong.notes[0].startswith(
        "the labels look swapped: texts labelled AI score below those labelled human"
    )


def test_no_text_is_trained_on_calibrated_on_and_tested_in_one_fold() -> None:
    folds = deal(documents(30, 30), 5, seed=0)
    tested = np.zeros(60, dtype=int)
    for fold in range(5):
        parts = [folds.tested(fold), folds.calibrated(fold, trained=True), folds.training(fold)]
        assert (np.sum(parts, axis=0) == 1).all()
        assert not (folds.tested(fold) & folds.calibrated(fold, trained=False)).any()
        tested += folds.tested(fold)
    assert (tested == 1).all()


def test_too_few_texts_for_the_folds_are_refused() -> None:
    with pytest.raises(DataError, match="5 ai texts are too few for 5 folds"):
        deal(documents(30, 5), 5, seed=0)


def test_each_fold_has_the_threshold_of_the_other_humans() -> None:
    texts = documents(60, 40)
    folds = deal(texts, 5, seed=0)
    scores = np.random.default_rng(1).normal(size=100) + np.array([0.0] * 60 + [1.5] * 40)
    flags, fewest = figures.flags_at(fixed("d", scores, folds), sample_of(texts, folds), 0.1)
    assert fewest == 48
    human = np.array([d.label == "human" for d in texts])
    for i in range(100):
        threshold = operating_point(scores[human & (folds.of != folds.of[i])], 0.1).threshold
        assert flags.known[i] == float(scores[i] > threshold)


def test_an_interval_of_a_rate_is_not_shown_where_n_is_too_small_for_it() -> None:
    texts = documents(100, 50)
    folds = deal(texts, 5, seed=0)
    scores = np.random.default_rng(0).normal(size=150)
    found = compared(texts, fixed("d", scores, folds), folds=folds).detectors[0]
    at_1, at_5 = found.at(0.01), found.at(0.05)
    assert at_1 is not None
    assert at_5 is not None
    assert (at_1.tpr.low, at_1.allowed, at_1.calibration_humans) == (None, 0, 80)
    assert at_5.tpr.low is not None
    assert at_1.fpr.low is not None  # that of the thresholds as set needs no n
    notes = repr(compared(texts, fixed("d", scores, folds), folds=folds))
    assert "n too small for 1 %" in " ".join(notes.split())
    assert "too small for 5 %" not in notes


def test_detectors_are_ranked_and_those_that_cannot_be_told_apart_are_named() -> None:
    texts = documents(100, 100)
    folds = deal(texts, 5, seed=0)
    rng = np.random.default_rng(0)
    good = rng.normal(size=200) + 3.0 * np.array([0.0] * 100 + [1.0] * 100)
    close = good + rng.normal(scale=0.01, size=200)
    found = compared(
        texts,
        fixed("bad", rng.normal(size=200), folds),
        fixed("good", good, folds),
        fixed("close", close, folds),
        folds=folds,
    )
    by_name = {one.detector: one for one in found.detectors}
    assert found.ranked()[-1] == "bad"
    assert found.best is not None
    assert found.best.detector in ("good", "close")
    other = "close" if found.best.detector == "good" else "good"
    assert by_name[other].distinguishable is False
    assert by_name["bad"].distinguishable is True
    assert any(other in note and "not distinguishable" in note for note in found.notes)


def test_two_detectors_are_told_apart_where_n_is_too_small_for_intervals_of_each() -> None:
    texts = documents(60, 60)
    folds = deal(texts, 5, seed=0)
    rng = np.random.default_rng(0)
    label = np.array([0.0] * 60 + [1.0] * 60)
    good, bad = rng.normal(size=120) + 4 * label, rng.normal(size=120)
    found = compared(texts, fixed("good", good, folds), fixed("bad", bad, folds), folds=folds)
    by_name = {one.detector: one for one in found.detectors}
    assert by_name["good"].points[0].tpr.low is None
    assert by_name["bad"].distinguishable is True
    to_best = by_name["bad"].to_best
    assert to_best is not None
    assert to_best.high is not None
    assert to_best.high < -0.5


def test_the_ensemble_is_compared_with_its_members_and_its_loss_is_said() -> None:
    texts = documents(100, 100)
    folds = deal(texts, 5, seed=0)
    rng = np.random.default_rng(0)
    label = np.array([0.0] * 100 + [1.0] * 100)
    good = rng.normal(size=200) + 2.5 * label
    noise = [fixed(f"noise-{i}", rng.normal(size=200) + 0.3 * label, folds) for i in range(4)]
    found = compared(texts, fixed("good", good, folds), *noise, folds=folds)
    assert "ensemble" in found.ranked()
    assert "the ensemble does worse than good alone" in found.notes


def test_a_detector_without_scores_is_last_with_its_reason() -> None:
    texts = documents(30, 30)
    folds = deal(texts, 3, seed=0)
    broken = CrossFitted("broken", np.full((3, 60), np.nan), reason="no model at /nowhere")
    found = compared(texts, broken, fixed("d", np.arange(60.0), folds), folds=folds)
    assert found.detectors[-1].reason == "no model at /nowhere"
    assert found.best is not None
    assert found.best.detector == "d"


def test_false_positives_by_group_and_their_gap() -> None:
    texts = documents(200, 50, groups=True)
    folds = deal(texts, 5, seed=0)
    second = np.array([d.group == "second" for d in texts])
    scores = np.random.default_rng(0).normal(size=250) + 2.0 * second
    found = compared(texts, fixed("d", scores, folds), folds=folds, rate=0.1)
    rates = {part.value: part.fpr for part in found.parts if part.by == "group"}
    assert rates["native"].value is not None
    assert rates["second"].value is not None
    assert rates["second"].value > rates["native"].value
    (gap,) = found.gaps
    assert (gap.highest, gap.lowest) == ("second", "native")
    assert gap.gap.value == pytest.approx(rates["second"].value - rates["native"].value)
    assert gap.gap.low is not None
    assert gap.gap.low <= gap.gap.value <= gap.gap.high


@pytest.mark.parametrize(
    ("humans", "rate", "shown"), [(100, 0.05, True), (98, 0.05, False), (200, 0.01, False)]
)
def test_a_gap_has_an_interval_from_five_texts_to_be_flagged(humans: int, rate: float, shown: bool) -> None:
    texts = documents(humans, 50, groups=True)
    folds = deal(texts, 5, seed=0)
    second = np.array([d.group == "second" for d in texts])
    scores = np.random.default_rng(0).normal(size=len(texts)) + 3.0 * second
    found = compared(texts, fixed("d", scores, folds), folds=folds, rate=rate)
    (gap,) = found.gaps
    assert gap.gap.value is not None
    assert (gap.gap.low is not None) == shown
    said = [note for note in found.notes if "no interval of a gap" in note]
    assert said == ([] if shown else [said[0]])
    assert shown or f"with {humans} human texts, it needs {100 if rate == 0.05 else 500}" in said[0]


def test_draws_of_a_threshold_rest_on_all_humans_unless_the_detector_is_trained() -> None:
    texts = documents(80, 40)  # 64 of them set the threshold of a fold, and an interval at 5 % needs 72
    folds = deal(texts, 5, seed=0)
    scores = np.random.default_rng(1).normal(size=120)
    one = fixed("d", scores, folds)
    assert figures.flags_at(one, sample_of(texts, folds), 0.05)[0].draws is not None
    trained = CrossFitted("d", one.scores, trained=True)
    assert figures.flags_at(trained, sample_of(texts, folds), 0.05)[0].draws is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [(0, "0 to 49 words"), (50, "50 to 99 words"), (399, "200 to 399 words"), (400, "400 words or more")],
)
def test_bands_of_lengths(words: int, expected: str) -> None:
    assert band(words) == expected


def test_reliability_is_that_of_scikit_learn_with_both_labels_weighted_alike() -> None:
    rng = np.random.default_rng(0)
    human = np.array([True] * 30 + [False] * 10)
    p = rng.uniform(size=40)
    found = figures.reliability(p, human)
    weight = np.where(human, 0.5 / 30, 0.5 / 10)
    assert found.brier == pytest.approx(brier_score_loss(~human, p, sample_weight=weight), abs=1e-12)
    perfect = figures.reliability(np.where(human, 0.0, 1.0), human)
    assert (perfect.brier, perfect.ece) == (0.0, 0.0)
    assert figures.reliability(np.full(40, 0.5), human).ece == pytest.approx(0.0)


def test_figures_are_those_of_scikit_learn_on_recorded_scores() -> None:
    if not RECORDED.exists():
        pytest.skip(f"{RECORDED} is not there")
    sets = json.loads(RECORDED.read_text(encoding="utf-8"))
    names = sorted({detector for scores in sets.values() for detector in scores})
    human_sets = [
        name
        for name in sets
        if "human" in name.lower() or "toefl" in name.lower() or "hewlett" in name.lower()
    ]
    ai_sets = [name for name in sets if "gpt" in name.lower() and name not in human_sets]
    assert human_sets
    assert ai_sets
    checked = 0
    for detector in names:
        humans = np.concatenate([np.array(sets[s].get(detector, []), dtype=float) for s in human_sets])
        ais = np.concatenate([np.array(sets[s].get(detector, []), dtype=float) for s in ai_sets])
        humans, ais = humans[np.isfinite(humans)], ais[np.isfinite(ais)]
        if humans.size < 10 or ais.size < 10:
            continue
        labels = np.r_[np.zeros(humans.size), np.ones(ais.size)]
        human = np.array(labels) == 0
        folds = Folds(np.arange(human.size) % 5, 5)
        sample = Sample(human, folds, resample(list(map(str, range(human.size))), 20, 0))
        scores = np.r_[humans, ais]
        one = fixed(detector, scores, folds)
        found = figures.auroc_of(one, sample)
        assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
        for rate in (0.01, 0.05):
            flags = figures.flags_at(one, sample, rate)[0].known
            shares = confusion_matrix(labels, flags, normalize="true")
            for chosen, share in ((human, shares[0, 1]), (~human, shares[1, 1])):
                assert flags[chosen].mean() == pytest.approx(share, abs=1e-9)
            for fold in range(5):
                threshold = operating_point(scores[human & (folds.of != fold)], rate).threshold
                fpr, tpr, at = roc_curve(
                    labels[folds.of == fold], scores[folds.of == fold], drop_intermediate=False
                )
                last = np.flatnonzero(at > threshold)[-1]
                for chosen, share in ((human, fpr[last]), (~human, tpr[last])):
                    assert flags[chosen & (folds.of == fold)].mean() == pytest.approx(share, abs=1e-9)
        p = figures.tested_probabilities(one, figures.probability_maps(one, sample), sample)
        weight = np.where(human, 0.5 / humans.size, 0.5 / ais.size)
        brier = brier_score_loss(labels, p, sample_weight=weight)
        assert figures.reliability(p, human).brier == pytest.approx(brier, abs=1e-9)
        checked += 1
    assert checked >= 3


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=20),
    st.lists(st.integers(-4, 4), min_size=2, max_size=20),
)
def test_the_curve_on_the_page_is_that_of_scikit_learn(humans: list[int], ais: list[int]) -> None:
    column = TestedScores(detector="d", human=tuple(map(float, humans)), ai=tuple(map(float, ais)))
    fpr, tpr, _ = roc_curve([0] * len(humans) + [1] * len(ais), humans + ais, drop_intermediate=False)
    assert np.allclose(np.array(roc_points(column)), np.stack([fpr, tpr], axis=1), atol=1e-12)


def test_the_page_shows_every_detector_and_escapes_names() -> None:
    texts = [
        replace(d, group="<script>" if d.group == "second" else d.group)
        for d in documents(100, 50, groups=True)
    ]
    folds = deal(texts, 5, seed=0)
    rng = np.random.default_rng(0)
    scored = [fixed(name, rng.normal(size=150), folds) for name in ("first", "second-one")]
    broken = CrossFitted("broken", np.full((5, 150), np.nan), reason="no <b>model</b>")
    page = comparison_page(compared(texts, *scored, broken, folds=folds))
    assert "<script" not in page
    assert "no &lt;b&gt;model&lt;/b&gt;" in page
    assert page.count("<svg") == 3 * 4  # ROC, scores, reliability, groups of two detectors and the ensemble
    assert "default-src &#39;none&#39;" in page


class TestVerb:
    def essays(self) -> list[prl.Document]:
        return [
            prl.Document(id=f"{label}-{i}", text=f"{'word ' * (5 + i % 7)}{i} {label * ai}", label=label)  # type: ignore[arg-type]
            for ai, label in enumerate(("human", "ai"))
            for i in range(40)
        ]

    def test_a_trainable_detector_is_trained_inside_the_folds(self) -> None:
        length = prl.detector(lambda texts: [len(t) for t in texts], name="length")
        found = prl.compare(self.essays(), detectors=["tfidf", length], folds=3, resamples=50)
        assert {one.detector: one.trained for one in found.detectors}["tfidf"] is True
        assert found.best is not None
        assert found.best.detector == "tfidf"
        rows = {row["detector"]: row for row in found.flat_rows()}
        assert rows["tfidf"]["tpr_at_5"] > 0.9  # type: ignore[operator]
        assert len(found.to_pandas()) == 3
        assert repr(found).startswith("40 human and 40 AI texts")
        assert max(map(len, repr(found).splitlines())) <= 80

    def test_texts_that_were_cut_are_counted(self) -> None:
        texts = [
            prl.Document(id=d.id, text=d.text + " word" * (300 if i % 4 == 0 else 0), label=d.label)
            for i, d in enumerate(self.essays())
        ]
        found = prl.compare(texts, detectors=["tfidf"], folds=3, resamples=20)
        (row,) = found.flat_rows()
        assert (row["truncated"], row["failed"]) == (20, 0)
        assert row["smallest_fpr"] == pytest.approx(
            1 / found.detectors[0].points[0].calibration_humans, rel=0.1
        )
        assert "of 80 texts not read whole: tfidf 20" in found.notes
        assert found.shown_rows()[0]["cut"] == "25 %"

    def test_data_without_one_of_the_labels_are_refused(self) -> None:
        humans = [d for d in self.essays() if d.label == "human"]
        with pytest.raises(DataError, match="texts of one label only"):
            prl.compare(humans, detectors="tfidf")

    @pytest.mark.parametrize("given_", [{"folds": 2}, {"target_fpr": 2.0}, {"resamples": 0}])
    def test_wrong_arguments_are_refused(self, given_: dict[str, object]) -> None:
        with pytest.raises((UsageError, prl.PrlError)):
            prl.compare(self.essays(), detectors="tfidf", **given_)  # type: ignore[arg-type]

    def test_an_unknown_detector_is_named(self) -> None:
        with pytest.raises(PluginError, match="nothing-here"):
            prl.compare(self.essays(), detectors="nothing-here")
