"""Arithmetic of a recipe: steps, rollouts, checkpoints, bounds, the published learning rate. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.recipe.schema import CheckpointSettings, Evaluation, Training

LORA_RATE_EXPONENTS = {"llama": 0.781, "qwen": 0.0775}
"""Exponents by model family, as the tinker-cookbook fitted them on supervised runs."""


def total_steps(n_prompts: int, training: Training) -> int:
    """Compute the number of steps of a run: each epoch drops its last incomplete batch; ``max_steps`` is the limit."""
    steps = n_prompts // training.batch_size * training.epochs
    return steps if training.max_steps is None else min(steps, training.max_steps)


def warmup_steps(pairs: int, batch_size: int, epochs: int) -> int:
    """Compute the number of steps of a warm-up; the last batch of an epoch may be smaller."""
    return math.ceil(pairs / batch_size) * epochs


def auto_learning_rate(hidden_size: int, model_type: str) -> float:
    """Compute the published learning rate for LoRA: 5e-5 * 10 * (2000 / hidden size) ** exponent of the model family.

    Args:
        hidden_size: hidden size of the language model.
        model_type: as in the model's ``config.json``, such as ``llama`` or ``qwen3``.

    Raises:
        RecipeError: no exponent was published for this family.
    """
    for family, exponent in LORA_RATE_EXPONENTS.items():
        if model_type.lower().startswith(family):
            return float(5e-5 * 10 * (2000 / hidden_size) ** exponent)
    raise RecipeError(
        f"training.learning_rate: no formula is known for models of type {model_type}",
        f"auto works for {' and '.join(LORA_RATE_EXPONENTS)}; write a number, such as 1e-4",
    )


def largest_advantage(group_size: int, normalize: bool) -> float:
    """Compute the bound of the absolute advantage before clipping, for rewards in [0, 1] and groups of G rollouts.

    Normalised by the group's standard deviation (n - 1): (G - 1) / sqrt(G), reached when one rollout differs from all
    others. Not normalised: (G - 1) / G.
    """
    return (group_size - 1) / (math.sqrt(group_size) if normalize else group_size)


def kept_checkpoints(steps: int, checkpoints: CheckpointSettings) -> list[int]:
    """List the steps of the periodic checkpoints that are on disk at the end, in addition to the final checkpoint."""
    return list(range(checkpoints.every, steps + 1, checkpoints.every))[-checkpoints.keep :]


@dataclass(frozen=True)
class Workload:
    """Work of a run.

    Attributes:
        steps: number of updates.
        rollouts: number of completions sampled for training.
        evaluations: number of periodic evaluations within the run; one more comes before it, one after a warm-up and
            one after the last step.
        evaluation_rollouts: number of completions sampled in all evaluations.
    """

    steps: int
    rollouts: int
    evaluations: int
    evaluation_rollouts: int

    @classmethod
    def of(
        cls, steps: int, training: Training, evaluation: Evaluation, test_prompts: int, *, warmed_up: bool
    ) -> Workload:
        """Count the work of a run of so many steps with so many held-out prompts, that of a warm-up itself left out."""
        periodic = steps // evaluation.every
        in_all = periodic + 1 + warmed_up + (steps % evaluation.every != 0)
        return cls(
            steps=steps,
            rollouts=steps * training.batch_size * training.group_size,
            evaluations=periodic,
            evaluation_rollouts=in_all * min(evaluation.prompts, test_prompts) * evaluation.samples,
        )
