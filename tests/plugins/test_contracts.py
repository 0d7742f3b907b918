"""The contract classes pass what keeps the contract and catch what breaks it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paraphrase_rl import Document, Failure, Measurements, RewardBatch, Scores, Terms
from paraphrase_rl.plugin import Context, MetricSpec
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import NoOptions
from paraphrase_rl.testing import (
    DatasetContract,
    DetectorContract,
    FakeDetector,
    MetricContract,
    RewardContract,
)

VOWEL_PAIRS = [
    ("Our aerial idea: a quiet aurora over Ohio.", "Rhythms fly by, shy myths dry my lynx's crypt.")
]


class TestVowels(DetectorContract):
    """The tutorial's detector, loaded from its file."""

    pairs = (*VOWEL_PAIRS,)

    @pytest.fixture(autouse=True)
    def _importable(self, third_party: Path) -> None:
        """The distribution stands in a folder beside this file."""

    def make(self) -> Any:
        import acme_vowels

        return acme_vowels.Vowels(acme_vowels.VowelOptions(), Context())


class Brevity:
    def __call__(self, batch: RewardBatch) -> Terms:
        return Terms(np.array([1.0 / (1 + len(rewrite)) for rewrite in batch.rewrites], dtype=np.float64))


class TestBrevity(RewardContract):
    pairs = (("Short.", "Not quite as short."), ("", "A word."))

    def make(self) -> Any:
        return Brevity()


class Growth:
    """Letters added to the source; a rewrite without a letter fails."""

    def __call__(self, batch: RewardBatch) -> Measurements:
        lengths = [
            len(rewrite) - len(source.text) if rewrite.strip() else np.nan
            for source, rewrite in zip(batch.sources, batch.rewrites, strict=True)
        ]
        values = np.array(lengths, dtype=np.float64).clip(0)
        failures = [
            Failure(index=i, owner="growth", kind="no-text", message="nothing to measure")
            for i in np.flatnonzero(np.isnan(values)).tolist()
        ]
        return Measurements({"growth": values}, tuple(failures))


class TestGrowth(MetricContract):
    spec = MetricSpec(
        name="growth",
        summary="letters added",
        better="lower",
        range=(0.0, float("inf")),
        factory=lambda options, context: Growth(),
    )
    rewrites = ("Short.", "long " * 80, "longer " * 80)

    def make(self) -> Any:
        return Growth()


class Letters:
    documents_given: Sequence[Document] = tuple(
        Document(id=f"letter-{i}", text=f"Letter {i}.", label="human", pair=f"p{i // 2}", split=split)
        for i, split in enumerate(("train", "train", "test", "test"))
    )

    def documents(self) -> Iterable[Document]:
        return iter(self.documents_given)

    def description(self) -> str:
        return "Four letters, written for this test, MIT."


class TestLetters(DatasetContract):
    def make(self) -> Any:
        return Letters()


def test_the_fake_detector_is_uniform_and_deterministic() -> None:
    texts = [f"text {i}" for i in range(400)]
    values = FakeDetector().score(texts).values
    assert np.array_equal(values, FakeDetector().score(texts).values)
    assert values[0] == int(hashlib.sha256(b"text 0").hexdigest()[:8], 16) / 2**32
    assert 0 <= values.min() < 0.05
    assert 0.95 < values.max() < 1
    assert abs(values.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 400)


class Crooked(FakeDetector):
    """A detector with one fault."""

    def __init__(self, fault: Callable[[Sequence[str], Scores], Scores]) -> None:
        self.fault = fault

    def score(self, texts: Sequence[str]) -> Scores:
        return self.fault(texts, FakeDetector().score(texts))


def changed(scores: Scores, values: Any) -> Scores:
    values = np.where(scores.scored, values, np.nan)
    return Scores(values, scores.failures)


def raise_on_odd(texts: Sequence[str], scores: Scores) -> Scores:
    if any("\x00" in text for text in texts):
        raise ValueError("embedded null byte")
    return scores


