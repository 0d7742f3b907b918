"""AUROC: how well scores separate AI texts from human ones. Higher scores = more likely AI, everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paraphrase_rl.detection.threshold import clopper_pearson
from paraphrase_rl.types import Document, FloatArray

Z95 = 1.959963984540054
Units = NDArray[np.int64]
"""Number of the document of each score."""


def auroc(human_scores: FloatArray, ai_scores: FloatArray) -> float:
    """Compute the probability that a random AI text scores above a random human one; a tie counts one half.

    Args:
        human_scores: shape (n,), finite, not empty.
        ai_scores: shape (m,), finite, not empty.
    """
    if not human_scores.size or not ai_scores.size:
        raise ValueError("AUROC needs scores of both human and AI texts")
    below, not_above = _below(human_scores, ai_scores)
    return float((below + not_above).sum() / (2.0 * human_scores.size * ai_scores.size))


@dataclass(frozen=True)
class Area:
    """An AUROC with its uncertainty.

    Attributes:
        value: the AUROC.
        influence: shape (U,): what each document (or pair of documents) adds to its error; the variance is the sum of
            the squares.
        n: documents of the rarer label.
    """

    value: float
    influence: FloatArray
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; ``None`` with fewer than two documents of a label.

        That of DeLong, DeLong & Clarke-Pearson 1988 (Biometrics 44, 837) on the logit scale, which stays within (0, 1).
        Near 0 and 1 few texts make up the variance, and it may be far too small. So the lower end is never above that
        of a perfect order of n texts, and the upper end never below that of a wrong one: if a share p of one label lies
        beyond all texts of the other, the order is perfect with probability (1 - p)^n, so that its lower end is that
        of Clopper & Pearson 1934 for n of n. Without any variance the interval is theirs.
        """
        if self.n < 2:
            return None
        variance = float(self.influence @ self.influence)
        if variance == 0.0:
            successes = round(self.value * self.n, 9)
            low, _ = clopper_pearson(math.floor(successes), self.n)
            _, high = clopper_pearson(math.ceil(successes), self.n)
            return min(low, self.value), max(high, self.value)
        logit = math.log(self.value / (1.0 - self.value))
        half = Z95 * math.sqrt(variance) / (self.value * (1.0 - self.value))
        low, high = (1.0 / (1.0 + math.exp(-x)) for x in (logit - half, logit + half))
        perfect, _ = clopper_pearson(self.n, self.n)
        return min(low, perfect), max(high, 1.0 - perfect)


def units_of(documents: Sequence[Document]) -> list[str]:
    """Return the unit of each document, which is drawn as a whole: its pair, or else the document itself."""
    return [f"pair {d.pair}" if d.pair is not None else f"document {d.id}" for d in documents]


def area(
    human_scores: FloatArray,
    ai_scores: FloatArray,
    human_units: Units | None = None,
    ai_units: Units | None = None,
    units: int = 0,
) -> Area:
    """Compute the AUROC and its uncertainty by document.

    Texts of one document, or of a pair of a human and an AI text, go together (Obuchowski 1997, Biometrics 53, 567).

    Args:
        human_scores: shape (n,), finite, not empty.
        ai_scores: shape (m,), finite, not empty.
        human_units: shape (n,): document of each human text, from 0; ``None`` = every text is a document of its own.
        ai_units: shape (m,), of each AI text, numbered in the same way; ``None`` together with ``human_units``.
        units: number U of documents; 0 = as many as there are texts.
    """
    if human_units is None or ai_units is None:
        human_units = np.arange(human_scores.size)
        ai_units = np.arange(human_scores.size, human_scores.size + ai_scores.size)
        units = human_scores.size + ai_scores.size
    value = auroc(human_scores, ai_scores)
    influence = np.zeros(units)
    sides = (
        (_share_below(human_scores, ai_scores), ai_units),
        (1.0 - _share_below(ai_scores, human_scores), human_units),
    )
    rarer = units
    for placements, of in sides:
        documents = np.unique(of).size
        scale = math.sqrt(documents / max(documents - 1, 1)) / placements.size
        np.add.at(influence, of, scale * (placements - value))
        rarer = min(rarer, documents)
    return Area(value, influence, rarer)


def pooled(areas: Sequence[Area], weights: Sequence[float]) -> Area:
    """Compute the weighted mean of AUROCs of disjoint texts, whose influences number the same documents."""
    share = np.asarray(weights, dtype=np.float64) / sum(weights)
    return Area(
        value=float(share @ np.array([one.value for one in areas])),
        influence=np.asarray(share @ np.array([one.influence for one in areas])),
        n=sum(one.n for one in areas),
    )


def change(before: Area, after: Area) -> tuple[float, float] | None:
    """Compute the 95 % interval of ``after - before``, two AUROCs whose influences number the same documents.

    Put together from the intervals of the two with the correlation of their errors (Zou 2007, Psychological Methods 12,
    399). ``None`` if one of them has none.
    """
    first, second = before.interval, after.interval
    if first is None or second is None:
        return None
    size = math.sqrt(float(before.influence @ before.influence) * float(after.influence @ after.influence))
    correlation = float(before.influence @ after.influence) / size if size > 0.0 else 0.0

    def apart(one: float, other: float) -> float:
        return math.sqrt(max(one * one + other * other - 2.0 * correlation * one * other, 0.0))

    difference = after.value - before.value
    return (
        difference - apart(after.value - second[0], first[1] - before.value),
        difference + apart(second[1] - after.value, before.value - first[0]),
    )


def _share_below(scores: FloatArray, others: FloatArray) -> FloatArray:
    """Share of ``scores`` below each of ``others``; a tie counts one half."""
    below, not_above = _below(scores, others)
    return np.asarray((below + not_above) / (2.0 * scores.size))


def _below(scores: FloatArray, others: FloatArray) -> tuple[Units, Units]:
    ordered = np.sort(scores)
    return np.searchsorted(ordered, others, side="left"), np.searchsorted(ordered, others, side="right")
