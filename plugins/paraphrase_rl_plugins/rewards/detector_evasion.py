"""Reward: the recipe's calibrated detectors give the rewrite a low P(AI)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import (
    Context,
    FloatArray,
    Judgement,
    Options,
    PluginError,
    ProbabilityModel,
    RewardBatch,
    RewardSpec,
    Terms,
    hookimpl,
)

NAME = "detector-evasion"


class EvasionOptions(Options):
    """Options of ``detector-evasion``."""

    shape: Literal["probability", "threshold"] = Field(
        "probability",
        description="evasion of one detector: 1 - P(AI), or full from its threshold less the margin on",
    )
    margin: float = Field(
        0.25,
        ge=0,
        description="shape threshold: how far below the threshold evasion is full, in standard deviations of the "
        "detector's scores of the calibration texts",
    )
    width: float = Field(
        3.0,
        gt=0,
        description="shape threshold: over how many of these standard deviations evasion rises from 0 to 1",
    )
    weights: Literal["recipe", "power"] = Field(
        "recipe",
        description="weights in the mean: the recipe's, or these times 2 AUROC - 1 of each detector on the calibration "
        "texts, which it was not fitted on",
    )


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="1 - P(AI), combined over the recipe's calibrated detectors",
            factory=build,
            role="evasion",
            options=EvasionOptions,
            metric="detector",
            cost="cost of the recipe's detectors",
        )
    ]


def build(options: EvasionOptions, context: Context) -> DetectorEvasion:
    """Build the reward.

    Raises:
        PluginError: there is no ensemble.
    """
    return DetectorEvasion(required_ensemble(context, NAME), options)


def required_ensemble(context: Context, reward: str) -> ProbabilityModel:
    """Return the ensemble of the context.

    Raises:
        PluginError: the context has no ensemble.
    """
    if context.ensemble is None:
        raise PluginError(
            f"reward {reward!r} needs calibrated detectors, and there are none",
            "list detectors in the recipe and use data with a calibration split, or remove the reward",
        )
    return context.ensemble


class DetectorEvasion:
    """Evasion of each rewrite, in [0, 1], higher = less likely AI, combined over the detectors of the ensemble.

    The evasion of one detector is 1 - P(AI) from its own calibration (``shape: probability``), or it rises linearly in
    the detector's score and is 1 from ``margin`` below its threshold on, where a deeper escape pays nothing more
    (``shape: threshold``). The recipe's ``ensemble.combine`` says how they are combined: weighted mean, or the
    smallest.

    Where a detector fails, its evasion counts as 0, the least that it could have been, so that a text that a detector
    cannot read is never a gain. A rewrite that no detector can score has a Failure.

    ``details`` have the P(AI) of each detector as ``p_DETECTOR``, NaN if the detector failed.
    """

    def __init__(self, ensemble: ProbabilityModel, options: EvasionOptions | None = None) -> None:
        self.ensemble = ensemble
        self.options = options or EvasionOptions()

    def __call__(self, batch: RewardBatch) -> Terms:
        judged = self.ensemble.judge(batch.rewrites)
        details: dict[str, FloatArray] = {
            f"p_{name}": scores.values for name, scores in judged.probabilities.items()
        }
        evasions = {name: self._evasion(judged, name) for name in judged.weights}
        weights = {
            name: weight * (judged.powers[name] if self.options.weights == "power" else 1.0)
            for name, weight in judged.weights.items()
        }
        return Terms(judged.evasion(evasions, weights), judged.combined.failures, details)

    def _evasion(self, judged: Judgement, name: str) -> FloatArray:
        """Evasion of one detector, shape (N,); NaN where it failed."""
        if self.options.shape == "probability":
            return 1.0 - judged.probabilities[name].values
        reached: FloatArray = np.clip(
            1.0 + (judged.below[name] - self.options.margin) / self.options.width, 0.0, 1.0
        )
        return reached
