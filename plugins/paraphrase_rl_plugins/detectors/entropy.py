"""Mean entropy of the model's next-token distributions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from paraphrase_rl.plugin import DetectorSpec, FloatArray, TokenStatistics, hookimpl, zero_shot_spec


def entropy(statistics: TokenStatistics) -> float:
    """Compute minus the mean entropy of p(. | x_<t), in nats, at most 0; higher = more likely AI.

    Gehrmann et al. 2019 (GLTR): a model is more certain of the next token in AI text, which holds for text of chat
    models. DetectGPT and its descendants use the opposite sign (high entropy = AI), which holds only for plain
    samples of base models; on text of chat models it is worse than chance (AUROC 0.32 measured).
    """
    return -float(np.mean(statistics.entropy, dtype=np.float64))


def shares(statistics: TokenStatistics) -> FloatArray:
    """Compute what each position adds to the score: minus the entropy before the token / T."""
    return -statistics.entropy.astype(np.float64) / len(statistics)


@hookimpl
def register_detectors() -> Iterable[DetectorSpec]:
    return [
        zero_shot_spec(
            "entropy",
            "Mean entropy of the next-token distributions, negated",
            entropy,
            shares=shares,
            paper="https://arxiv.org/abs/1906.04043",
            direction="lower",
        )
    ]
