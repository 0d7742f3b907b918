"""What the policy is told, and in which order it meets the texts. The same on every backend."""

from __future__ import annotations

import numpy as np

from paraphrase_rl.recipe.arithmetic import total_steps
from paraphrase_rl.recipe.schema import Prompt, Training


def messages(prompt: Prompt, text: str) -> list[dict[str, str]]:
    """The conversation that asks for one rewrite."""
    return [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": f"{prompt.instruction}\n\n{text}"},
    ]


def prompt_order(n_prompts: int, training: Training) -> list[list[int]]:
    """For each step the indices of its prompts.

    Every epoch is a permutation that depends on the seed and the epoch alone, so a resumed run sees what an
    unbroken one would have seen.
    """
    batch, order = training.batch_size, []
    for epoch in range(training.epochs):
        permutation = np.random.default_rng((training.seed, epoch)).permutation(n_prompts).tolist()
        order += [permutation[at : at + batch] for at in range(0, n_prompts - batch + 1, batch)]
    return order[: total_steps(n_prompts, training)]
