"""Direction and range of the terms that ask a model, with models whose answers are known; one test with real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewards.detector_evasion import DetectorEvasion, EvasionOptions
from paraphrase_rl_plugins.rewards.facts import Facts
from paraphrase_rl_plugins.rewards.fairness import Fairness
from paraphrase_rl_plugins.rewards.fluency import Fluency
from paraphrase_rl_plugins.rewards.semantic_similarity import SemanticSimilarity

from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.detection.ensemble import CalibratedEnsemble
from paraphrase_rl.detection.fitting import BuiltDetector, calibrate_detector
from paraphrase_rl.errors import PluginError, RecipeError
from paraphrase_rl.models.embeddings import chunked
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin import Context
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.testing import RewardContract
from paraphrase_rl.training.reward import build_reward
from paraphrase_rl.types import Document, Failure, FloatArray, Scores
from tests.rewards.samples import PARAPHRASE, SOURCE, UNRELATED, TableEnsemble, make_batch


class LetterEncoder:
    """Counts of a to z, unit length: a cosine that can be worked out by hand. It reads 1,000 characters."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        counts = np.array(
            [[t[:1000].lower().count(chr(c)) for c in range(97, 123)] for t in texts], dtype=np.float64
        )
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


class SignedEncoder:
    """``yes`` and ``no`` point in opposite directions."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        return np.array([[1.0, 0.0] if text == "yes" else [-1.0, 0.0] for text in texts])


def statistics(logprobs: Sequence[float]) -> TokenStatistics:
    values = np.array(logprobs, dtype=np.float32)
    return TokenStatistics(values, np.ones(len(values), np.int32), -values, values * 0, False)


class WordModel:
    """Every distinct word costs 4 nats, a word seen before 0.01, a word without a vowel 9; two words at least."""

    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> TokenStatistics | Failure:
        words = text.lower().split()
        if len(words) < 2:
            return Failure(index=7, owner="language-model", kind="too-short", message="fewer than two tokens")
        return statistics(
            [
                -0.01 if word in words[:i] else (-4.0 if set(word) & set("aeiou1234567890") else -9.0)
                for i, word in enumerate(words)
            ]
        )


class TestEvasionContract(RewardContract):
    pairs = (("human", "machine"), ("middling", "machine"))

    def make(self) -> Any:
        return DetectorEvasion(TableEnsemble({"human": 0.1, "middling": 0.5, "machine": 1.0}))


class TestSimilarityContract(RewardContract):
    source = Document(id="s", text=SOURCE)
    pairs = ((SOURCE, UNRELATED), (PARAPHRASE, "zzz qqq xxx"), ("boats", ""))

    def make(self) -> Any:
        return SemanticSimilarity(LetterEncoder())


class TestFluencyContract(RewardContract):
    pairs = ((PARAPHRASE, "xkcd vbnm qwrt plkj hgfd"), (PARAPHRASE, "boats " * 40))

    def make(self) -> Any:
        return Fluency(WordModel(), low=20, high=80, softness=0.5)


class TestFairnessContract(RewardContract):
    source = Document(id="s", text=SOURCE, group="non-native")
    pairs = (("human", "machine"),)

    def make(self) -> Any:
        ensemble = TableEnsemble({"human": 0.1, "machine": 1.0})
        return Fairness(DetectorEvasion(ensemble), ["non-native"])


def test_evasion_is_one_minus_p_with_each_detectors_p_beside_it() -> None:
    terms = DetectorEvasion(TableEnsemble({"a": 0.25, "b": 1.0}))(make_batch(["a", "b"]))
    assert terms.values.tolist() == [0.75, 0.0]
    assert terms.details["p_first"].tolist() == [0.25, 1.0]
    assert terms.details["p_second-one"].tolist() == [0.125, 0.5]


def test_a_text_without_p_is_a_failure_not_a_half() -> None:
    terms = DetectorEvasion(TableEnsemble({"a": 0.25}))(make_batch(["a", "?", "a"]))
    assert np.isnan(terms.values[1])
    assert [(f.index, f.kind) for f in terms.failures] == [(1, "too-short")]


class Scored:
    """A detector whose score is the number that the text is; another text fails."""

    def score(self, texts: Sequence[str]) -> Scores:
        values = np.array([float(t) if t.lstrip("-").replace(".", "").isdigit() else np.nan for t in texts])
        failures = tuple(
            Failure(index=i, owner="scored", kind="too-short", message="no number")
            for i in np.flatnonzero(np.isnan(values)).tolist()
        )
        return Scores(values, failures)

    def provenance(self) -> dict[str, str]:
        return {}


class Halved(Scored):
    """The same at half the score; a text with a point fails."""

    def score(self, texts: Sequence[str]) -> Scores:
        return super().score([text if "." in text else "none" for text in texts])


def two_detectors(combine: str = "mean") -> CalibratedEnsemble:
    """The second reads only numbers with a point, and tells human from AI less well."""
    human, ai = np.arange(0.0, 40.0), np.arange(20.0, 60.0)
    texts = CalibrationTexts.of([], source="numbers")
    scores = {"strong": (human, ai + 10), "weak": (human, ai)}
    members = [
        calibrate_detector(
            BuiltDetector(name=name, detector=Scored() if name == "strong" else Halved()),
            Scores(h),
            Scores(a),
            (0.05,),
            texts,
        )
        for name, (h, a) in scores.items()
    ]
    return CalibratedEnsemble(members, combine)


@pytest.mark.parametrize("shape", ["probability", "threshold"])
@pytest.mark.parametrize("combine", ["mean", "worst-case"])
@given(score=st.floats(-50, 100, allow_nan=False).map(lambda x: round(x, 3)))
def test_a_detector_that_fails_is_never_a_gain(shape: str, combine: str, score: float) -> None:
    reward = DetectorEvasion(two_detectors(combine), EvasionOptions(shape=shape))
    both, only_one = f"{score:.3f}", f"{round(score)}"
    same = f"{round(score)}.0"
    values = reward(make_batch([both, only_one, same])).values
    assert values[1] <= values[2] + 1e-12
    assert ((values >= 0) & (values <= 1)).all()


@given(scores=st.lists(st.floats(-50, 100).map(lambda x: round(x, 2)), min_size=2, max_size=2))
def test_threshold_shape_never_rises_with_the_score_and_is_full_below_the_margin(scores: list[float]) -> None:
    ensemble = two_detectors()
    low, high = sorted(scores)
    reward = DetectorEvasion(ensemble, EvasionOptions(shape="threshold", margin=0.5, width=2.0))
    better, worse = reward(make_batch([f"{low:.2f}", f"{high:.2f}"])).values
    assert better >= worse
    full = min(
        m.calibration.target.threshold - 0.5 * m.calibration.probability.scale for m in ensemble.members
    )
    deep = reward(make_batch([f"{full - 0.01:.2f}", f"{full - 30:.2f}"])).values
    assert deep.tolist() == [1.0, 1.0]


def test_threshold_shape_by_hand() -> None:
    ensemble = two_detectors()
    strong, weak = ensemble.members
    reward = DetectorEvasion(ensemble, EvasionOptions(shape="threshold", margin=0.0, width=2.0))
    at = strong.calibration.target.threshold + strong.calibration.probability.scale
    below_weak = (weak.calibration.target.threshold - round(at, 2)) / weak.calibration.probability.scale
    expected = (0.5 + min(1.0, max(0.0, 1 + below_weak / 2))) / 2
    assert reward(make_batch([f"{at:.2f}"])).values[0] == pytest.approx(expected, abs=1e-3)


def test_weights_by_power_follow_auroc() -> None:
    ensemble = two_detectors()
    judged = ensemble.judge(["40.0"])
    powers = {m.name: 2 * m.calibration.probability.auroc - 1 for m in ensemble.members}
    assert judged.powers == powers
    assert powers["strong"] > powers["weak"] > 0
    p = [judged.probabilities[name].values[0] for name in powers]
    expected = 1 - np.average(p, weights=list(powers.values()))
    found = DetectorEvasion(ensemble, EvasionOptions(weights="power"))(make_batch(["40.0"])).values[0]
    assert found == pytest.approx(expected)
    plain = DetectorEvasion(ensemble)(make_batch(["40.0"])).values[0]
    assert plain == pytest.approx(1 - np.mean(p))


class TestFactsContract(RewardContract):
    pairs = (
        ("The office counted 214 boats in June, nine more than before.", "The office counted boats."),
        ("In June 214 boats, nine more.", "In June 214 boats, nine more, not 30 of them in Leeds."),
    )

    def make(self) -> Any:
        return Facts()


def test_facts_by_hand() -> None:
    source = "In 2019 Anna Berg met 12 men. She did not see Leeds."
    rewrites = [
        "She did not visit Leeds, but in 2019 Anna Berg met twelve men.",
        "In 2019 Anna met 12 men.",  # Berg and Leeds lost, and the negation
        "In 2019 Anna Berg met 12 of 30 men. She never saw Leeds or Hull.",
        "",
    ]
    terms = Facts()(make_batch(rewrites, source=source))
    np.testing.assert_allclose(terms.details["numbers"], [1, 1, 2 / 3, 0])
    np.testing.assert_allclose(terms.details["names"], [1, 1 / 3, 3 / 4, 0])
    np.testing.assert_allclose(terms.details["negations"], [1, 0, 1, 0])
    np.testing.assert_allclose(terms.values, [1, 4 / 9, (2 / 3 + 3 / 4 + 1) / 3, 0])
    plain = Facts()(make_batch(["A cat sat.", "A cat sat in Rome."], source="A cat was sitting."))
    assert plain.values.tolist() == [1.0, 0.0]
    assert np.isnan(plain.details["numbers"]).all()


texts = st.text(st.sampled_from("Anna Berg 12 thirty not never. Leeds,x"), max_size=60)


@given(texts, texts)
def test_facts_of_any_text_lie_in_0_to_1_and_a_copy_has_all(source: str, rewrite: str) -> None:
    values = Facts()(make_batch([rewrite, source], source=source)).values
    assert 0.0 <= values[0] <= 1.0
    assert values[1] == 1.0


@pytest.mark.parametrize("name", ["detector-evasion", "fairness"])
def test_no_detectors_is_said_with_a_hint(name: str) -> None:
    with pytest.raises(PluginError, match=name) as caught:
        default_registry().build("rewards", name)
    assert "detectors" in caught.value.hint


def test_fairness_asks_about_the_protected_alone() -> None:
    ensemble = TableEnsemble({"a": 0.9, "b": 0.2})
    reward = Fairness(DetectorEvasion(ensemble), ["non-native"])
    terms = reward(make_batch(["a", "a", "?", "b"], groups=["native", "non-native", "non-native", None]))
    np.testing.assert_allclose(terms.values, [1.0, 0.1, np.nan, 1.0])
    assert [f.index for f in terms.failures] == [2]
    assert ensemble.asked == ["a", "?"]
    assert terms.details["protected"].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_fairness_groups_are_an_option() -> None:
    context = Context(ensemble=TableEnsemble({"a": 0.9}))
    reward = default_registry().build("rewards", "fairness", {"groups": ["esl"]}, context)
    values = reward(make_batch(["a", "a"], groups=["esl", "non-native"])).values
    np.testing.assert_allclose(values, [0.1, 1.0])
    with pytest.raises(RecipeError, match="groups"):
        default_registry().build("rewards", "fairness", {"groups": []}, context)


def test_similarity_is_the_plain_cosine() -> None:
    terms = SemanticSimilarity(LetterEncoder())(make_batch(["aab", "abb", "bb", "ccc", "BAA!"], source="aab"))
    # (2, 1) with (2, 1), (1, 2), (0, 1), nothing in common, (2, 1)
    np.testing.assert_allclose(terms.values, [1.0, 4 / 5, 1 / math.sqrt(5), 0.0, 1.0], atol=1e-12)


def test_opposite_embeddings_are_0_not_negative_and_not_rescaled() -> None:
    assert SemanticSimilarity(SignedEncoder())(make_batch(["yes", "no"], source="yes")).values.tolist() == [
        1.0,
        0.0,
    ]


def test_an_empty_rewrite_keeps_no_meaning_and_an_empty_source_cannot_be_judged() -> None:
    similarity = SemanticSimilarity(LetterEncoder())
    assert similarity(make_batch(["", " \n", "…", "\ud800"])).values.tolist() == [0.0] * 4
    terms = similarity(make_batch([SOURCE, ""], source="🙂"))
    assert [f.kind for f in terms.failures] == ["no-text"] * 2


def test_text_beyond_the_encoders_limit_counts() -> None:
    first, second = "Aaaa bbb aa. " * 100, "Cccc ddd cc. " * 100
    similarity = SemanticSimilarity(LetterEncoder())
    whole, half = similarity(make_batch([first + second, first], source=first + second)).values
    assert whole == pytest.approx(1.0)
    # the mean of two orthogonal unit vectors, with one of them
    assert half == pytest.approx(math.sqrt(0.5), abs=0.02)


@pytest.mark.parametrize(
    "text", ["Aaa bbb. " * 300, "x" * 5000, "船" * 900, "a\n" * 2000, "Short.", "🙂é" * 700]
)
def test_chunks_lose_nothing_and_fit_the_encoder(text: str) -> None:
    chunks = list(chunked(text))
    assert all(sum(1 if c > "\x7f" else 0.25 for c in chunk) <= 200 for chunk in chunks)
    assert "".join(chunks) == text


def test_fluency_by_hand() -> None:
    class Fixed:
        def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]:
            return [statistics([-math.log(float(text))] * 4) for text in texts]

    reward = Fluency(Fixed(), low=20, high=80, softness=0.5)
    terms = reward(make_batch(["20", "40", "80", "160", "10", "1000000", "1.0001"]))
    falling = math.exp(-0.5 * (math.log(2) / 0.5) ** 2)
    np.testing.assert_allclose(terms.values[:5], [1, 1, 1, falling, falling], rtol=1e-5)
    assert (terms.values[5:] < 1e-6).all()
    np.testing.assert_allclose(terms.details["perplexity"][:3], [20, 40, 80], rtol=1e-5)


def test_fluency_of_an_unscorable_text_is_a_failure_at_its_place() -> None:
    terms = Fluency(WordModel(), low=20, high=80, softness=0.5)(make_batch([PARAPHRASE, "", "word"]))
    assert [(f.index, f.owner, f.kind) for f in terms.failures] == [
        (1, "fluency", "too-short"),
        (2, "fluency", "too-short"),
    ]
    assert np.isnan(terms.values[1:]).all()


def test_fluency_refuses_a_band_upside_down() -> None:
    with pytest.raises(RecipeError, match="low must be smaller"):
        default_registry().build("rewards", "fluency", {"low": 50, "high": 40})


@pytest.mark.models
def test_with_the_real_models_what_should_pay_pays_and_what_should_not_does_not() -> None:
    registry = default_registry()
    similarity, fluency = (registry.build("rewards", name) for name in ("semantic-similarity", "fluency"))
    stuffed = (
        "harbour office boats June fishing villages bay pier storms winter harbour master stone pier boats"
    )
    gibberish = "qlorp vint sazzle 8f bromp xetty olm grast finque darm zolly prent kwee uth mibble sarn toz"
    loop = "the boats in the harbour and the boats in the harbour and " * 5
    rewrites = [
        PARAPHRASE,
        SOURCE,
        UNRELATED,
        stuffed,
        gibberish,
        loop,
        SOURCE.replace("o", "\u043e"),
        "",
        "\x00",
        "\ud800",
        "🙂",
    ]
    batch = make_batch(rewrites)
    meaning, readable = similarity(batch), fluency(batch)
    paraphrase, copy, unrelated, *_ = meaning.values
    assert copy == pytest.approx(1.0, abs=1e-6)
    assert copy > paraphrase > 0.7 > 0.4 > unrelated
    assert readable.values[0] > 0.9
    assert readable.values[2] > 0.9
    assert (readable.values[3:6] < 0.5).all()
    order = list(reversed(range(7)))
    assert all(failure.index >= 7 for failure in readable.failures)
    for reward, together in ((similarity, meaning), (fluency, readable)):
        np.testing.assert_allclose(reward(batch.subset(order)).values[::-1], together.values[:7], atol=1e-5)

    ensemble = TableEnsemble(dict.fromkeys(rewrites, 0.5))
    composed = build_reward(Recipe(), registry, Context(ensemble=ensemble), corpus_has_groups=False)
    outcome = composed(batch)
    paid = outcome.total.tolist()
    assert paid[0] > 0.7
    assert paid[0] == max(paid)
    assert paid[1] == paid[5] == paid[6] == 0.0
    assert not np.isnan(paid[:7]).any()