FAULTS: dict[str, tuple[Callable[[Sequence[str], Scores], Scores], str]] = {
    "centred on its batch": (
        lambda texts, s: changed(s, s.values - (np.nanmean(s.values) if s.scored.any() else 0.0)),
        "test_batch_mates_do_not_matter",
    ),
    "sorted": (lambda texts, s: changed(s, np.sort(s.values)), "test_the_order_of_texts_does_not_matter"),
    "a half for an empty text": (
        lambda texts, s: Scores(np.nan_to_num(s.values, nan=0.5)),
        "test_odd_texts_fail_and_do_not_crash",
    ),
    "crashes on a NUL": (raise_on_odd, "test_odd_texts_fail_and_do_not_crash"),
    "one score too few": (lambda texts, s: Scores(s.values[:-1]), "test_one_score_a_text"),
    "bare array": (lambda texts, s: s.values, "test_one_score_a_text"),  # type: ignore[dict-item,return-value]
    "one score for none": (lambda texts, s: s if texts else Scores(np.zeros(1)), "test_no_texts"),
    "cut without a word": (
        lambda texts, s: FakeDetector().score([text[:300] for text in texts]),
        "test_what_is_cut_off_is_said",
    ),
    "drawn at random": (
        lambda texts, s: changed(s, np.random.default_rng().random(len(texts))),
        "test_the_same_text_scores_the_same",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_detector_contract_catches(fault: str) -> None:
    function, test = FAULTS[fault]

    class Contract(DetectorContract):
        def make(self) -> Any:
            return Crooked(function)

    with pytest.raises((AssertionError, ValueError)):
        getattr(Contract(), test)()


def test_the_detector_contract_catches_the_wrong_direction(third_party: Path) -> None:
    class Contract(TestVowels):
        pairs = tuple((second, first) for first, second in VOWEL_PAIRS)

    with pytest.raises(AssertionError, match="AI-like texts score"):
        Contract().test_higher_is_more_likely_ai()


class Running(Brevity):
    """Subtracts what it saw before."""

    seen = 0

    def __call__(self, batch: RewardBatch) -> Terms:
        self.seen += len(batch)
        return Terms(super().__call__(batch).values / self.seen)


class Relative(Brevity):
    """Divides by the best of the batch."""

    def __call__(self, batch: RewardBatch) -> Terms:
        values = super().__call__(batch).values
        return Terms(values / values.max() if len(values) else values)


class Lengthy(Brevity):
    def __call__(self, batch: RewardBatch) -> Terms:
        return Terms(1 - super().__call__(batch).values)


@pytest.mark.parametrize(
    ("reward", "test"),
    [
        (Running, "test_there_is_no_running_state"),
        (Relative, "test_items_are_judged_on_their_own"),
        (Lengthy, "test_the_better_rewrite_is_paid_more"),
    ],
)
def test_the_reward_contract_catches(reward: type[Brevity], test: str) -> None:
    class Contract(TestBrevity):
        def make(self) -> Any:
            return reward()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


class Negative(Growth):
    def __call__(self, batch: RewardBatch) -> Measurements:
        found = super().__call__(batch)
        return Measurements({"growth": -1 - found.values["growth"]}, found.failures)


class Upwards(Growth):
    def __call__(self, batch: RewardBatch) -> Measurements:
        found = super().__call__(batch)
        return Measurements({"growth": 1e6 - found.values["growth"]}, found.failures)


class Ranked(Growth):
    """Its place in the batch."""

    def __call__(self, batch: RewardBatch) -> Measurements:
        values = super().__call__(batch).values["growth"]
        return Measurements({"growth": values.argsort().argsort().astype(np.float64)})


class Misnamed(Growth):
    def __call__(self, batch: RewardBatch) -> Measurements:
        return Measurements({"size": super().__call__(batch).values["growth"]})


class Crashing(Growth):
    def __call__(self, batch: RewardBatch) -> Measurements:
        assert all(rewrite.strip() for rewrite in batch.rewrites), "an empty rewrite"
        return super().__call__(batch)


@pytest.mark.parametrize(
    ("metric", "test"),
    [
        (Negative, "test_ordinary_rewrites_have_values"),
        (Upwards, "test_the_direction_is_what_the_spec_says"),
        (Ranked, "test_a_value_depends_on_its_own_rewrite"),
        (Misnamed, "test_no_rewrites"),
        (Crashing, "test_odd_rewrites_do_not_crash"),
    ],
)
def test_the_metric_contract_catches(metric: type[Growth], test: str) -> None:
    class Contract(TestGrowth):
        def make(self) -> Any:
            return metric()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_a_failure_of_a_metric_belongs_to_a_missing_value() -> None:
    failure = Failure(index=0, owner="growth", kind="odd", message="why")
    assert Measurements({"growth": np.array([np.nan])}, (failure,)).failures == (failure,)
    for values in ({"growth": np.array([1.0])}, {"size": np.array([np.nan])}):
        with pytest.raises(ValueError, match="belongs to no missing value"):
            Measurements(values, (failure,))


class Shuffled(Letters):
    turn = 0

    def documents(self) -> Iterable[Document]:
        self.turn += 1
        return self.documents_given[self.turn % 2 :]


class Torn(Letters):
    documents_given = (*Letters.documents_given[:3], Document(id="d", text="D.", pair="p0", split="test"))


class Repeated(Letters):
    documents_given = (*Letters.documents_given, Letters.documents_given[0])


class HalfSplit(Letters):
    documents_given = (*Letters.documents_given, Document(id="d", text="D."))


@pytest.mark.parametrize(
    ("source", "test"),
    [
        (Shuffled, "test_the_order_is_stable"),
        (Torn, "test_splits_are_whole"),
        (HalfSplit, "test_splits_are_whole"),
        (Repeated, "test_ids_are_unique"),
    ],
)
def test_the_dataset_contract_catches(source: type[Letters], test: str) -> None:
    class Contract(TestLetters):
        def make(self) -> Any:
            return source()

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_prl_registry_builds_what_it_is_given(
    prl_registry: Callable[..., Registry], third_party: Path
) -> None:
    import acme_vowels

    registry = prl_registry(vowels=acme_vowels)
    assert [entry.full_name for entry in registry.entries()] == ["vowels/vowels"]
    scores = registry.build("detectors", "vowels").score(["aab", "xyz"])
    assert scores.values.tolist() == pytest.approx([2 / 3, 0.0])
    assert registry.options("detectors", "vowels").model_dump() == {"vowels": "aeiou"}
    assert NoOptions().model_dump() == {}


def test_what_pytest_loads_at_its_start_is_cheap() -> None:
    code = "import sys, paraphrase_rl.testing.pytest_plugin; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(result.stdout.split())
    assert "paraphrase_rl.testing.pytest_plugin" in modules
    assert (
        modules
        & {
            "pydantic",
            "numpy",
            "yaml",
            "torch",
            "paraphrase_rl.plugin.registry",
            "paraphrase_rl.plugin.discovery",
        }
        == set()
    )
