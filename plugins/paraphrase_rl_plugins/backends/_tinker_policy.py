"""Sampling through the service: conversations to token ids, answers to rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tinker import types

from paraphrase_rl.plugin import (
    FloatArray,
    Rollout,
    Sampling,
    is_hub_id,
    load_tokenizer_alone,
    prompt_ids,
    resolve,
)
from paraphrase_rl_plugins.backends._tinker_service import Service


class Chat:
    """A model's tokenizer, chat template and end tokens; its weights stay with the service."""

    def __init__(self, model: str) -> None:
        self.tokenizer = load_tokenizer_alone(model)
        self.ends = sorted({int(self.tokenizer.eos_token_id), *_end_ids(model)})

    def prompt(self, conversation: Sequence[Mapping[str, str]]) -> list[int]:
        """Encode a conversation as token ids, at whose end the model's answer begins."""
        return prompt_ids(self.tokenizer, conversation)

    def rollouts(self, group: int, prompt: list[int], answer: Any) -> list[Rollout]:
        """Convert the service's answer to the rollouts of one prompt."""
        return [
            Rollout(
                group=group,
                prompt_ids=prompt,
                completion_ids=list(sequence.tokens),
                logprobs=np.array(sequence.logprobs, dtype=np.float64),
                text=self.tokenizer.decode(sequence.tokens, skip_special_tokens=True),
                finished=bool(sequence.tokens) and sequence.tokens[-1] in self.ends,
            )
            for sequence in answer.sequences
        ]


def _end_ids(model: str) -> list[int]:
    """Further end tokens that the model's generation settings name."""
    from transformers import GenerationConfig

    try:
        settings = GenerationConfig.from_pretrained(model if is_hub_id(model) else resolve(model).path)
    except OSError:
        return []
    ends = settings.eos_token_id
    return [] if ends is None else [int(end) for end in (ends if isinstance(ends, list) else [ends])]


def seed_of(key: Sequence[int]) -> int:
    """Derive the seed for the service from the integers that fix one prompt's randomness.

    The integers are hashed, not added: a server that seeds its i-th sample with seed + i must not share noise between
        prompts.
    """
    return int(np.random.SeedSequence(list(key)).generate_state(1)[0] >> 1)


class TinkerPolicy:
    """Policy whose model is at the service.

    Args:
        sampler: the SDK's ``SamplingClient``.
    """

    def __init__(self, service: Service, sampler: Any, chat: Chat) -> None:
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
        asked = [self.ask(prompt, key, n, sampling) for prompt, key in zip(prompts, keys, strict=True)]
        answers = [self.service.wait(future, "sampling") for future in asked]
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
