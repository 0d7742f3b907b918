"""Shares of tokens and n-grams in a score, and the direction in which they push."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.detectors import (
    entropy,
    fast_detectgpt,
    gltr,
    lastde,
    log_likelihood,
    log_rank,
    lrr,
    tfidf,
)

from paraphrase_rl.detection.decision import Decision
from paraphrase_rl.detection.explaining import ExplainedScore, explained, rank_class, token_views
from paraphrase_rl.detection.zero_shot import TOKEN_MEASURES, Undefined
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.types import Document, Explanation, Failure, Share
from tests.tiny_model import save_tiny_model

FUNCTIONS: list[tuple[Callable[..., float], Callable[..., np.ndarray]]] = [
    (log_likelihood.log_likelihood, log_likelihood.shares),
    (log_rank.log_rank, log_rank.shares),
    (entropy.entropy, entropy.shares),
    (gltr.gltr, gltr.shares),
    (fast_detectgpt.fast_detectgpt, fast_detectgpt.shares),
    (lrr.lrr, lrr.shares),
    (lastde.lastde, lastde.shares),
]


@st.composite
def statistics(draw: st.DrawFn) -> TokenStatistics:
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return TokenStatistics(
        logprob=(-rng.exponential(2.0, n)).astype(np.float32),
        rank=rng.integers(1, 5000, n).astype(np.int32),
        entropy=rng.uniform(0, 8, n).astype(np.float32),
        variance=rng.uniform(0, 9, n).astype(np.float32),
        **CUT,
    )


CUT = (
    {"truncated": False}
    if "truncated" in TokenStatistics.__dataclass_fields__
    else dict.fromkeys(
        set(TokenStatistics.__dataclass_fields__) - {"logprob", "rank", "entropy", "variance"}, 0
    )
)


@pytest.mark.parametrize(("score", "shares"), FUNCTIONS, ids=lambda f: f"{f.__module__.rpartition('.')[2]}")
@given(given_statistics=statistics())
def test_the_shares_of_the_tokens_add_up_to_the_score(
    score: Callable[..., float], shares: Callable[..., np.ndarray], given_statistics: TokenStatistics
) -> None:
    try:
        value = score(given_statistics)
    except Undefined:
        return
    found = shares(given_statistics)
    assert found.shape == (len(given_statistics),)
    assert math.fsum(found) == pytest.approx(value, rel=1e-9, abs=1e-9)


TEXTS = {
    "human": [
        "My gran's kettle whistled; nobody minded it.",
        "Rain again. The dog slept on two of my shoes.",
    ],
    "ai": [
        "It is important to note that kettles are useful.",
        "In conclusion, dogs are important companions.",
    ],
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> tfidf.Tfidf:
    folder = tmp_path_factory.mktemp("tfidf")
    documents = [
        Document(id=f"{label}-{i}", text=text, label=label, split="train")  # type: ignore[arg-type]
        for label, texts in TEXTS.items()
        for i, text in enumerate(texts)
    ]
    options = tfidf.TfidfOptions(folder=str(folder))
    tfidf.fit(options, documents, folder)
    return tfidf.Tfidf(options, Context())


@pytest.mark.parametrize(
    "text", [*TEXTS["human"], *TEXTS["ai"], "Dogs,\n\nDOGS and   kettles\tare important. " * 60]
)
def test_the_shares_of_n_grams_and_the_intercept_add_up_to_the_score(
    detector: tfidf.Tfidf, text: str
) -> None:
    found = detector.explain(text)
    assert isinstance(found, Explanation)
    (score,) = detector.score([text]).values
    assert found.score == pytest.approx(score, abs=1e-9)
    assert found.base + math.fsum(share.value for share in found.shares) == pytest.approx(score, abs=1e-6)


def test_an_n_gram_stands_where_it_is_said_to_stand(detector: tfidf.Tfidf) -> None:
    text = "Important to dogs: two\nkettles, IMPORTANT to dogs."
    found = detector.explain(text)
    assert isinstance(found, Explanation)
    placed = {share.text: share.spans for share in found.shares}
    assert placed["important"] == ((0, 9), (32, 41))
    assert placed["important to"] == ((0, 12), (32, 44))
    for share in found.shares:
        assert share.spans, share
        for start, end in share.spans:
            flat = re.sub(r"[\s\W]+", " ", text[start:end].lower()).strip()
            assert re.sub(r"[\s\W]+", " ", share.text).strip() == flat


def test_what_a_detector_does_not_read_is_said(detector: tfidf.Tfidf) -> None:
    found = detector.explain("dogs " * 200 + "kettles are important")
    assert isinstance(found, Explanation)
    assert found.read == len("dogs " * 200) - 1
    assert "kettles" not in {share.text for share in found.shares}


def test_a_text_without_a_score_has_a_failure(detector: tfidf.Tfidf) -> None:
    found = detector.explain("0")
    assert isinstance(found, Failure)
    assert explained(Decision(index=0, detector="tfidf"), found).parts == ()


def explanation(values: list[float], base: float = 0.0, is_mean: bool = True) -> Explanation:
    shares = tuple(Share(f"t{i}", ((i, i + 1),), v, {"rank": 1.0}) for i, v in enumerate(values))
    return Explanation(base + math.fsum(values), base, shares, len(values), is_mean)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(-9, 9))
def test_pushes_of_a_mean_add_up_to_the_distance_from_the_threshold(
    values: list[float], threshold: float
) -> None:
    found = explanation(values)
    score = explained(Decision(index=0, detector="d", score=found.score, threshold=threshold), found)
    assert math.fsum(part.push for part in score.parts) == pytest.approx(found.score - threshold, abs=1e-9)


def test_without_a_threshold_the_mean_of_the_text_is_neutral_and_features_push_by_their_share() -> None:
    assert [p.push for p in explained(Decision(index=0, detector="d"), explanation([1.0, 3.0])).parts] == [
        -1.0,
        1.0,
    ]
    features = explanation([1.0, 3.0], base=7.0, is_mean=False)
    assert [p.push for p in explained(Decision(index=0, detector="d", threshold=2.0), features).parts] == [
        1.0,
        3.0,
    ]


def test_the_strongest_of_each_direction() -> None:
    score = explained(
        Decision(index=0, detector="d", threshold=0.0), explanation([0.5, -2.0, 3.0, 0.0, -1.0])
    )
    assert [p.share.text for p in score.strongest(1, towards_ai=True)] == ["t2"]
    assert [p.share.text for p in score.strongest(9, towards_ai=False)] == ["t1", "t4"]


@pytest.mark.parametrize(
    ("rank", "expected"), [(1, 0), (10, 0), (11, 1), (100, 1), (101, 2), (1000, 2), (1001, 3)]
)
def test_rank_classes_are_those_of_gltr(rank: int, expected: int) -> None:
    assert rank_class(rank) == expected


def test_detectors_with_the_same_tokens_share_a_view() -> None:
    def score(name: str, values: list[float]) -> ExplainedScore:
        return explained(Decision(index=0, detector=name), explanation(values))

    groups = token_views([score("a", [1.0, 2.0]), score("b", [3.0, 4.0]), score("c", [1.0])])
    assert [[s.decision.detector for s in group] for group in groups] == [["a", "b"], ["c"]]


# ---- detectors as they are built: a small model, its tokens and their places


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("model")))


ESSAY = "The council voted on  Thursday,\nand nobody was surprised."


@pytest.mark.parametrize(
    "name", [f"{f.__module__.rpartition('.')[2].replace('_', '-')}" for f, _ in FUNCTIONS]
)
@pytest.mark.parametrize("max_tokens", [512, 20])
def test_the_tokens_of_a_text_stand_where_they_are_and_add_up_to_its_score(
    model: str, name: str, max_tokens: int
) -> None:
    built = default_registry().build("detectors", name, {"model": model, "max_tokens": max_tokens})
    found = built.explain(ESSAY)
    assert isinstance(found, Explanation)
    (score,) = built.score([ESSAY]).values
    assert found.base + math.fsum(share.value for share in found.shares) == pytest.approx(score, abs=1e-6)
    assert all(ESSAY[start:end] == share.text for share in found.shares for start, end in share.spans)
    assert found.shares[-1].spans[-1][1] == found.read
    assert (found.read == len(ESSAY)) == (max_tokens == 512), "the rest was not read"
    assert all(share.details["rank"] >= 1 for share in found.shares)


def test_what_a_detector_measures_of_a_text_beside_its_score(model: str, detector: tfidf.Tfidf) -> None:
    built = default_registry().build("detectors", "log-likelihood", {"model": model})
    measured = built.measures([ESSAY, "", ESSAY * 2])
    assert list(measured) == list(TOKEN_MEASURES)
    (statistics,) = shared_language_model(model).statistics([ESSAY])
    assert measured["likelihood of tokens"][0] == pytest.approx(statistics.logprob.mean())
    assert measured["ranks of tokens"][0] == pytest.approx(np.log(statistics.rank).mean())
    assert all(np.isnan(values[1]) and np.isfinite(values[[0, 2]]).all() for values in measured.values())
    known = detector.measures([TEXTS["human"][0], "zyxw qqqq vvvv", "..."])["known words"]
    assert known[0] == 1.0
    assert known[1] == 0.0
    assert np.isnan(known[2])
