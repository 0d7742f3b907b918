"""Metric: the recipe's own gates pass the rewrite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from paraphrase_rl.plugin import Context, Measurements, MetricSpec, Options, Reward, RewardBatch, hookimpl

NAME = "format"


class Gate(Options):
    """A reward of role ``validity``."""

    name: str = Field(description="name of the reward")
    options: dict[str, Any] = Field(default_factory=dict, description="its own options")


class ValidityOptions(Options):
    """Options of ``format``."""

    rewards: list[Gate] = Field(min_length=1, description="the gates; those of the recipe unless given")


@hookimpl
def register_metrics() -> Iterable[MetricSpec]:
    return [
        MetricSpec(
            name=NAME,
            summary="1 where the recipe's gates let the rewrite pass, else 0",
            factory=build,
            options=ValidityOptions,
            role="validity",
            better="higher",
            range=(0.0, 1.0),
            needs="a gate among the recipe's rewards",
        )
    ]


def build(options: ValidityOptions, context: Context) -> Gates:
    """Build the metric and its gates."""
    components = context.components()
    return Gates([components.build("rewards", g.name, g.options, context) for g in options.rewards])


class Gates:
    """Metric that is 1 if every gate is above 0, else 0; NaN with the Failure of the gate if a gate fails.

    Args:
        gates: rewards, at least one.
    """

    def __init__(self, gates: Sequence[Reward]) -> None:
        self._gates = gates

    def __call__(self, batch: RewardBatch) -> Measurements:
        rated = [gate(batch) for gate in self._gates]
        lowest = np.min([terms.values for terms in rated], axis=0)  # NaN where any of them is
        reasons = {failure.index: failure for terms in rated for failure in terms.failures}
        return Measurements(
            {NAME: np.where(np.isnan(lowest), np.nan, lowest > 0.0).astype(np.float64)},
            tuple(replace(failure, owner=NAME) for failure in reasons.values()),
        )
