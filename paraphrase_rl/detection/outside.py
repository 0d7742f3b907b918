"""Check of each text whether it is unlike those of a calibration, which then says nothing about it.

A text is described by numbers: its style (:mod:`paraphrase_rl.text.style`), and what the detector tells of it (token
statistics under the scoring model, the share of words that a trained detector knows). Its nonconformity is the squared
Mahalanobis distance to the nearest kind of calibration texts, a kind being the human or the AI texts of one population:

    D(x) = min over kinds c of (x - m_c)' S^-1 (x - m_c),

with one covariance S within kinds for all of them, shrunk towards its diagonal by d / (n + d) for d numbers and n texts
(Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples", arXiv 1807.03888, there on
the layers of a network). Each calibration text gets the distance that it has where it is left out of m and S. A text is
outside if its own distance is above the (k + 1)-th largest of these n, k = floor(0.01 (n + 1)) - 1: of texts drawn
like the calibration's, 1 % on average (Bates et al. 2023, "Testing for outliers with conformal p-values", Annals
of Statistics 51, 149; left-out distances instead of a second sample, as in the jackknife).

A false positive is the worse error, so more is asked of a text that would be flagged: it is outside above the limit
for 10 %. Human texts of other kinds that score like AI texts are mostly unusual, while AI texts like the calibration's
are not. Of human texts like the calibration's, no more are outside than 1 % and those that would be flagged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from pydantic import Field, model_validator

from paraphrase_rl.detection.calibration_texts import Record
from paraphrase_rl.detection.threshold import allowed_above
from paraphrase_rl.plugin.protocols import Detector, MeasuringDetector
from paraphrase_rl.text.style import STYLE, style
from paraphrase_rl.types import FloatArray

LEVEL = 0.01
"""Share of texts drawn like the calibration's that are called outside, on average."""
FLAGGED_LEVEL = 0.1
"""The same for a text that would be flagged."""
FEWEST_OF_A_KIND = 10
"""Kinds with fewer texts have no centre of their own: their texts count with the first kind."""
_LEAST_SPREAD = 0.01
"""Standard deviation that no number falls below: one that is the same in all calibration texts still tells."""


class Profile(Record):
    """Description of the texts of a calibration, by which another text is called outside or not."""

    measures: tuple[str, ...] = Field(min_length=1, description="names of the numbers that describe a text")
    centres: tuple[tuple[float, ...], ...] = Field(min_length=1, description="mean of each kind of texts")
    inverse: tuple[float, ...] = Field(description="lower triangle, row by row, of the inverse covariance")
    limit: float = Field(ge=0, description="a text is outside where its distance is above this")
    limit_flagged: float = Field(ge=0, description="the same for a text that would be flagged")
    n: int = Field(ge=2, description="calibration texts")

    @model_validator(mode="after")
    def _sizes(self) -> Profile:
        d = len(self.measures)
        if any(len(centre) != d for centre in self.centres) or len(self.inverse) != d * (d + 1) // 2:
            raise ValueError("centres and inverse do not fit the measures")
        return self

    @property
    def level(self) -> float:
        """Largest expected share of texts drawn like the calibration's that are outside: (k + 1) / (n + 1)."""
        return (max(allowed_above(LEVEL, self.n), 0) + 1) / (self.n + 1)

    @classmethod
    def fit(cls, measures: Sequence[str], kinds: Sequence[FloatArray]) -> Profile | None:
        """Fit the profile of some kinds of texts; ``None`` for fewer than three texts.

        Args:
            measures: names of d numbers.
            kinds: for each kind of texts their numbers, shape (n, d), finite.
        """
        large = [kind for kind in kinds if len(kind) >= FEWEST_OF_A_KIND]
        small = [kind for kind in kinds if 0 < len(kind) < FEWEST_OF_A_KIND]
        pooled = [np.concatenate([*large[:1], *small]), *large[1:]] if small else large
        n = sum(map(len, pooled))
        if n < 3:
            return None
        centres = [kind.mean(axis=0) for kind in pooled]
        rest = np.concatenate([kind - centre for kind, centre in zip(pooled, centres, strict=True)])
        distances = np.sort(_left_out(pooled, centres, rest))
        limit, flagged = (
            float(distances[n - 1 - max(allowed_above(level, n), 0)]) for level in (LEVEL, FLAGGED_LEVEL)
        )
        inverse = _inverse(rest.T @ rest, n, len(pooled))
        return cls(
            measures=tuple(measures),
            centres=tuple(tuple(map(_short, centre)) for centre in centres),
            inverse=tuple(map(_short, inverse[np.tril_indices(len(measures))])),
            limit=limit,
            limit_flagged=flagged,
            n=n,
        )

    def outside(self, values: FloatArray, flagged: Sequence[bool] | None = None) -> list[str | None]:
        """Name for each text the number that sets it apart most, ``None`` for a text that is not outside.

        Args:
            values: shape (N, d), in the order of ``measures``; a text with a NaN has no score, and is not outside.
            flagged: for each text whether it would be flagged; ``None`` = none is.
        """
        limits = np.where(
            np.zeros(len(values), bool) if flagged is None else flagged, self.limit_flagged, self.limit
        )
        d = len(self.measures)
        inverse = np.zeros((d, d))
        inverse[np.tril_indices(d)] = self.inverse
        inverse = inverse + np.tril(inverse, -1).T
        away = values[:, None, :] - np.array(self.centres)  # (N, kinds, d)
        parts = away * (away @ inverse)
        distances = parts.sum(axis=-1)
        nearest = np.argmin(distances, axis=-1)
        rows = np.arange(len(values))
        parts, distances = parts[rows, nearest], distances[rows, nearest]
        return [
            self.measures[int(np.argmax(part))] if distance > limit else None
            for part, distance, limit in zip(parts, distances, limits, strict=True)
        ]


