"""Samplers of the local backend: the model that is trained itself, or vLLM with a copy of its adapter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from paraphrase_rl.plugin import Sampling
from paraphrase_rl_plugins.backends._decoding import decodes_in_groups
from paraphrase_rl_plugins.backends._sampler import (
    Sampled,
    attends_to_everything,
    ready_to_sample,
    sample_groups,
)


class GroupSampler(Protocol):
    """Samples groups of completions from the current policy.

    Attributes:
        exact: True if the weights it samples with are those that are trained, in memory; False for a copy elsewhere.
    """

    exact: bool

    def sample(
        self,
        prompts: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        *,
        group_size: int,
        sampling: Sampling,
    ) -> list[Sampled]:
        """Sample ``group_size`` completions of each prompt, groups one after the other; ``keys`` fix the randomness.

        Log-probabilities are left out where the sampler cannot give those of the whole, untruncated distribution.
        """
        ...


class OwnSampler:
    """Samples with the model that is trained, on its device.

    Args:
        model: any causal language model of transformers, wrapped by peft or not.
        end_ids: tokens that end a completion.
        rows_at_once: number of completions decoded together; ``None`` = all.
    """

    exact = True

    def __init__(
        self, model: Any, end_ids: Sequence[int], pad_id: int, rows_at_once: int | None = None
    ) -> None:
        self.model, self.end_ids, self.pad_id = model, end_ids, pad_id
        self.rows_at_once = rows_at_once

    def sample(
        self,
        prompts: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        *,
        group_size: int,
        sampling: Sampling,
    ) -> list[Sampled]:
        """See :class:`GroupSampler`."""
        at_once = len(prompts) if self.rows_at_once is None else max(1, self.rows_at_once // group_size)
        sampled: list[Sampled] = []
        with ready_to_sample(self.model):
            for at in range(0, len(prompts), max(1, at_once)):
                sampled += sample_groups(
                    self.model,
                    prompts[at : at + at_once],
                    keys[at : at + at_once],
                    group_size=group_size,
                    sampling=sampling,
                    end_ids=self.end_ids,
                    pad_id=self.pad_id,
                    in_groups=self._in_groups,
                )
        return sampled

    @cached_property
    def _in_groups(self) -> bool:
        return attends_to_everything(self.model) and decodes_in_groups(self.model)
