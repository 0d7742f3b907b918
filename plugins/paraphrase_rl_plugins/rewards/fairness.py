"""Reward: detectors give rewrites of texts by second-language writers a low P(AI)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import Context, Options, Reward, RewardBatch, RewardSpec, Terms, hookimpl
from paraphrase_rl_plugins.rewards.detector_evasion import DetectorEvasion, required_ensemble

NAME = "fairness"


class FairnessOptions(Options):
    """Options of ``fairness``."""

    groups: tuple[str, ...] = Field(
        ("non-native",), min_length=1, description="groups of writers that count as second-language writers"
    )


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name=NAME,
            summary="1 - P(AI) on texts by second-language writers, 1 elsewhere; off if the data has no groups",
            factory=build,
            role="fairness",
            options=FairnessOptions,
            default_weight=0.2,
            needs_groups=True,
            cost="none in addition to detector-evasion: the same scores",
        )
    ]


def build(options: FairnessOptions, context: Context) -> Fairness:
    """Build the reward.

    Raises:
        PluginError: there is no ensemble.
    """
    return Fairness(DetectorEvasion(required_ensemble(context, NAME)), options.groups)


class Fairness:
    """Reward in [0, 1]: 1 - P(AI) if the writer of the source belongs to one of ``groups``, else 1.

    Only the texts of those groups are scored. ``details['protected']`` is 1 for these texts, else 0.
    """

    def __init__(self, evasion: Reward, groups: Iterable[str]) -> None:
        self.evasion = evasion
        self.groups = frozenset(groups)

    def __call__(self, batch: RewardBatch) -> Terms:
        protected = np.array([source.group in self.groups for source in batch.sources], dtype=np.float64)
        where = np.flatnonzero(protected)
        values = np.ones(len(batch))
        if not where.size:
            return Terms(values, details={"protected": protected})
        rated = self.evasion(batch.subset(where.tolist()))
        values[where] = rated.values
        failures = tuple(replace(failure, index=int(where[failure.index])) for failure in rated.failures)
        return Terms(values, failures, {"protected": protected})
