"""Threshold at a target false positive rate, with an interval of the true rate that holds whatever the scores.

The threshold is an order statistic of the human scores, never searched for. A text is flagged when its score
is strictly above it, so that a detector with few distinct scores flags fewer human texts, not more.

Of n human texts k = floor(f (n + 1)) - 1 may lie above the threshold for the rate f. A further human text, drawn like
these, then lies above it with probability (k + 1) / (n + 1) <= f (less where scores tie): the target is the
**expected** rate, on average over calibrations, as in conformal prediction (Vovk, Gammerman & Shafer 2005). It is not
the rate among the n texts, which is k / n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.types import FloatArray

CONFIDENCE = 0.95
STANDARD_RATES = (0.01, 0.05)
"""False positive rates that thresholds are always fitted for, in addition to the target."""


class OperatingPoint(BaseModel):
    """A threshold and its false positive rate.

    ``low`` and ``high`` bound the **true** false positive rate at this threshold, with 95 % confidence; they
    include the uncertainty of the threshold itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_fpr: float = Field(gt=0, lt=1)
    threshold: float = Field(allow_inf_nan=False, description="flagged when the score is strictly above")
    n_human: int = Field(ge=2)
    allowed: int = Field(
        ge=0, description="human texts allowed above: floor(target_fpr * (n_human + 1)) - 1, at least 0"
    )
    above: int = Field(ge=0, description="human texts actually above; fewer than allowed where scores tie")
    tied: int = Field(ge=1, description="human texts whose score equals the threshold; 1 = no ties")
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @property
    def achieved_fpr(self) -> float:
        """Share of the human calibration texts above the threshold; never more than ``target_fpr``."""
        return self.above / self.n_human

    @property
    def expected_fpr(self) -> float:
        """Largest expected false positive rate of a further text: (allowed + 1) / (n + 1)."""
        return (self.allowed + 1) / (self.n_human + 1)

    @property
    def smallest_fpr(self) -> float:
        """The smallest target rate that this number of human texts can keep: 1 / (n + 1)."""
        return 1.0 / (self.n_human + 1)

    @property
    def is_shown(self) -> bool:
        """True if there are enough human texts to keep the target rate; else the expected rate is above it."""
        return allowed_above(self.target_fpr, self.n_human) >= 0

    def flags(self, scores: FloatArray) -> list[bool | None]:
        """Return for each score whether it is flagged; ``None`` for a missing score (NaN)."""
        return [None if math.isnan(score) else bool(score > self.threshold) for score in scores]


def allowed_above(target_fpr: float, n: int) -> int:
    """Compute k = floor(f (n + 1)) - 1: how many of n human texts may lie above the threshold for a rate f.

    -1 if n is too small: even above the highest of the n scores the expected rate is 1 / (n + 1) > f.
    """
    return math.floor(target_fpr * (n + 1) + 1e-9) - 1  # 0.07 * 100 is 7.000000000000001, 0.29 * 100 28.99...


def operating_point(human_scores: FloatArray, target_fpr: float) -> OperatingPoint:
    """Set the threshold: the lowest human score with at most :func:`allowed_above` human scores above it.

    If n is too small for the rate, the threshold is the highest human score.

    With continuous scores the true false positive rate at the (k + 1)-th largest of n independent human scores
    follows Beta(k + 1, n - k), whatever the distribution of the scores (the probability integral transform of an
    order statistic); its 97.5 % point is the upper end, and its mean is (k + 1) / (n + 1). With ties the upper end
    stays valid, because breaking ties at random could only flag more. The lower end is the Clopper-Pearson bound of
    the humans actually above, which is valid with any ties, also with ties among human texts at large that the n
    texts do not show; with continuous scores it is a little lower than need be.

    Args:
        human_scores: shape (n,), finite, n >= 2.
        target_fpr: in (0, 1).

    Raises:
        CalibrationError: fewer than two scores, a score that is not finite, or a rate outside (0, 1).
    """
    if not 0.0 < target_fpr < 1.0:
        raise CalibrationError(
            f"a false positive rate must be between 0 and 1, got {target_fpr:g}", "write 5 % as 0.05"
        )
    n = int(human_scores.size)
    if n < 2:
        raise CalibrationError(
            f"a threshold needs at least two human texts, got {n}", "use data with more human texts"
        )
    if not np.isfinite(human_scores).all():
        raise CalibrationError("human scores must be finite", "leave out texts that could not be scored")
    allowed = min(max(allowed_above(target_fpr, n), 0), n - 1)
    threshold = float(np.sort(human_scores)[n - 1 - allowed])
    above = int(np.count_nonzero(human_scores > threshold))
    return OperatingPoint(
        target_fpr=target_fpr,
        threshold=threshold,
        n_human=n,
        allowed=allowed,
        above=above,
        tied=int(np.count_nonzero(human_scores == threshold)),
        low=clopper_pearson(above, n)[0],
        high=clopper_pearson(allowed, n)[1],
    )


def usual_rates(target_fpr: float) -> tuple[float, ...]:
    """List the target rate, then the standard ones, each once."""
    return tuple(dict.fromkeys((target_fpr, *STANDARD_RATES)))


def operating_points(human_scores: FloatArray, target_fprs: Sequence[float]) -> tuple[OperatingPoint, ...]:
    """Compute one operating point per rate, in the order given, each rate once."""
    return tuple(operating_point(human_scores, rate) for rate in dict.fromkeys(target_fprs))


def clopper_pearson(k: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Compute the exact interval of a proportion, given k of n observed (Clopper & Pearson 1934)."""
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if k == 0 else beta_quantile(tail, k, n - k + 1)
    high = 1.0 if k == n else beta_quantile(1.0 - tail, k + 1, n - k)
    return low, high


def beta_quantile(q: float, a: int, b: int) -> float:
    """Compute a quantile of the Beta(a, b) distribution, a, b >= 1."""
    from scipy.special import betaincinv  # scipy.stats takes five times as long to import

    return float(betaincinv(a, b, q))
