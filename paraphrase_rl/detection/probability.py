"""P(AI) of a score by one logistic curve, which never falls.

Platt's method (Platt 1999, "Probabilistic outputs for support vector machines"), with his smoothed targets.
Two deviations: both classes have the same weight whatever their numbers of texts, so P(AI) assumes that a text is as
likely human as AI; and the slope is never negative, so that a higher score never means a lower P(AI).
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from paraphrase_rl.detection.roc import auroc
from paraphrase_rl.types import FloatArray


class ProbabilityMap(BaseModel):
    """P(AI) = 1 / (1 + exp(-(slope * (score - centre) / scale + intercept))), at equal odds.

    A detector that does not score AI texts above human ones has slope 0: ``has_power`` is False and its P(AI)
    is constant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    centre: float = Field(allow_inf_nan=False)
    scale: float = Field(gt=0, allow_inf_nan=False)
    slope: float = Field(ge=0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)
    auroc: float = Field(ge=0, le=1, description="on the texts the curve was fitted on")

    @property
    def has_power(self) -> bool:
        """True if AI texts score above human texts."""
        return self.slope > 0.0

    def __call__(self, scores: FloatArray) -> FloatArray:
        """P(AI) of shape (N,); NaN stays NaN."""
        known = ~np.isnan(scores)
        values = np.full(scores.shape, np.nan)
        standard = (scores[known] - self.centre) / self.scale
        values[known] = _sigmoid(self.slope * standard + self.intercept)
        return values


def fit_probability(human_scores: FloatArray, ai_scores: FloatArray) -> ProbabilityMap:
    """Fit the curve of P(AI) to the scores of human and AI texts.

    Args:
        human_scores: shape (n,), finite, not empty.
        ai_scores: shape (m,), finite, not empty.
    """
    n, m = human_scores.size, ai_scores.size
    scores = np.concatenate([human_scores, ai_scores])
    centre, spread = float(scores.mean()), float(scores.std())
    scale = spread if spread > 0.0 else 1.0
    targets = np.concatenate([np.full(n, 1.0 / (n + 2)), np.full(m, (m + 1) / (m + 2))])
    weights = np.concatenate([np.full(n, 0.5 / n), np.full(m, 0.5 / m)])
    area = auroc(human_scores, ai_scores)
    slope, intercept = 0.0, 0.0
    if spread > 0.0 and area > 0.5:
        slope, intercept = _logistic((scores - centre) / scale, targets, weights)
    if slope <= 0.0:
        flat = float(weights @ targets)
        slope, intercept = 0.0, float(np.log(flat / (1.0 - flat)))
    return ProbabilityMap(centre=centre, scale=scale, slope=slope, intercept=intercept, auroc=area)


def _logistic(x: FloatArray, targets: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Weighted logistic regression of one variable by Newton's method with step halving.

    The smoothed targets lie strictly between 0 and 1, so the minimum exists even for separable scores.
    """
    design = np.stack([x, np.ones_like(x)], axis=1)
    beta = np.zeros(2)
    loss = _cross_entropy(design @ beta, targets, weights)
    for _ in range(100):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (weights * (p - targets))
        hessian = (design * (weights * p * (1.0 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while True:
            proposal = beta - step
            new_loss = _cross_entropy(design @ proposal, targets, weights)
            if new_loss <= loss or np.abs(step).max() < 1e-12:
                break
            step = step / 2.0
        beta, loss = proposal, new_loss
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0]), float(beta[1])


def _cross_entropy(logits: FloatArray, targets: FloatArray, weights: FloatArray) -> float:
    return float(weights @ (np.logaddexp(0.0, logits) - targets * logits))


def _sigmoid(logits: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(logits))
