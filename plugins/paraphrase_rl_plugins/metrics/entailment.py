"""Metrics: entailment between a source and its rewrite, both ways, by a natural language inference model.

Sentence by sentence, since such models are trained on single sentences as hypotheses and read 512 tokens or fewer:
each sentence of one text is a hypothesis, the other text its premise; a premise that does not fit is read in parts of
whole sentences, of which the one that entails most counts; the mean over the hypotheses is the result. It follows
SummaC-ZS (Laban et al. 2022, arXiv 2111.09525: mean over hypotheses of the maximum over premise sentences), with the
whole premise in place of its single sentences wherever it fits, because a paraphrase may merge two sentences into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    Context,
    Failure,
    Measurements,
    MetricSpec,
    ModelError,
    Options,
    RewardBatch,
    has_text,
    hookimpl,
    load_sequence_classifier,
    load_tokenizer,
    sentence_ends,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_TOKENS = 512
"""Largest number of tokens of a pair; models with fewer positions read fewer, others were trained on no more."""
BATCH_TOKENS = 4096
FORWARD, BACKWARD = "nli-forward", "nli-backward"

Pair = tuple[str, str]
"""Premise and hypothesis."""


class EntailmentOptions(Options):
    """Options of ``nli-forward`` and ``nli-backward``."""

    model: str = Field(description='model reference of a classifier of text pairs with a label "entailment"')


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name=name,
            summary=summary,
            factory=build,
            options=EntailmentOptions,
            role="entailment",
            better="higher",
            range=(0.0, 1.0),
            needs="an NLI model",
            extra="models",
            modules=("torch", "transformers"),
            paper="Laban et al. 2022, SummaC",
            cost="one pass of the model for each sentence of both texts",
        )
        for name, summary in (
            (FORWARD, "mean P(the source entails it) over the rewrite's sentences"),
            (BACKWARD, "mean P(the rewrite entails it) over the source's sentences"),
        )
    ]


def build(options: EntailmentOptions, context: Context) -> Entailment:
    """Build the metrics; loads the model."""
    return Entailment(options.model, context.device)


class Entailment:
    """Metrics in [0, 1]: source entails rewrite (``nli-forward``), rewrite entails source (``nli-backward``).

    Args:
        reference: model reference of a classifier of text pairs with a label called "entailment".
        device: torch device.

    Raises:
        ModelError: the model cannot be loaded, or none of its labels is called "entailment".
    """

    names = (FORWARD, BACKWARD)

    def __init__(self, reference: str, device: str = "cpu") -> None:
        self._model = load_sequence_classifier(reference, device)
        self._label = entailment_label(self._model, reference)
        self._tokenizer = load_tokenizer(reference)
        positions = getattr(self._model.config, "max_position_embeddings", None) or MOST_TOKENS
        self.max_tokens = int(min(MOST_TOKENS, positions, self._tokenizer.model_max_length))
        self._device = device

    def __call__(self, batch: RewardBatch) -> Measurements:
        """Both directions, each of shape (N,). Kind of failure: ``no-text`` (nothing to read in one of the two)."""
        values = {name: np.full(len(batch), np.nan) for name in self.names}
        failures: list[Failure] = []
        wanted: dict[tuple[str, int], list[list[Pair]]] = {}
        for i, (source, rewrite) in enumerate(zip(batch.sources, batch.rewrites, strict=True)):
            if has_text(source.text) and has_text(rewrite):
                wanted[FORWARD, i] = list(self.questions(source.text, rewrite))
                wanted[BACKWARD, i] = list(self.questions(rewrite, source.text))
            else:
                failures += [
                    Failure(
                        index=i, owner=name, kind="no-text", message="the source or the rewrite has no words"
                    )
                    for name in self.names
                ]
        pairs = [pair for questions in wanted.values() for question in questions for pair in question]
        answers = self.probabilities(pairs)
        for (name, i), questions in wanted.items():
            values[name][i] = np.mean([max(answers[pair] for pair in question) for question in questions])
        return Measurements(values, tuple(failures))

    def questions(self, premise: str, hypothesis: str) -> Iterator[list[Pair]]:
        """Yield for each sentence of the hypothesis its pairs, one per part of the premise; the best pair counts."""
        special = self._tokenizer.num_special_tokens_to_add(pair=True)
        for sentence in _sentences(hypothesis):
            room = self.max_tokens - special - min(self._length(sentence), self.max_tokens // 2)
            yield [(part, sentence) for part in self._parts(premise, room)]

    def probabilities(self, pairs: Sequence[Pair]) -> dict[Pair, float]:
        """Compute P(entailment) of each different pair. It does not depend on the other pairs of the call (to 1e-5)."""
        import torch

        waiting = sorted(dict.fromkeys(pairs), key=lambda pair: len(pair[0]) + len(pair[1]))
        found: dict[Pair, float] = {}
        while waiting:
            width = min(self.max_tokens, self._length(waiting[-1][0]) + self._length(waiting[-1][1]) + 4)
            batch = waiting[-max(1, BATCH_TOKENS // width) :]
            del waiting[-len(batch) :]
            encoded = self._tokenizer(
                [premise for premise, _ in batch],
                [hypothesis for _, hypothesis in batch],
                truncation="longest_first",  # only a sentence that alone exceeds its half is ever cut
                max_length=self.max_tokens,
                padding=True,
                return_tensors="pt",
            ).to(self._device)
            with torch.inference_mode():
                p = self._model(**encoded).logits.double().softmax(-1)[:, self._label]
            found.update(zip(batch, p.tolist(), strict=True))
        return found

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _parts(self, text: str, room: int) -> list[str]:
        """The text, or its sentences in runs of at most ``room`` tokens; a longer sentence is halved between words."""
        if self._length(text) <= room:
            return [text]
        parts: list[str] = []
        for piece in (piece for sentence in _sentences(text) for piece in self._halved(sentence, room)):
            joined = f"{parts[-1]} {piece}" if parts else piece
            if parts and self._length(joined) <= room:
                parts[-1] = joined
            else:
                parts.append(piece)
        return parts

    def _halved(self, sentence: str, room: int) -> list[str]:
        words = sentence.split()
        if len(words) < 2 or self._length(sentence) <= room:
            return [sentence]
        middle = len(words) // 2
        halves = " ".join(words[:middle]), " ".join(words[middle:])
        return [piece for half in halves for piece in self._halved(half, room)]


def entailment_label(model: PreTrainedModel, reference: str) -> int:
    """Find the index of the label called "entailment", in any case; models order their labels differently.

    Raises:
        ModelError: there is no such label.
    """
    labels = {int(index): str(label) for index, label in model.config.id2label.items()}
    found = [index for index, label in labels.items() if label.strip().casefold() == "entailment"]
    if len(found) != 1:
        raise ModelError(
            f"no label of {reference} is called entailment; it has {', '.join(labels.values())}",
            "use a natural language inference model whose config.json names its labels (id2label)",
        )
    return found[0]


def _sentences(text: str) -> list[str]:
    """Sentences with something to read."""
    ends = sentence_ends(text)
    pieces = (text[a:b].strip() for a, b in zip([0, *ends], ends, strict=False))
    return [piece for piece in pieces if has_text(piece)]
