"""Sampling through the service: conversations to token ids, answers to rollouts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tinker import types

from paraphrase_rl.plugin import (
    Chat,
    FloatArray,
    Rollout,
    Sampling,
    load_tokenizer_alone,
)
from paraphrase_rl_plugins.backends._end_ids import end_ids, saved_settings
from paraphrase_rl_plugins.backends._seeds import seed_of
from paraphrase_rl_plugins.backends._tinker_service import Service


class ServedChat(Chat):
    """A model's tokenizer, chat template and end tokens; its weights stay with the service."""

    def __init__(self, model: str, *, thinking: bool = False) -> None:
        super().__init__(load_tokenizer_alone(model), model, thinking=thinking)
        self.ends = end_ids(self.tokenizer, saved_settings(model))

    def rollouts(self, group: int, prompt: list[int], answer: Any) -> list[Rollout]:
        """Convert the service's answer to the rollouts of one prompt."""
        return [
            self.rollout(
                group,
                prompt,
                list(sequence.tokens),
                sequence.logprobs,
                finished=bool(sequence.tokens) and sequence.tokens[-1] in self.ends,
            )
            for sequence in answer.sequences
        ]


class TinkerPolicy:
    """Policy whose model is at the service.

    Args:
        sampler: the SDK's ``SamplingClient``.
    """

    def __init__(self, service: Service, sampler: Any, chat: ServedChat) -> None:
        self.service, self.sampler, self.chat = service, sampler, chat

    def ask(
        self,
        prompt: list[int],
        key: Sequence[int],
        n: int,
        sampling: Sampling,
    ) -> Any:
        """Ask for ``n`` samples of one prompt; return the SDK's future."""
        settings = types.SamplingParams(
            max_tokens=sampling.max_tokens,
            seed=seed_of(key),
            stop=self.chat.ends,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
        )
        return self.service.submit(self.sampler.sample(types.ModelInput.from_ints(prompt), n, settings))

    def score(self, rollout: Rollout) -> Any:
        """Ask for the log-probabilities of a rollout's tokens; see :func:`scores`."""
        ids = [*rollout.prompt_ids, *rollout.completion_ids]
        return self.service.submit(self.sampler.compute_logprobs(types.ModelInput.from_ints(ids)))

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
        requests = [
            functools.partial(self.ask, prompt, key, n, sampling)
            for prompt, key in zip(prompts, keys, strict=True)
        ]
        asked = [(request(), request) for request in requests]
        answers = [self.service.wait(future, "sampling", request) for future, request in asked]
        return [
            self.chat.rollouts(group, prompt, answer)
            for group, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]


def scores(rollout: Rollout, answer: Sequence[float | None]) -> FloatArray:
    """Return the log-probabilities of the completion, shape (T,), given those of the whole sequence.

    They are taken from the end: some servers leave out the first token, which has no log-probability.
    """
    completion = answer[len(answer) - len(rollout.completion_ids) :]
    return np.array(completion, dtype=np.float64)
