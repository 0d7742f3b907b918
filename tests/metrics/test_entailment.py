"""Entailment by a tiny random classifier: which label, which pairs, which direction, batches, long texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from paraphrase_rl_plugins.metrics import entailment
from paraphrase_rl_plugins.metrics.entailment import Entailment
from paraphrase_rl_plugins.rewards import output_format
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from paraphrase_rl.errors import ModelError
from paraphrase_rl.evaluation.quality import build_quality, choose_metrics, with_metric_options
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import RewardBatch, Rewrite
from tests.rewards.samples import PARAPHRASE, SOURCE, UNRELATED, make_batch
from tests.tiny_model import tokenizer

POSITIONS = 512
LABELS = ("contradiction", "ENTAILMENT", "neutral")


def save_classifier(folder: Path, *, labels: tuple[str, ...] = LABELS, positions: int = POSITIONS) -> Path:
    """A random BERT of one layer over bytes; a pair is ``<|im_start|>A<|im_end|>B<|im_end|>``."""
    tokens = tokenizer()
    start, end = tokens.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    tokens.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>",
        pair="<|im_start|> $A <|im_end|> $B:1 <|im_end|>:1",
        special_tokens=[("<|im_start|>", start), ("<|im_end|>", end)],
    )
    tokens = PreTrainedTokenizerFast(
        tokenizer_object=tokens.backend_tokenizer,
        pad_token=tokens.pad_token,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.5,
        pad_token_id=tokens.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("nli"))


@pytest.fixture(scope="module")
def nli(classifier: Path) -> Entailment:
    return Entailment(str(classifier))


def p_entailment(folder: Path, premise: str, hypothesis: str) -> float:
    """The label of :data:`LABELS`."""
    return p_of_label(folder, premise, hypothesis, 1)


def p_of_label(folder: Path, premise: str, hypothesis: str, label: int) -> float:
    """One pair through the saved model, without our code."""
    tokens = tokenizer()
    first, second = (tokens(text, add_special_tokens=False)["input_ids"] for text in (premise, hypothesis))
    start, end = tokens.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    ids = [start, *first, end, *second, end]
    types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0]
    return float(logits.softmax(-1)[label])


def test_both_directions_are_means_over_the_hypotheses_sentences(classifier: Path, nli: Entailment) -> None:
    source, rewrite = "The cat sat. It slept.", "A cat was asleep."
    measured = nli(make_batch([rewrite], source))
    values = measured.values
    assert measured.failures == ()
    assert values["nli-forward"][0] == pytest.approx(p_entailment(classifier, source, rewrite), abs=1e-5)
    backward = [p_entailment(classifier, rewrite, sentence) for sentence in ("The cat sat.", "It slept.")]
    assert values["nli-backward"][0] == pytest.approx(np.mean(backward), abs=1e-5)
    assert values["nli-forward"][0] != pytest.approx(values["nli-backward"][0], abs=1e-3)


@pytest.mark.parametrize("labels", [("ENTAILMENT", "b"), ("not_entailment", " Entailment ")])
def test_the_label_is_found_by_its_name(tmp_path: Path, labels: tuple[str, ...]) -> None:
    found = Entailment(str(save_classifier(tmp_path, labels=labels))).probabilities([("a b", "c")])
    place = [label.strip().lower() for label in labels].index("entailment")
    assert found["a b", "c"] == pytest.approx(p_of_label(tmp_path, "a b", "c", place), abs=1e-6)


@pytest.mark.parametrize(
    "labels", [("LABEL_0", "LABEL_1"), ("not_entailment", "no"), ("entailment", "Entailment")]
)
def test_without_one_such_label_the_model_is_refused(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="called entailment") as caught:
        Entailment(str(save_classifier(tmp_path, labels=labels)))
    assert "id2label" in caught.value.hint
    assert labels[0] in caught.value.message


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path, classifier: Path) -> None:
    save_classifier(tmp_path)
    BertModel.from_pretrained(classifier).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = dict(enumerate(LABELS))
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="not a complete BertForSequenceClassification"):
        Entailment(str(tmp_path))


def test_a_rewrite_does_not_depend_on_its_batch(nli: Entailment) -> None:
    rewrites = [PARAPHRASE, "Short one.", UNRELATED, SOURCE, "Boats!"]
    together = nli(make_batch(rewrites)).values
    for name in nli.names:
        alone = [nli(make_batch([rewrite])).values[name][0] for rewrite in rewrites]
        np.testing.assert_allclose(together[name], alone, atol=1e-5)
        backwards = nli(make_batch(rewrites[::-1])).values[name][::-1]
        np.testing.assert_allclose(together[name], backwards, atol=1e-5)


def test_nothing_to_read_is_a_failure(nli: Entailment) -> None:
    measured = nli(make_batch([PARAPHRASE, " … ", ""]))
    failures = measured.failures
    assert np.isfinite(measured.values["nli-forward"]).tolist() == [True, False, False]
    assert sorted((f.index, f.owner, f.kind) for f in failures) == [
        (i, name, "no-text") for i in (1, 2) for name in sorted(nli.names, reverse=True)[::-1]
    ]


def test_a_long_premise_is_read_whole_in_parts_that_fit(tmp_path: Path) -> None:
    nli = Entailment(str(save_classifier(tmp_path, positions=64)))
    premise = "The cat sat on the mat. The dog lay by the door. " + "word " * 30 + "end."
    questions = list(nli.questions(premise, "The cat slept. Nobody saw it."))
    assert [{hypothesis for _, hypothesis in question} for question in questions] == [
        {"The cat slept."},
        {"Nobody saw it."},
    ]
    for question in questions:
        assert " ".join(part for part, _ in question).split() == premise.split()
        assert all(len(part) + len(sentence) + 3 <= 64 for part, sentence in question)
    batch = RewardBatch(
        sources=make_batch(["x"], premise).sources,
        rewrites=["The cat slept."],
        finished=[True],
        instruction="",
    )
    best = max(p_entailment(tmp_path, part, "The cat slept.") for part, _ in questions[0])
    assert nli(batch).values["nli-forward"][0] == pytest.approx(best, abs=1e-5)


def test_a_hypothesis_beyond_all_limits_is_cut_not_refused(tmp_path: Path) -> None:
    nli = Entailment(str(save_classifier(tmp_path, positions=64)))
    measured = nli(make_batch(["x" * 500, "word " * 300], "y" * 500))
    assert measured.failures == ()
    assert all(np.isfinite(column).all() for column in measured.values.values())


def test_it_is_measured_when_it_is_asked_for(classifier: Path, prl_registry: Callable[..., Registry]) -> None:
    registry = prl_registry(entailment=entailment, rewards=output_format)
    recipe = Recipe.model_validate({"rewards": [{"name": "format"}]})
    assert choose_metrics(recipe, registry) == []
    recipe = with_metric_options(recipe, registry, "entailment", model=str(classifier))
    chosen = choose_metrics(recipe, registry)
    assert [metric.column for metric in chosen] == ["nli_backward", "nli_forward"]
    measure = build_quality(chosen, registry, Context())
    source = make_batch([PARAPHRASE]).sources
    values, failures = measure(source, [Rewrite(text=PARAPHRASE)], "")
    assert failures == []
    expected = Entailment(str(classifier))(make_batch([PARAPHRASE])).values
    assert values["nli_forward"] == pytest.approx(expected["nli-forward"], abs=1e-6)
    gone = with_metric_options(recipe, registry, "entailment", model=str(classifier / "nothing"))
    with pytest.raises(ModelError):
        build_quality(choose_metrics(gone, registry), registry, Context())
