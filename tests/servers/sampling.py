"""Requests for completions while they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tinker.proto import tinker_public_pb2 as pb


@dataclass
class Sampling:
    """One request for completions, and how far it has come."""

    prompt: list[int]
    settings: dict[str, Any]
    ends: set[int]
    generator: torch.Generator
    sequences: list[tuple[list[int], list[float]]]

    @classmethod
    def of(cls, request: dict[str, Any], ends: set[int]) -> Sampling:
        settings, stop = request["sampling_params"], request["sampling_params"].get("stop")
        if stop is not None and not all(isinstance(end, int) for end in stop):
            raise ValueError("this server stops at token ids only")
        generator = torch.Generator()
        generator.manual_seed(settings["seed"]) if settings.get("seed") is not None else generator.seed()
        prompt = [token for chunk in request["prompt"]["chunks"] for token in chunk["tokens"]]
        sequences: list[tuple[list[int], list[float]]] = [
            ([], []) for _ in range(request.get("num_samples", 1))
        ]
        return cls(prompt, settings, ends if stop is None else set(stop), generator, sequences)

    @property
    def rows(self) -> int:
        return len(self.sequences)

    def _ended(self, tokens: list[int]) -> bool:
        return bool(tokens) and tokens[-1] in self.ends

    def _live(self, tokens: list[int]) -> bool:
        return len(tokens) < (self.settings.get("max_tokens") or 256) and not self._ended(tokens)

    @property
    def alive(self) -> bool:
        return any(self._live(tokens) for tokens, _ in self.sequences)

    def append(self, tokens: list[int], logprobs: list[float]) -> None:
        for (ids, values), token, logprob in zip(self.sequences, tokens, logprobs, strict=True):
            if self._live(ids):
                ids.append(token)
                values.append(logprob)

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        temperature, top_p = self.settings.get("temperature", 1.0), self.settings.get("top_p", 1.0)
        if temperature == 0:
            return logits.argmax(-1)
        likely, ids = (logits / temperature).softmax(-1).sort(dim=-1, descending=True)
        nucleus = likely.masked_fill(likely.cumsum(-1) - likely >= top_p, 0.0)
        return ids.gather(1, torch.multinomial(nucleus, 1, generator=self.generator))[:, 0]

    def response(self) -> Any:
        message = pb.SampleResponse()
        for tokens, logprobs in self.sequences:
            message.sequences.add(
                stop_reason=pb.STOP_REASON_STOP if self._ended(tokens) else pb.STOP_REASON_LENGTH,
                tokens=np.array(tokens, "<i4").tobytes(),
                logprobs=f32(logprobs),
            )
        return message


def split(values: torch.Tensor, asked: list[Sampling]) -> tuple[torch.Tensor, ...]:
    return values.split([one.rows for one in asked])


def left_pad(prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def f32(values: Any) -> bytes:
    return np.asarray(values, "<f4").tobytes()
