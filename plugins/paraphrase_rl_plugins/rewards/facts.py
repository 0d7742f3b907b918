"""Reward: the rewrite keeps the numbers, names and negations of the source, and adds none. English text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import Context, NoOptions, RewardBatch, RewardSpec, Terms, hookimpl
from paraphrase_rl_plugins.metrics._facts import agreement, names, negations_agreement
from paraphrase_rl_plugins.metrics._numbers import numbers
from paraphrase_rl_plugins.metrics._pairwise import Pairwise

MEASURES = Pairwise(numbers=agreement(numbers), names=agreement(names), negations=negations_agreement)


@hookimpl
def register_rewards() -> Iterable[RewardSpec]:
    return [
        RewardSpec(
            name="facts-kept",
            metric="facts",
            summary="numbers, names and negations kept over those kept, lost and added, mean of the kinds there are",
            factory=build,
            role="meaning",
            default_weight=0.5,
            cost="none: rules on the text",
        )
    ]


def build(options: NoOptions, context: Context) -> Facts:  # noqa: ARG001 - the factory's signature
    """Build the reward."""
    return Facts()


class Facts:
    """Agreement of source and rewrite in numbers, names and negations, in [0, 1], higher = more agreement.

    For each kind: items kept over items kept, lost and added, by the rules of the metrics ``numbers-kept``,
    ``names-added`` and their like. The value is the mean of the kinds that occur in either text, 1 if none does.
    ``details`` have the value of each kind, NaN where it does not occur.
    """

    def __call__(self, batch: RewardBatch) -> Terms:
        details = MEASURES(batch).values
        table = np.stack(list(details.values()))
        known = np.isfinite(table)
        kinds = known.sum(axis=0)
        summed = np.where(known, table, 0.0).sum(axis=0)
        return Terms(np.where(kinds > 0, summed / np.maximum(kinds, 1), 1.0), details=details)
