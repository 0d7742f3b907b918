"""The parts of which the quality measures are made: some metrics computed together, each failure contained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from paraphrase_rl.errors import PrlError
from paraphrase_rl.models.embeddings import embed
from paraphrase_rl.plugin.isolation import Origin
from paraphrase_rl.plugin.isolation import contained as item_by_item
from paraphrase_rl.types import Failure, FloatArray, RewardBatch

if TYPE_CHECKING:
    from paraphrase_rl.models.encoder import SentenceEncoder
    from paraphrase_rl.models.token_statistics import TokenStatistics
    from paraphrase_rl.plugin.protocols import Reward

Measured = tuple[dict[str, FloatArray], list[Failure]]
"""Values of shape (N,) by metric, and the failures."""

_NOTHING: Mapping[str, str] = {}


class Part(Protocol):
    """Some metrics that are computed together."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics."""
        ...

    @property
    def provenance(self) -> Mapping[str, str]:
        """What they depend on: role -> model and revision."""
        ...

    def __call__(self, batch: RewardBatch) -> Measured:
        """Measure N rewrites; what is said of one depends on that one alone."""
        ...


def contained(part: Part, batch: RewardBatch) -> Measured:
    """A part's answer; what it crashes on fails, and what it has to say costs its own metrics alone."""

    def join(alone: list[Measured]) -> Measured:
        values = {name: np.concatenate([measured[name] for measured, _ in alone]) for name in part.names}
        return values, [replace(f, index=i) for i, (_, failures) in enumerate(alone) for f in failures]

    try:
        return item_by_item(
            Origin(f"metric {', '.join(part.names)}", part.names[0]),
            len(batch),
            lambda where: part(batch.subset(where)),
            failed=lambda failure: failed(part.names, 1, failure.kind, failure.message),
            join=join,
        )
    except PrlError as error:
        return failed(part.names, len(batch), "unavailable", error.one_line)


def failed(names: Sequence[str], n: int, kind: str, message: str) -> Measured:
    """The same failure for all metrics of N rewrites."""
    failures = [Failure(index=i, owner=name, kind=kind, message=message) for name in names for i in range(n)]
    return {name: np.full(n, np.nan) for name in names}, failures


class Unavailable:
    """Metrics that cannot be computed here: every rewrite fails with the reason."""

    provenance = _NOTHING

    def __init__(self, names: tuple[str, ...], reason: str) -> None:
        self.names = names
        self._reason = reason

    def __call__(self, batch: RewardBatch) -> Measured:
        return failed(self.names, len(batch), "unavailable", self._reason)


class Finished:
    """``finished``: 1 where the rewriter ended the text by itself, else 0."""

    names = ("finished",)
    provenance = _NOTHING

    def __call__(self, batch: RewardBatch) -> Measured:
        return {"finished": np.array(batch.finished, dtype=np.float64)}, []


class Pairwise:
    """A metric that is a function of source and rewrite."""

    provenance = _NOTHING

    def __init__(self, name: str, measure: Callable[[str, str], float]) -> None:
        self.names = (name,)
        self._measure = measure

    def __call__(self, batch: RewardBatch) -> Measured:
        pairs = zip(batch.sources, batch.rewrites, strict=True)
        values = [self._measure(source.text, rewrite) for source, rewrite in pairs]
        return {self.names[0]: np.array(values, dtype=np.float64)}, []


class Similarity:
    """``semantic_similarity``: plain cosine of :func:`paraphrase_rl.models.embeddings.embed`, in [-1, 1].

    The same number as the bundled similarity reward, which clips at 0. A rewrite without a letter or digit keeps
    nothing of the meaning: 0. A source without one cannot be compared with: Failure ``no-text``.
    """

    names = ("semantic_similarity",)

    def __init__(self, encoder: SentenceEncoder, model: str) -> None:
        self._encoder = encoder
        self.provenance = {"sentence encoder": model}

    def __call__(self, batch: RewardBatch) -> Measured:
        name = self.names[0]
        sources = [source.text for source in batch.sources]
        embedded = embed(self._encoder, (*sources, *batch.rewrites))
        values = np.zeros(len(batch))
        failures = []
        for i, (source, rewrite) in enumerate(zip(sources, batch.rewrites, strict=True)):
            if source not in embedded:
                values[i] = np.nan
                why = "the source has no words"
                failures.append(Failure(index=i, owner=name, kind="no-text", message=why))
            elif rewrite in embedded:
                values[i] = np.clip(embedded[source] @ embedded[rewrite], -1.0, 1.0)
        return {name: values}, failures


class LanguageModel(Protocol):
    """What :class:`Perplexity` asks of :class:`paraphrase_rl.models.language_model.LanguageModel`."""

    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]:
        """Statistics of each text, or a Failure."""
        ...


class Perplexity:
    """``perplexity_ratio``: exp of the mean log-probability of the source minus that of the rewrite, a token.

    A text that the model cannot score leaves its pair without a ratio.
    """

    names = ("perplexity_ratio",)

    def __init__(self, model: LanguageModel, reference: str) -> None:
        self._model = model
        self.provenance = {"language model": reference}

    def __call__(self, batch: RewardBatch) -> Measured:
        n = len(batch)
        found = self._model.statistics([*(source.text for source in batch.sources), *batch.rewrites])
        values = np.full(n, np.nan)
        failures = []
        for i, (source, rewrite) in enumerate(zip(found[:n], found[n:], strict=True)):
            bad = [
                (f, what) for f, what in ((source, "source"), (rewrite, "rewrite")) if isinstance(f, Failure)
            ]
            for failure, what in bad[:1]:
                message = f"the {what}: {failure.message}"
                failures.append(replace(failure, index=i, owner=self.names[0], message=message))
            if not isinstance(source, Failure) and not isinstance(rewrite, Failure):
                values[i] = np.exp(_mean_logprob(source) - _mean_logprob(rewrite))
        return {self.names[0]: values}, failures


def _mean_logprob(statistics: TokenStatistics) -> float:
    """Nats a token."""
    return float(np.mean(statistics.logprob, dtype=np.float64))


class Gates:
    """``format``: 1 where every reward of the recipe that is a gate says more than 0, else 0.

    Args:
        gates: rewards by name, at least one.
    """

    names = ("format",)
    provenance = _NOTHING

    def __init__(self, gates: Mapping[str, Reward]) -> None:
        self._gates = gates

    def __call__(self, batch: RewardBatch) -> Measured:
        if not len(batch):
            return {"format": np.empty(0)}, []
        rated = [gate(batch) for gate in self._gates.values()]
        lowest = np.min([terms.values for terms in rated], axis=0)  # NaN where any of them is
        reasons = {failure.index: failure for terms in rated for failure in terms.failures}
        failures = [replace(failure, owner="format") for failure in reasons.values()]
        return {"format": np.where(np.isnan(lowest), np.nan, lowest > 0.0).astype(np.float64)}, failures
