"""Check that a sampler with weights of its own has those of the trainer: one prompt's log-probabilities from both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from paraphrase_rl.plugin import FloatArray
from paraphrase_rl_plugins.backends._sampler import last_of

SAME_MODEL = 0.2
"""Largest mean difference, in nats a token, of one base model computed by two programs in half precision."""

LEAST = 0.01
"""Mean difference, in nats a token, below which nothing is said: the recipe's bound of ``kl_sample_train``."""

TIMES_NOISE = 3.0
"""How many times the difference without an adapter the one with it may be."""

MOVED = 1e-3
"""Mean change of the trainer's log-probabilities, in nats a token, from which the sampler's must have changed too."""


PROBE_TOKENS = 64
"""Most tokens of the completion that a sampler is asked about."""


def trainer_logprobs(model: Any, prompt: list[int], completion: list[int]) -> FloatArray:
    """Compute a completion's log-probabilities at temperature 1, shape (T,), as the trainer computes them."""
    ids = torch.tensor([[*prompt, *completion]], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids, logits_to_keep=last_of(ids, len(completion) + 1)).logits[0, :-1]
        chosen = torch.log_softmax(logits.float(), -1).gather(1, ids[0, len(prompt) :, None])
    values: FloatArray = chosen[:, 0].cpu().double().numpy().astype(np.float64)
    return values


@dataclass(frozen=True, slots=True)
class Probe:
    """Log-probabilities of the same completion, each of shape (T,).

    Attributes:
        sampler_base, sampler: from the sampler, without an adapter and with the one that it has.
        trainer_base, trainer: from the trainer, with the adapter switched off and as it is.
    """

    sampler_base: FloatArray
    sampler: FloatArray
    trainer_base: FloatArray
    trainer: FloatArray

    @property
    def noise(self) -> float:
        """Mean difference of sampler and trainer on the base model, nats a token."""
        return float(np.abs(self.sampler_base - self.trainer_base).mean())

    @property
    def error(self) -> float:
        """Mean difference of sampler and trainer on the policy, nats a token."""
        return float(np.abs(self.sampler - self.trainer).mean())


def why_stale(probe: Probe, before: Probe | None) -> str | None:
    """Return why the sampler does not have the trainer's weights; ``None`` if nothing speaks against it.

    Args:
        before: the same completion, asked for before some update; ``None`` if it was not.
    """
    values = np.concatenate([probe.sampler_base, probe.sampler, probe.trainer_base, probe.trainer])
    if not np.isfinite(values).all():
        return "it gives log-probabilities that are not finite numbers"
    if probe.noise > SAME_MODEL:
        return (
            f"without an adapter its log-probabilities differ by {probe.noise:.3g} nats a token from the trainer's:"
            " it has another model"
        )
    if probe.error > max(LEAST, TIMES_NOISE * probe.noise):
        return (
            f"its log-probabilities differ by {probe.error:.3g} nats a token from the trainer's, and by"
            f" {probe.noise:.3g} without an adapter: it has an earlier adapter, or none"
        )
    if before is not None and np.array_equal(probe.sampler, before.sampler):
        moved = float(np.abs(probe.trainer - before.trainer).mean())
        if moved > MOVED:
            return f"its log-probabilities are those of before, the trainer's have moved by {moved:.3g} nats a token"
    return None
