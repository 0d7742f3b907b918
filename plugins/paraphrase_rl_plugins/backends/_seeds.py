"""Seeds for samplers that draw their own noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def seed_of(key: Sequence[int]) -> int:
    """Derive a sampler's seed from the integers that fix one prompt's randomness.

    The integers are hashed, not added: a sampler that seeds its i-th sample with seed + i must not share noise between
        prompts.
    """
    return int(np.random.SeedSequence(list(key)).generate_state(1)[0] >> 1)
