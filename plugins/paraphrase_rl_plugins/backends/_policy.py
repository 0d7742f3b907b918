"""A local model as a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paraphrase_rl.plugin import Chat, Rollout, Sampling
from paraphrase_rl_plugins.backends._sampler import ready_to_sample, sample_groups

ROWS_AT_ONCE = 32
"""Number of rows decoded at once; a step of 32 rows takes 1.7 times as long as one of 8 on a CPU."""


class TrlPolicy:
    """A local model that rewrites."""

    def __init__(self, model: Any, chat: Chat) -> None:
        self.model, self.chat = model, chat
        self.tokenizer = tokenizer = chat.tokenizer
        end = model.generation_config.eos_token_id
        self.end_ids = sorted({tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])} - {None})

    def sample(
        self,
        conversations: Sequence[Sequence[Mapping[str, str]]],
        *,
        n: int,
        keys: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> list[list[Rollout]]:
        """Sample ``n`` rollouts for each conversation, see :class:`paraphrase_rl.plugin.protocols.Policy`."""
        prompts = [self.chat.prompt(conversation) for conversation in conversations]
        at_once = max(1, ROWS_AT_ONCE // n)
        groups: list[list[Rollout]] = []
        with ready_to_sample(self.model):
            for at in range(0, len(prompts), at_once):
                sampled = sample_groups(
                    self.model,
                    prompts[at : at + at_once],
                    keys[at : at + at_once],
                    group_size=n,
                    sampling=sampling,
                    end_ids=self.end_ids,
                    pad_id=self.tokenizer.pad_token_id or 0,
                )
                for local, prompt in enumerate(prompts[at : at + at_once]):
                    rows = sampled[local * n : (local + 1) * n]
                    groups.append(
                        [
                            self.chat.rollout(
                                at + local, prompt, one.ids, one.logprobs, finished=one.finished
                            )
                            for one in rows
                        ]
                    )
        return groups
