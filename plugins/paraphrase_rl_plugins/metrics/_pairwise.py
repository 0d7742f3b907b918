"""Metrics that are a function of two texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from paraphrase_rl.plugin import Failure, Measurements, RewardBatch

Measure = Callable[[str, str], float]
"""``measure(source, rewrite)``; NaN where the metric does not apply. Raises :class:`NoText`."""


class NoText(ValueError):  # noqa: N818 - a statement about one pair, not an error
    """Raised by a measure if one of the texts has nothing to measure; the message says which."""


class Pairwise:
    """Metric that measures pair by pair. Kind of failure: ``no-text``.

    Args:
        measures: functions by name of the metric.
    """

    def __init__(self, **measures: Measure) -> None:
        self._measures = {name.replace("_", "-"): measure for name, measure in measures.items()}

    def __call__(self, batch: RewardBatch) -> Measurements:
        values = {name: np.full(len(batch), np.nan) for name in self._measures}
        failures = []
        for name, measure in self._measures.items():
            for i, (source, rewrite) in enumerate(zip(batch.sources, batch.rewrites, strict=True)):
                try:
                    values[name][i] = measure(source.text, rewrite)
                except NoText as why:
                    failures.append(Failure(index=i, owner=name, kind="no-text", message=str(why)))
        return Measurements(values, tuple(failures))


def word_count(source: str) -> int:
    """Count the words of a source; white space separates words.

    Raises:
        NoText: the source has no words.
    """
    if not (words := len(source.split())):
        raise NoText("the source has no words")
    return words