def measured(detector: Detector, texts: Sequence[str]) -> tuple[tuple[str, ...], FloatArray]:
    """Measure texts by their style, and by what the detector tells of them: names of d numbers, and shape (N, d)."""
    told: Mapping[str, FloatArray] = {}
    if isinstance(detector, MeasuringDetector):
        told = detector.measures(texts)
    own = np.array([style(text) for text in texts], dtype=np.float64).reshape(len(texts), len(STYLE))
    columns = [own, *(np.asarray(values, dtype=np.float64)[:, None] for values in told.values())]
    return (*STYLE, *told), np.concatenate(columns, axis=1)


def profile_of(detector: Detector, kinds: Sequence[Sequence[str]]) -> Profile | None:
    """Fit the profile of the texts of a calibration; those without a number are left out.

    Args:
        detector: the detector that is calibrated.
        kinds: for each kind its texts.
    """
    names: tuple[str, ...] = STYLE
    found = []
    for texts in kinds:
        names, values = measured(detector, texts)
        found.append(values[np.isfinite(values).all(axis=1)])
    return Profile.fit(names, found)


def _short(number: float) -> float:
    """Eight digits, which the file needs no more of."""
    return float(f"{number:.8g}")


def _inverse(scatter: FloatArray, n: int, kinds: int) -> FloatArray:
    """Inverse of the covariance within kinds, shrunk towards its diagonal."""
    d = len(scatter)
    covariance = scatter / max(n - kinds, 1)
    spread = np.sqrt(np.maximum(np.diag(covariance), _LEAST_SPREAD**2))
    correlation = covariance / np.outer(spread, spread)
    shrunk = (n * correlation + d * np.eye(d)) / (n + d)
    np.fill_diagonal(shrunk, 1.0)
    return np.asarray(np.linalg.inv(shrunk) / np.outer(spread, spread))


def _left_out(kinds: Sequence[FloatArray], centres: Sequence[FloatArray], rest: FloatArray) -> FloatArray:
    """Distance of each text where it is left out of its kind's centre and of the covariance."""
    n, scatter = len(rest), rest.T @ rest
    bounds = np.cumsum([0, *map(len, kinds)])
    found = np.empty(n)
    for own, (start, end) in enumerate(pairwise(bounds.tolist())):
        size = end - start
        for i in range(start, end):
            x, part = kinds[own][i - start], rest[i]
            grown = size / (size - 1) if size > 1 else 1.0
            inverse = _inverse(scatter - grown * np.outer(part, part), n - 1, len(kinds))
            aways = [x - centre for other, centre in enumerate(centres) if other != own or size == 1]
            aways.append(grown * part if size > 1 else np.full_like(part, math.inf))
            found[i] = min(float(away @ inverse @ away) for away in aways if np.isfinite(away).all())
    return found
