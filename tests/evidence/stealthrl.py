"""Plug-in file: the reward design of StealthRL (December 2025), to compare reward designs on one policy.

    R = 1.0 R_det + 1.0 R_sem + 0.5 R_ppl
    R_det = (1 - P(AI) - 0.5) / 0.15, clipped to [-3, 3], P(AI) the weighted mean of the ensemble
    R_sem = max(0, s - 0.90) / 0.10, s = (cosine + 1) / 2
    R_ppl = (q - 0.80) / 0.20 if q >= 0.80, else 0; q = 1 - |ppl - 30| / 50, ppl clipped to [5, 80]
    empty output: R = -1; under 10 words, or over 3 times as long as the source: R = -0.5

Deviations: R_det is standardised by the published initial mean and deviation throughout, not by running ones, because a
reward here has no state; the term for second-language writers is left out, as the data has no groups; a detector that
fails counts as P(AI) = 1. The cosine is of this recipe's encoder, and the bound of R_sem was set for E5, whose cosines
are higher: R_sem is 0 more often here. The value of the reward is (R + 3) / 7.5, which lies in [0, 1]; a linear change
leaves the advantages of a group as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    DEFAULT_ENCODER,
    DEFAULT_LANGUAGE_MODEL,
    Context,
    FloatArray,
    Options,
    PluginError,
    RewardBatch,
    RewardSpec,
    Terms,
    hookimpl,
)

NAME = "stealthrl"
LEAST, MOST = -3.0, 4.5


class StealthOptions(Options):
    """Options of ``stealthrl``."""

    encoder: str = Field(DEFAULT_ENCODER, description="model reference of the sentence encoder")
    language_model: str = Field(DEFAULT_LANGUAGE_MODEL, description="model reference of the language model")


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="the reward design of StealthRL, as one term",
            factory=StealthReward,
            role="evasion",
            options=StealthOptions,
            paper="arXiv 2602.08934",
        )
    ]


class StealthReward:
    """Total of the design, scaled to [0, 1]."""

    def __init__(self, options: StealthOptions, context: Context) -> None:
        if context.ensemble is None:
            raise PluginError(
                f"reward {NAME!r} needs calibrated detectors, and there are none", "list detectors"
            )
        self.ensemble = context.ensemble
        components = context.components()
        self.similarity = components.build(
            "rewards", "semantic-similarity", {"model": options.encoder}, context
        )
        self.fluency = components.build("rewards", "fluency", {"model": options.language_model}, context)

    def __call__(self, batch: RewardBatch) -> Terms:
        judged = self.ensemble.judge(batch.rewrites)
        meaning, fluency = self.similarity(batch), self.fluency(batch)
        total = design(judged.highest, meaning.values, fluency.details["perplexity"], *_lengths(batch))
        values = (total - LEAST) / (MOST - LEAST)
        failures = {f.index: f for found in (fluency, meaning) for f in found.failures}
        failures |= {f.index: f for f in judged.combined.failures}
        return Terms(values, tuple(failures[i] for i in np.flatnonzero(np.isnan(values)).tolist()))


def design(
    p_ai: FloatArray, cosine: FloatArray, perplexity: FloatArray, words: FloatArray, source_words: FloatArray
) -> FloatArray:
    """Compute R of N rewrites, each argument of shape (N,); NaN where something is not known of a valid one."""
    detection = np.clip((1.0 - p_ai - 0.5) / 0.15, -3.0, 3.0)
    similarity = np.maximum(0.0, (cosine + 1.0) / 2.0 - 0.90) / 0.10
    quality = 1.0 - np.abs(np.clip(perplexity, 5.0, 80.0) - 30.0) / 50.0
    fluency = np.where(quality >= 0.80, (quality - 0.80) / 0.20, 0.0)
    total = detection + similarity + 0.5 * np.where(np.isnan(perplexity), np.nan, fluency)
    total = np.where((words < 10) | (words > 3 * source_words), -0.5, total)
    return np.where(words == 0, -1.0, total)


def _lengths(batch: RewardBatch) -> tuple[FloatArray, FloatArray]:
    rewrites = np.array([len(text.split()) for text in batch.rewrites], dtype=np.float64)
    return rewrites, np.array([len(source.text.split()) for source in batch.sources], dtype=np.float64)
