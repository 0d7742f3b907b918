"""Reward: the recipe's calibrated detectors give the rewrite a low P(AI)."""

from __future__ import annotations

from collections.abc import Iterable

from paraphrase_rl.plugin import (
    Context,
    FloatArray,
    NoOptions,
    PluginError,
    ProbabilityModel,
    RewardBatch,
    RewardSpec,
    Terms,
    hookimpl,
)

NAME = "detector-evasion"


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="1 - P(AI), combined over the recipe's calibrated detectors",
            factory=build,
            role="evasion",
            metric="detector",
            cost="cost of the recipe's detectors",
        )
    ]


def build(options: NoOptions, context: Context) -> DetectorEvasion:  # noqa: ARG001 - a factory
    """Build the reward.

    Raises:
        PluginError: there is no ensemble.
    """
    return DetectorEvasion(required_ensemble(context, NAME))


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
    """1 - P(AI) of each rewrite, in [0, 1], higher = less likely AI.

    P(AI) comes from each detector's own calibration; the recipe's ``ensemble.combine`` says how they are combined
    (weighted mean, or the largest). A rewrite for which the ensemble has no probability gets its
    Failure.

    ``details`` have the P(AI) of each detector as ``p_DETECTOR``, NaN if the detector failed.
    """

    def __init__(self, ensemble: ProbabilityModel) -> None:
        self.ensemble = ensemble

    def __call__(self, batch: RewardBatch) -> Terms:
        by_detector, combined = self.ensemble.probabilities(batch.rewrites)
        details: dict[str, FloatArray] = {f"p_{name}": scores.values for name, scores in by_detector.items()}
        return Terms(1.0 - combined.values, combined.failures, details)
