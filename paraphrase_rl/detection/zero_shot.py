"""Base of zero-shot detectors: a pure function of one text's token statistics, and a spec made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from paraphrase_rl.errors import PluginError
from paraphrase_rl.models.defaults import DEFAULT_LANGUAGE_MODEL
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin.specs import Context, DetectorSpec, Options
from paraphrase_rl.types import Explanation, Failure, FloatArray, Scores, Share, Truncation

Shares = Callable[..., FloatArray]
"""``shares(statistics, **parameters)``: what each token adds to the score, float64 of shape (T,); they add up to it."""
Score = Callable[..., float]
"""``score(statistics, **parameters)``: higher = more likely AI; raises :class:`Undefined`."""


class Undefined(ValueError):  # noqa: N818 - a verdict on one text, not an error
    """Raised by a score function if the score is undefined for a text; the message gives the reason."""


TOKEN_MEASURES: Mapping[str, Callable[[TokenStatistics], float]] = {
    "likelihood of tokens": lambda t: float(t.logprob.mean()),
    "spread of likelihood": lambda t: float(t.logprob.std()),
    "ranks of tokens": lambda t: float(np.log(t.rank).mean()),
    "entropy of tokens": lambda t: float(t.entropy.mean()),
    "spread of entropy": lambda t: float(t.entropy.std()),
}
"""Numbers that describe the tokens of a text under the scoring model."""


class ZeroShotOptions(Options):
    """Options of every zero-shot detector. Fields of a subclass are keyword arguments of its function."""

    model: str = Field(DEFAULT_LANGUAGE_MODEL, description="scoring model: hub id, folder or package:NAME")
    max_tokens: int = Field(512, ge=2, description="token limit: longer texts are cut")


class ZeroShotDetector:
    """Scores texts by a function of their token statistics under one shared language model."""

    def __init__(
        self,
        name: str,
        score: Score,
        options: ZeroShotOptions,
        context: Context,
        shares: Shares | None = None,
    ) -> None:
        self._name = name
        self._score = score
        self._shares = shares
        self._parameters = options.model_dump(exclude=set(ZeroShotOptions.model_fields))
        self._model = shared_language_model(
            options.model, context.device, options.max_tokens, context.precision
        )

    def score(self, texts: Sequence[str]) -> Scores:
        """Compute scores of shape (N,); failures of kind ``undefined`` in addition to those of the language model."""
        values = np.full(len(texts), np.nan)
        failures, truncated = [], []
        for index, statistics in enumerate(self._model.statistics(texts)):
            if isinstance(statistics, Failure):
                failures.append(replace(statistics, owner=self._name))
                continue
            if statistics.truncated:
                # the first token is read, and has no score
                read, total = len(statistics) + 1, statistics.total_tokens
                truncated.append(Truncation(index=index, read=read, total=total, unit="tokens"))
            try:
                values[index] = self._score(statistics, **self._parameters)
            except Undefined as why:
                failures.append(Failure(index=index, owner=self._name, kind="undefined", message=str(why)))
        return Scores(values, tuple(failures), tuple(truncated))

    def measures(self, texts: Sequence[str]) -> Mapping[str, FloatArray]:
        """Return mean and spread of the token statistics of each text, from the same pass as its score."""
        found = np.full((len(texts), len(TOKEN_MEASURES)), np.nan)
        for index, statistics in enumerate(self._model.statistics(texts)):
            if not isinstance(statistics, Failure):
                found[index] = [measure(statistics) for measure in TOKEN_MEASURES.values()]
        return dict(zip(TOKEN_MEASURES, found.T, strict=True))

    def explain(self, text: str) -> Explanation | Failure:
        """Split the score of a text into the shares of its tokens; the first token has none.

        Raises:
            PluginError: the score is no sum over tokens.
        """
        if self._shares is None:
            raise PluginError(f"the detector {self._name} does not say which tokens its score comes from")
        (statistics,) = self._model.statistics([text])
        if isinstance(statistics, Failure):
            return replace(statistics, owner=self._name)
        try:
            score = self._score(statistics, **self._parameters)
        except Undefined as why:
            return Failure(index=0, owner=self._name, kind="undefined", message=str(why))
        places = self._model.offsets(text)
        shares = self._shares(statistics, **self._parameters)
        return Explanation(
            score=score,
            base=0.0,
            shares=tuple(
                Share(
                    text=text[start:end],
                    spans=((start, end),),
                    value=float(shares[t]),
                    details={
                        "rank": int(statistics.rank[t]),
                        "logprob": float(statistics.logprob[t]),
                        "entropy": float(statistics.entropy[t]),
                    },
                )
                for t, (start, end) in enumerate(places)
            ),
            read=places[-1][1],
            is_mean=True,
        )

    def provenance(self) -> Mapping[str, str]:
        """Return the scoring model and its revision."""
        return {self._model.reference: self._model.revision}


def zero_shot_spec(
    name: str,
    summary: str,
    score: Score,
    *,
    paper: str,
    shares: Shares | None = None,
    licence: str = "",
    direction: Literal["higher", "lower"] = "higher",
    options: type[ZeroShotOptions] = ZeroShotOptions,
) -> DetectorSpec:
    """Build the spec of a zero-shot detector.

    Args:
        name: of the detector.
        summary: one line.
        score: computes the score of a text from its token statistics; higher = more likely AI.
        paper: where the method was published.
        shares: computes what each token adds to the score, float64 of shape (T,); ``None`` = the detector cannot be
            explained, as its score is no sum over tokens.
        licence: of the authors' code, if it differs from ours.
        direction: of the score as published.
        options: options of the detector, those beyond :class:`ZeroShotOptions` are parameters of both functions.
    """

    def build(chosen: Any, context: Context) -> ZeroShotDetector:
        return ZeroShotDetector(name, score, chosen, context, shares)

    return DetectorSpec(
        name=name,
        summary=summary,
        factory=build,
        options=options,
        family="zero-shot",
        direction=direction,
        paper=paper,
        licence=licence,
        extra="models",
        modules=("torch", "transformers", "safetensors"),
        models=(options.model_fields["model"].default,),
        cost="one language-model pass per text, shared by all zero-shot detectors of the model",
    )
