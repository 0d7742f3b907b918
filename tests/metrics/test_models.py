"""Similarity, perplexity and gates: answers worked out by hand, and agreement with the rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from paraphrase_rl_plugins.metrics.perplexity import PerplexityRatio
from paraphrase_rl_plugins.metrics.similarity import Similarity
from paraphrase_rl_plugins.metrics.validity import Gates

from paraphrase_rl.evaluation.quality import build_quality, choose_metrics
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Failure, FloatArray, RewardBatch, Rewrite, Terms
from tests.rewards.samples import INSTRUCTION, PARAPHRASE, SOURCE, UNRELATED, make_batch


class LetterEncoder:
    """Counts of a to z, unit length; "yes" and "no" point in opposite directions."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        counts = np.array(
            [[t.lower().count(chr(c)) for c in range(97, 123)] for t in texts], dtype=np.float64
        )
        for i, text in enumerate(texts):
            if text in ("yes", "no"):
                counts[i] = (-1.0) ** (text == "no")
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


class WordModel:
    """A word costs as many nats as it has letters; two words at least."""

    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> TokenStatistics | Failure:
        costs = np.array([-len(word) for word in text.split()], dtype=np.float32)
        if len(costs) < 2:
            return Failure(index=3, owner="language-model", kind="too-short", message="too few tokens")
        return TokenStatistics(costs, np.ones(len(costs), np.int32), -costs, costs * 0, False)


def measured(metric: Any, rewrites: Sequence[str], source: str = SOURCE) -> tuple[FloatArray, list[Failure]]:
    found = metric(make_batch(rewrites, source))
    [values] = found.values.values()
    return values, list(found.failures)


def test_similarity_is_the_plain_cosine() -> None:
    part = Similarity(LetterEncoder())
    values, failures = measured(part, ["aab", "abb", "ccc", "..."], "aab")
    np.testing.assert_allclose(values, [1.0, 4 / 5, 0.0, 0.0], atol=1e-12)
    assert failures == []
    np.testing.assert_allclose(measured(part, ["no"], "yes")[0], [-1.0])
    values, failures = measured(part, ["a"], "!!")
    assert np.isnan(values).all()
    assert [(f.owner, f.kind) for f in failures] == [("semantic-similarity", "no-text")]


def test_perplexity_ratio_by_hand() -> None:
    # mean costs: 2 nats in the source; 2, 3 and 1 in the rewrites
    values, failures = measured(PerplexityRatio(WordModel()), ["bb bb bb", "bbb bbb", "b b", "b"], "aa aa")
    np.testing.assert_allclose(values, [1.0, math.e, 1 / math.e, np.nan])
    assert failures == [
        Failure(index=3, owner="perplexity-ratio", kind="too-short", message="the rewrite: too few tokens")
    ]
    values, failures = measured(PerplexityRatio(WordModel()), ["b b"], "a")
    assert np.isnan(values).all()
    assert failures[0].message == "the source: too few tokens"


class Allows:
    """Rewrites with a word; one that holds "?" cannot be judged."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, batch: RewardBatch) -> Terms:
        values = np.array([np.nan if "?" in r else float(self.word in r) for r in batch.rewrites])
        failures = [
            Failure(index=i, owner="gate", kind="odd", message="a question")
            for i in np.flatnonzero(np.isnan(values)).tolist()
        ]
        return Terms(values, tuple(failures))


def test_format_is_what_every_gate_lets_pass() -> None:
    values, failures = measured(Gates([Allows("x"), Allows("y")]), ["xy", "x", "", "xy?"])
    np.testing.assert_array_equal(values, [1.0, 0.0, 0.0, np.nan])
    assert [(f.index, f.owner, f.kind) for f in failures] == [(3, "format", "odd")]


@pytest.mark.models
def test_real_models_agree_with_the_rewards() -> None:
    registry = default_registry()
    rewrites = [SOURCE, PARAPHRASE, UNRELATED, "Harbour boats 214 pier storms winter June."]
    measures = build_quality(choose_metrics(Recipe(), registry), registry, Context())
    sources = [Document(id=f"d{i}", text=SOURCE) for i in range(len(rewrites))]
    values, failures = measures(sources, [Rewrite(text=text) for text in rewrites], INSTRUCTION)
    assert failures == []
    similarity = registry.build("rewards", "semantic-similarity")(make_batch(rewrites)).values
    np.testing.assert_allclose(values["semantic_similarity"].clip(0), similarity, atol=1e-6)
    perplexity = registry.build("rewards", "fluency")(make_batch(rewrites)).details["perplexity"]
    np.testing.assert_allclose(values["perplexity_ratio"], perplexity / perplexity[0], rtol=1e-6)
    gate = registry.build("rewards", "format")(make_batch(rewrites)).values
    np.testing.assert_array_equal(values["format"], gate)
