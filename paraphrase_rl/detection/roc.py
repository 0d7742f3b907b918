"""AUROC: how well scores separate AI texts from human ones. Higher scores = more likely AI, everywhere."""

from __future__ import annotations

import numpy as np

from paraphrase_rl.types import FloatArray


def auroc(human_scores: FloatArray, ai_scores: FloatArray) -> float:
    """Compute the probability that a random AI text scores above a random human one; a tie counts one half.

    Args:
        human_scores: shape (n,), finite, not empty.
        ai_scores: shape (m,), finite, not empty.
    """
    if not human_scores.size or not ai_scores.size:
        raise ValueError("AUROC needs scores of both human and AI texts")
    humans = np.sort(human_scores)
    below = np.searchsorted(humans, ai_scores, side="left")
    not_above = np.searchsorted(humans, ai_scores, side="right")
    return float((below + not_above).sum() / (2.0 * humans.size * ai_scores.size))
