"""Order of the prompts, the same on every backend."""

from __future__ import annotations

import numpy as np

from paraphrase_rl.recipe.arithmetic import total_steps
from paraphrase_rl.recipe.schema import Training


def prompt_order(n_prompts: int, training: Training) -> list[list[int]]:
    """Choose the indices of the prompts of each step.

    Every epoch is a permutation that depends on the seed and the epoch alone, so a resumed run has the same
    order as an uninterrupted one.
    """
    batch, order = training.batch_size, []
    for epoch in range(training.epochs):
        permutation = np.random.default_rng((training.seed, epoch)).permutation(n_prompts).tolist()
        order += [permutation[at : at + batch] for at in range(0, n_prompts - batch + 1, batch)]
    return order[: total_steps(n_prompts, training)]
