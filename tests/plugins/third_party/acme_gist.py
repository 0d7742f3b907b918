"""A reward and a metric of similarity under names of their own: the share of letters in common."""

from collections import Counter

import numpy as np

from paraphrase_rl.plugin import Measurements, MetricSpec, RewardSpec, Terms, hookimpl


def in_common(batch):
    shares = []
    for source, rewrite in zip(batch.sources, batch.rewrites, strict=True):
        ours, theirs = Counter(rewrite.lower()), Counter(source.text.lower())
        shares.append((ours & theirs).total() / max(1, (ours | theirs).total()))
    return np.array(shares, dtype=np.float64)


@hookimpl
def register_rewards():
    return [
        RewardSpec(
            name="gist",
            summary="letters in common",
            factory=lambda options, context: lambda batch: Terms(in_common(batch)),
            role="meaning",
        )
    ]


@hookimpl
def register_metrics():
    return [
        MetricSpec(
            name="gist-preserved",
            summary="share of letters in common",
            factory=lambda options, context: lambda batch: Measurements({"gist-preserved": in_common(batch)}),
            role="meaning",
            better="higher",
            range=(0.0, 1.0),
        )
    ]
