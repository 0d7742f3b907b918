"""Draws: their figures are those of plain loops and of scipy; intervals that hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Limits
from paraphrase_rl.detection.fitting import fit_calibration
from paraphrase_rl.detection.roc import auroc, units_of
from paraphrase_rl.detection.threshold import clopper_pearson, operating_point
from paraphrase_rl.evaluation.detection_rates import Originals, cell_figures, transfer
from paraphrase_rl.statistics.bootstrap import (
    NEAR,
    Design,
    Flags,
    Resamples,
    agresti_caffo,
    drawn_thresholds,
    estimate_mean,
    evaded,
    fewest_humans,
    flagged,
    interval,
    resample,
    share_difference,
    share_interval,
    too_few_humans,
)
from paraphrase_rl.types import Document, Scores

RATES = st.sampled_from([0.01, 0.05, 0.07, 0.1, 0.29, 0.5, 0.999])
ANY = Limits(least_words=0, most_words=10**6, scripts=(), language=None)
TEXTS = CalibrationTexts(source="test", digest="0", median_words=1, limits=ANY)


def calibrated(scores, *rates):
    known = np.asarray(scores, dtype=np.float64)
    return fit_calibration(Scores(known[np.isfinite(known)]), None, rates, detector="d", texts=TEXTS)


def documents(n, prefix, pairs=()):
    return [
        Document(id=f"{prefix}{i}", text="t", pair=pairs[i] if i < len(pairs) else None) for i in range(n)
    ]


def draws(weights, lowest=1.0, units=None):
    """Draws with weights given by hand and no prior."""
    w = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    b, n = w.shape
    numbered = np.arange(n) if units is None else np.asarray(units)
    none = np.zeros((b, 2))
    return Resamples(w, numbered, n, np.full(b, float(lowest)), none, none, np.zeros((b, 4)))


def test_rows_of_one_unit_have_one_weight_and_the_mean_is_one():
    drawn = resample(["a", "b", "a", "c"], 4000, 0)
    np.testing.assert_array_equal(drawn.weights[:, 0], drawn.weights[:, 2])
    assert (drawn.weights[:, 0] != drawn.weights[:, 1]).all()
    assert drawn.weights.mean() == pytest.approx(1.0, abs=0.03)
    for prior in (drawn.prior, drawn.independent, drawn.paired):
        assert prior.mean(axis=0) == pytest.approx([0.5] * prior.shape[1], abs=0.05)
    again = resample(["a", "b", "a", "c"], 4000, 0)
    np.testing.assert_array_equal(drawn.weights, again.weights)


@pytest.mark.parametrize(("rate", "n"), [(0.05, 72), (0.01, 368), (0.001, 3688)])
def test_the_fewest_humans_that_can_lie_on_both_sides_of_the_threshold(rate, n):
    assert fewest_humans(rate) == n
    assert stats.binom.pmf(0, n, rate) <= 0.025 < stats.binom.pmf(0, n - 1, rate)
    assert too_few_humans(rate, n) is None
    assert str(n) in too_few_humans(rate, n - 1)
    assert drawn_thresholds(np.arange(n - 1.0), rate, resample(list(map(str, range(n - 1))), 3, 0)) is None
    assert drawn_thresholds(np.arange(float(n)), rate, resample(list(map(str, range(n))), 3, 0)) is not None


def test_a_threshold_by_hand():
    # shares 1/10 above 9, between 9 and 8, ..., 1/10 below 1: three tenths lie above 7, 35 % above 6.5
    scores = np.array([5.0, 9, 8, 7, 1, 2, 3, 4, 6])
    assert drawn_thresholds(scores, 0.35, draws(np.ones(9))).tolist() == pytest.approx([6.5])
    # double the weight of 7: the share between 7 and 8 is 2 of 11, and .35 * 11 = 3.85 lie above
    heavier = np.where(scores == 7, 2.0, 1.0)
    assert drawn_thresholds(scores, 0.35, draws(heavier)).tolist() == pytest.approx([8 - 1.85 / 2])


def test_the_threshold_may_lie_above_every_score():
    scores, weights = np.arange(9.0), np.ones(9)
    weights[8] = 30.0
    assert drawn_thresholds(scores, 0.35, draws(weights)).tolist() == [np.inf]
    flags = Flags.at(np.array([99.0]), 8.0, np.array([np.inf]))
    assert (flags.known.tolist(), flags.draws.tolist()) == ([1.0], [[0.0]])


def test_texts_without_a_score_set_no_threshold_and_ties_set_it_themselves():
    scores = np.array([5.0, 9, 8, 7, 1, 2, 3, 4, 6, np.nan, np.nan])
    weights = np.r_[np.ones(9), 50.0, 50.0]
    assert drawn_thresholds(scores, 0.35, draws(weights)).tolist() == pytest.approx([6.5])
    tied = np.array([7.0] * 6 + [1.0, 2.0, 3.0])
    assert drawn_thresholds(tied, 0.35, draws(np.ones(9))).tolist() == [7.0]
    assert drawn_thresholds(np.full(9, np.nan), 0.35, draws(np.ones(9))) is None


def slow_threshold(scores, rate, weights, lowest):
    """The threshold of one draw by walking down the sorted scores."""
    order, total, above = np.argsort(-scores, kind="stable"), weights.sum() + lowest, 0.0
    higher = np.inf
    for i in order:
        if above + weights[i] > rate * total:
            part = (rate * total - above) / weights[i]
            return higher - part * (higher - scores[i]) if np.isfinite(higher) else np.inf
        above += weights[i]
        higher = scores[i]
    return higher


@given(st.lists(st.integers(-4, 4).map(float), min_size=80, max_size=300), RATES, st.integers(0, 1000))
@settings(max_examples=40)
def test_thresholds_are_those_of_a_walk_down_the_scores(scores, rate, seed):
    values = np.array(scores)
    drawn = resample([str(i) for i in range(values.size)], 5, seed)
    found = drawn_thresholds(values, rate, drawn)
    if values.size < fewest_humans(rate):
        assert found is None
        return
    for one, weights, lowest in zip(found, drawn.weights, drawn.lowest, strict=True):
        assert one == pytest.approx(slow_threshold(values, rate, weights, lowest))


def test_the_texts_above_a_drawn_threshold_are_binomial():
    """However many of n texts lie above the true threshold, their number follows Binomial(n, rate)."""
    n, rate = 200, 0.05
    # evenly spaced, so that the mean of near ones is that at their rank
    scores = np.random.default_rng(0).permutation(n) / n
    found = drawn_thresholds(scores, rate, resample(list(map(str, range(n))), 8000, 1))
    above = (scores > found[:, None]).sum(axis=1)
    for k in (4, 8, 10, 12, 16):
        assert (above <= k).mean() == pytest.approx(stats.binom.cdf(k, n, rate), abs=0.02)


@pytest.mark.parametrize("k", [0, 1, 7, 20])
def test_a_share_at_a_fixed_threshold_has_jeffreys_interval_or_the_exact_one(k):
    n = 20
    flags = Flags(np.arange(n) < k, None).as_set
    flags = Flags(flags.known.astype(float), flags.known.astype(float))
    found = flags.share(np.ones(n, dtype=bool), resample(list(map(str, range(n))), 20000, 0))
    low, high = clopper_pearson(k, n) if k in (0, n) else stats.beta(k + 0.5, n - k + 0.5).ppf([0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.015)


def test_flagged_is_strictly_above_and_unknown_stays_unknown():
    found = flagged(np.array([1.0, 2.0, np.nan]), np.array([1.0, np.nan]))
    np.testing.assert_array_equal(found, [[0.0, 1.0, np.nan], [np.nan, np.nan, np.nan]])


def test_attack_success_counts_texts_that_were_flagged_before():
    before = np.array([[1.0, 1.0, 0.0, 0.0, 1.0, np.nan]])
    after = np.array([[0.0, 1.0, 0.0, 1.0, np.nan, 0.0]])
    np.testing.assert_array_equal(evaded(before, after), [[1.0, 0.0, np.nan, np.nan, np.nan, np.nan]])


def test_a_drawn_threshold_is_the_mean_of_those_at_near_ranks():
    n, rate = 150, 0.05
    scores = np.random.default_rng(2).gumbel(size=n)
    drawn = resample([str(i) for i in range(n)], 50, 3)
    ordered = np.sort(scores)[::-1]
    found = drawn_thresholds(scores, rate, drawn)
    for one, weights, lowest in zip(found, drawn.weights, drawn.lowest, strict=True):
        there = slow_threshold(scores, rate, weights, lowest)
        rank = np.interp(-there, -ordered, np.arange(n))
        half = min(NEAR * np.sqrt(n * rate * (1 - rate)), rank)
        near = np.interp(np.linspace(rank - half, rank + half, 20_001), np.arange(n), ordered)
        assert one == pytest.approx(near.mean(), abs=1e-4)


def test_nothing_is_smoothed_where_scores_repeat():
    """A detector with three answers has steps: its threshold is one of them, and a text is flagged there or not."""
    draw = np.random.default_rng(0)
    humans, ais = draw.choice([0.0, 0.5, 1.0], 150, p=[0.9, 0.06, 0.04]), draw.choice([0.0, 0.5, 1.0], 40)
    thresholds = drawn_thresholds(humans, 0.05, resample([str(i) for i in range(150)], 200, 0))
    assert set(thresholds.tolist()) >= {0.5}
    flags = Flags.at(ais, 0.5, thresholds)
    assert set(np.unique(flags.draws).tolist()) == {0.0, 1.0}


def test_two_equal_scores_do_not_make_steps():
    """Scores rounded to a few digits tie now and then; that alone leaves the threshold as it is."""
    scores = np.random.default_rng(4).normal(size=100)
    drawn = resample([str(i) for i in range(100)], 200, 0)
    tied = scores.copy()
    tied[np.argsort(-tied)[5]] = np.sort(tied)[::-1][4]
    free, found = (drawn_thresholds(x, 0.05, drawn) for x in (scores, tied))
    assert np.unique(found).size == np.unique(free).size
    known = np.isfinite(free)
    assert np.abs(found[known] - free[known]).max() < np.ptp(np.sort(scores)[::-1][4:6]) + 1e-9


def near(score, threshold, reach):
    return min(max((score - threshold) / (2 * reach) + 0.5, 0.0), 1.0)


def slow_shares(before, after, rows, threshold_set, thresholds, design):
    """TPR before and after and ASR in each draw, by a loop over rows, with the prior of half a text of each kind."""
    found, prior = [], design.ai.prior
    finite = thresholds[np.isfinite(thresholds)]
    reach = NEAR * (np.quantile(finite, 0.84) - np.quantile(finite, 0.16)) / 2

    def above(score, threshold):
        return (score > threshold_set) + near(score, threshold, reach) - near(score, threshold_set, reach)

    for b, threshold in enumerate(thresholds):
        total, was, now, kept = 0.0, 0.0, 0.0, 0.0
        known = [
            (d, x, before[d])
            for d, x in zip(rows, after, strict=True)
            if np.isfinite(x) and np.isfinite(before[d])
        ]
        size = len(known) / len({d for d, _, _ in known})
        for document, score, source in known:
            weight = design.ai.weights[b, document]
            total += weight
            was += weight * above(source, threshold)
            now += weight * above(score, threshold)
            kept += weight * above(min(source, score), threshold)
        was, now, kept = max(was, 0.0), max(now, 0.0), max(kept, 0.0)
        hit = max(was - kept, 0.0)
        kept = was - hit
        yes, no = size * prior[b]
        found.append(
            [
                (was + yes) / (total + yes + no),
                (now + yes) / (total + yes + no),
                (hit + yes) / (hit + kept + yes + no),
            ]
        )
    return np.array(found)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("samples", [1, 3])
def test_every_share_of_a_cell_is_that_of_a_loop_over_draws(seed, samples):
    draw = np.random.default_rng(seed)
    n, h, m, rate = 12, 15, 80, 0.1
    before, humans, calibration = draw.normal(1, 1, n).round(1), draw.normal(0, 1, h), draw.normal(0, 1, m)
    before[0], humans[1], calibration[2] = np.nan, np.nan, np.nan
    rows = np.repeat(np.arange(n), samples)
    after = (np.repeat(before, samples) - draw.exponential(1, n * samples)).round(1)
    after[3] = np.nan
    ai, human = documents(n, "a", [f"p{i}" for i in range(6)]), documents(h, "h", [f"p{i}" for i in range(4)])
    design = Design.of(ai, human, documents(m, "c"), resamples=40, seed=seed)
    original = Originals.of(calibrated(calibration, rate), before, humans, calibration, (rate,), design)
    figures = cell_figures(original, after, rows, design)
    point = figures.points[rate]
    expected = slow_shares(before, after, rows, point.threshold, original.thresholds[rate], design)
    for column, figure in enumerate([point.tpr_before, point.tpr_after, point.attack_success_rate]):
        np.testing.assert_allclose(figure.draws, expected[:, column], err_msg=str(column))
    kept = np.flatnonzero(np.isfinite(after) & np.isfinite(before[rows]))
    was, now = before[rows[kept]] > point.threshold, after[kept] > point.threshold
    assert point.tpr_before.value == pytest.approx(was.mean())
    assert point.tpr_after.value == pytest.approx(now.mean())
    assert point.attack_success_rate.value == pytest.approx((~now[was]).mean())
    people = humans[np.isfinite(humans)]
    assert figures.auroc_after.value == pytest.approx(auroc(people, after[kept]))
    assert point.tpr_after.estimate.n == figures.auroc_after.n == len(set(rows[kept].tolist()))
    assert point.attack_success_rate.estimate.n == len(set(rows[kept][was].tolist()))


def test_too_few_calibration_texts_leave_rates_and_no_intervals():
    draw = np.random.default_rng(0)
    scores, calibration = draw.normal(1, 1, 30), draw.normal(0, 1, 100)
    design = Design.of(documents(30, "a"), documents(30, "h"), documents(100, "c"), resamples=20, seed=0)
    known = calibrated(calibration, 0.05, 0.01)
    original = Originals.of(known, scores, calibration[:30], calibration, (0.05, 0.01), design)
    figures = cell_figures(original, scores - 1, np.arange(30), design)
    for found in (figures.points[0.01], figures.points[0.05]):
        estimates = (found.tpr_before.estimate, found.tpr_after.estimate, found.attack_success_rate.estimate)
        assert all(one.value is not None for one in estimates)
        assert {one.low is None for one in estimates} == {found is figures.points[0.01]}
    (row, at_5) = sorted(transfer("r", "f", False, {"d": figures}), key=lambda row: row.target_fpr)
    assert row.tpr_after.low is None
    assert at_5.tpr_after.low is not None


def test_a_pair_is_drawn_as_one():
    ai, human = documents(4, "a", ["p", "q"]), documents(3, "h", ["q", "p"])
    design = Design.of(ai, human, documents(2, "c"), resamples=50, seed=0)
    np.testing.assert_array_equal(design.ai.weights[:, 0], design.human.weights[:, 1])
    np.testing.assert_array_equal(design.ai.weights[:, 1], design.human.weights[:, 0])
    assert (design.ai.weights[:, 2] != design.ai.weights[:, 3]).all()
    assert units_of([Document(id="p", text="t"), Document(id="x", text="t", pair="p")])[0] != "pair p"


@given(st.integers(0, 50))
def test_samples_of_one_text_do_not_narrow_the_interval(seed):
    values = np.random.default_rng(seed).random(10)
    units = [str(i) for i in range(10)]
    once = estimate_mean(values, resample(units, 200, seed))
    units = [unit for unit in units for _ in range(5)]
    often = estimate_mean(np.repeat(values, 5), resample(units, 200, seed))
    assert often.n == once.n == 10
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_intervals_cover_the_true_rate_and_with_the_threshold_held_still_they_do_not():
    """TPR at the true 5 % threshold of N(0, 1) humans, AI texts N(1.645, 1): one half. Leaving out the threshold's
    uncertainty, the known fault, makes coverage far worse."""
    draw = np.random.default_rng(7)
    trials, n, m, rate = 200, 200, 100, 0.05
    everybody = np.ones(n, dtype=bool)
    design = Design.of(documents(n, "a"), documents(2, "h"), documents(m, "c"), resamples=300, seed=1)
    covered = {"drawn": 0, "fixed": 0}
    for _ in range(trials):
        scores, humans = draw.normal(1.645, 1, n), draw.normal(0, 1, m)
        thresholds = drawn_thresholds(humans, rate, design.calibration)
        flags = Flags.at(scores, operating_point(humans, rate).threshold, thresholds)
        found, still = flags.share(everybody, design.ai), flags.as_set.share(everybody, design.ai)
        covered["drawn"] += found.low <= 0.5 <= found.high
        covered["fixed"] += still.low <= 0.5 <= still.high
    assert covered["drawn"] / trials > 0.92
    assert covered["fixed"] / trials < 0.75


def test_attack_success_and_a_difference_of_detectors_alike_cover_and_not_always():
    """Humans N(0, 1), AI texts N(1.645, 1), rewrites half a standard deviation lower; the second detector ranks texts
    nearly as the first. Intervals that hold the truth in nearly all samples are too wide."""
    draw = np.random.default_rng(5)
    trials, n, rate = 250, 100, 0.05
    many = draw.normal(1.645, 1, 200_000)
    later = many - 0.5 + draw.normal(0, 0.3, many.size)
    truth = (later <= 1.645)[many > 1.645].mean(), 0.0
    everybody, rows = np.ones(n, dtype=bool), np.arange(n)
    design = Design.of(documents(n, "a"), documents(n, "h"), documents(n, "c"), resamples=300, seed=1)
    held = np.zeros(2)
    for _ in range(trials):
        people, before = draw.normal(0, 1, n), draw.normal(1.645, 1, n)
        after = before - 0.5 + draw.normal(0, 0.3, n)
        original = Originals.of(calibrated(people, rate), before, people, people, (rate,), design)
        success = cell_figures(original, after, rows, design).points[rate].attack_success_rate.estimate
        alike = [scores * 0.9 + draw.normal(0, 0.436, n) for scores in (people, before - 1.645)]
        both = [
            Flags.at(
                ai, operating_point(human, rate).threshold, drawn_thresholds(human, rate, design.calibration)
            )
            for human, ai in ((people, before), (alike[0], alike[1] + 1.645))
        ]
        apart = share_difference(both[1], everybody, both[0], everybody, design.ai)
        for i, found in enumerate((success, apart)):
            held[i] += found.low <= truth[i] <= found.high
    assert (held / trials > 0.92).all()
    assert (held / trials < 0.985).all()


def test_a_paired_difference_is_narrower_and_that_of_a_detector_to_itself_nothing():
    draw = np.random.default_rng(0)
    scores, n = draw.normal(1, 1, 100), 100
    close = scores + draw.normal(0, 0.05, n)
    drawn, everybody = resample(list(map(str, range(n))), 500, 0), np.ones(n, dtype=bool)
    one, two = (Flags.at(x, 1.0, np.full(500, 1.0)) for x in (scores, close))
    itself = share_difference(one, everybody, one, everybody, drawn)
    assert itself.value == 0.0
    assert max(-itself.low, itself.high) < 0.03  # the prior alone: half a text of a hundred
    pair = share_difference(two, everybody, one, everybody, drawn)
    half = everybody & (np.arange(n) < 50)
    apart = share_difference(one, half, one, ~half, drawn)
    assert pair.high - pair.low < (apart.high - apart.low) / 2
    assert (pair.n, apart.n) == (100, 100)
    assert pair.low <= pair.value <= pair.high


@pytest.mark.parametrize(("both", "one", "other"), [(5, 3, 1), (0, 2, 0), (20, 8, 3)])
def test_a_paired_difference_as_set_is_near_that_of_agresti_and_min(both, one, other):
    """Half a text is added to each of the four outcomes, then the normal interval is taken."""
    n = 60
    first, second = np.zeros(n), np.zeros(n)
    first[: both + one] = second[:both] = second[both + one : both + one + other] = 1.0
    drawn, everybody = resample(list(map(str, range(n))), 20_000, 0), np.ones(n, dtype=bool)
    found = share_difference(Flags(first, first), everybody, Flags(second, second), everybody, drawn)
    b, c, m = one + 0.5, other + 0.5, n + 2.0
    half = stats.norm.ppf(0.975) * np.sqrt(b + c - (b - c) ** 2 / m) / m
    assert found.value == pytest.approx((one - other) / n)
    assert (found.low, found.high) == pytest.approx(((b - c) / m - half, (b - c) / m + half), abs=0.012)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # by hand from Agresti & Caffo 2000: p~ = (k + 1) / (n + 2), Wald
        ((56, 70, 48, 80), (0.052453, 0.335758)),
        ((0, 10, 0, 10), (-0.221150, 0.221150)),
        ((10, 10, 0, 20), (0.692243, 1.0)),
    ],
)
def test_the_difference_of_two_proportions_is_that_of_agresti_and_caffo(counts, expected):
    k, n, j, m = counts
    assert agresti_caffo(k / n, n, j / m, m) == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_it_always_holds_the_difference_and_turns_round(n, m, data):
    p, q = data.draw(st.integers(0, n)) / n, data.draw(st.integers(0, m)) / m
    low, high = agresti_caffo(p, n, q, m)
    assert -1.0 <= low <= p - q <= high <= 1.0
    assert agresti_caffo(q, m, p, n) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("value", "k"), [(0.0, 0), (1.0, 9)])
def test_a_share_of_none_or_all_has_the_exact_interval(value, k):
    found = share_interval(value, np.full(100, value), 9)
    assert (found.low, found.high) == pytest.approx(clopper_pearson(k, 9))
    wider = share_interval(value, np.array([0.0, 1.0] * 50), 9)
    assert (wider.low, wider.high) == (0.0, 1.0)


def test_a_share_in_between_has_the_interval_of_its_draws():
    resampled = np.linspace(0.2, 0.6, 101)
    assert share_interval(0.4, resampled, 9) == interval(0.4, resampled, 9)


def test_without_resamples_or_documents_there_is_a_figure_and_no_interval():
    assert share_interval(1.0, np.array([np.nan]), 5).low is None
    assert share_interval(1.0, np.ones(9), 1).low is None
    assert share_interval(np.nan, np.ones(9), 0).value is None


def test_transfer_is_the_mean_of_the_cells_in_every_draw():
    draw = np.random.default_rng(3)
    n, m, rate = 20, 80, 0.1
    design = Design.of(documents(n, "a"), documents(5, "h"), documents(m, "c"), resamples=60, seed=0)
    cells = {}
    for name in ("one", "two"):
        before, calibration = draw.normal(1, 1, n), draw.normal(0, 1, m)
        original = Originals.of(
            calibrated(calibration, rate), before, draw.normal(0, 1, 5), calibration, (rate,), design
        )
        cells[name] = cell_figures(original, before - 1, np.arange(n), design)
    (row,) = transfer("r", "family", False, cells)
    points = [cells[name].points[rate] for name in cells]
    assert row.detectors == ("one", "two")
    for what in ("tpr_before", "tpr_after", "attack_success_rate"):
        estimate, figures = getattr(row, what), [getattr(p, what) for p in points]
        assert estimate.value == pytest.approx(np.mean([f.value for f in figures]))
        mean = np.mean([f.draws for f in figures], axis=0)
        assert (estimate.low, estimate.high) == pytest.approx(
            tuple(np.percentile(mean, [2.5, 97.5], method="weibull"))
        )


def test_transfer_leaves_out_a_detector_that_flagged_nothing_before():
    design = Design.of(documents(3, "a"), documents(2, "h"), documents(4, "c"), resamples=20, seed=0)
    humans, calibration, rate = np.zeros(2), np.arange(4.0), 0.25
    blind, sharp = np.zeros(3), np.full(3, 9.0)
    cells = {
        name: cell_figures(
            Originals.of(calibrated(calibration, rate), before, humans, calibration, (rate,), design),
            np.zeros(3),
            np.arange(3),
            design,
        )
        for name, before in (("blind", blind), ("sharp", sharp))
    }
    (row,) = transfer("r", "family", True, cells)
    assert row.attack_success_rate.value == 1.0
    assert row.tpr_before.value == 0.5
    (alone,) = transfer("r", "family", True, {"sharp": cells["sharp"]})  # nor does it enter any draw
    assert row.attack_success_rate == alone.attack_success_rate
