"""Base of zero-shot detectors: a pure function of one text's token statistics, and a spec made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from paraphrase_rl.models.defaults import DEFAULT_LANGUAGE_MODEL
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.plugin.specs import Context, DetectorSpec, Options
from paraphrase_rl.types import Failure, Scores

Score = Callable[..., float]
"""``score(statistics, **parameters)``: higher = more likely AI; raises :class:`Undefined`."""


class Undefined(ValueError):  # noqa: N818 - a verdict on one text, not an error
    """Raised by a score function if the score is undefined for a text; the message gives the reason."""


class ZeroShotOptions(Options):
    """Options of every zero-shot detector. Fields of a subclass are keyword arguments of its function."""

    model: str = Field(DEFAULT_LANGUAGE_MODEL, description="scoring model: hub id, folder or package:NAME")
    max_tokens: int = Field(512, ge=2, description="token limit: longer texts are cut")


class ZeroShotDetector:
    """Scores texts by a function of their token statistics under one shared language model."""

    def __init__(self, name: str, score: Score, options: ZeroShotOptions, context: Context) -> None:
        self._name = name
        self._score = score
        self._parameters = options.model_dump(exclude=set(ZeroShotOptions.model_fields))
        self._model = shared_language_model(options.model, context.device, options.max_tokens)

    def score(self, texts: Sequence[str]) -> Scores:
        """Compute scores of shape (N,); failures of kind ``undefined`` in addition to those of the language model."""
        values = np.full(len(texts), np.nan)
        failures = []
        for index, statistics in enumerate(self._model.statistics(texts)):
            if isinstance(statistics, Failure):
                failures.append(replace(statistics, owner=self._name))
                continue
            try:
                values[index] = self._score(statistics, **self._parameters)
            except Undefined as why:
                failures.append(Failure(index=index, owner=self._name, kind="undefined", message=str(why)))
        return Scores(values, tuple(failures))

    def provenance(self) -> Mapping[str, str]:
        """Return the scoring model and its revision."""
        return {self._model.reference: self._model.revision}


def zero_shot_spec(
    name: str,
    summary: str,
    score: Score,
    *,
    paper: str,
    licence: str = "",
    direction: Literal["higher", "lower"] = "higher",
    options: type[ZeroShotOptions] = ZeroShotOptions,
) -> DetectorSpec:
    """Build the spec of a zero-shot detector; ``direction`` is the published one, ``score`` is higher for AI."""

    def build(chosen: Any, context: Context) -> ZeroShotDetector:
        return ZeroShotDetector(name, score, chosen, context)

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
