"""vLLM's interface, as far as the trl backend uses it, on a CPU: the names and the rules of vLLM 0.31.

What it keeps of the real one: an adapter is read from its folder when a request first names its number, and from memory
after that; log-probabilities are raw (temperature 1, full softmax) whatever is sampled; a seed belongs to a request,
and its i-th sample has seed + i; answers carry the end token; requests of a call that failed stay, and the next call
answers them too, before its own. ``Faulty`` ones go wrong as real ones did.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends import _trainer  # noqa: F401 - trl looks for vllm when it is imported
from peft import PeftModel
from transformers import AutoModelForCausalLM


@dataclass(kw_only=True)
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = 16
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str = ""


@dataclass
class Logprob:
    logprob: float
    rank: int | None = 1


@dataclass
class Completion:
    index: int
    token_ids: Sequence[int]
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str


@dataclass
class Answer:
    outputs: list[Completion]
    prompt_logprobs: list[dict[int, Logprob] | None] | None


class LLM:
    """A base model, and the adapters that requests name."""

    made: list[LLM] = []  # noqa: RUF012

    def __init__(
        self,
        model: str,
        *,
        trust_remote_code: bool,
        enable_lora: bool,
        max_loras: int,
        max_lora_rank: int,
        gpu_memory_utilization: float,
        max_model_len: int,
        seed: int,
        generation_config: str,
        logprobs_mode: str,
    ) -> None:
        assert enable_lora
        assert logprobs_mode == "raw_logprobs"
        self.asked = dict(locals())
        self.base = AutoModelForCausalLM.from_pretrained(model).eval()
        self.folder, self.longest, self.rank = model, max_model_len, max_lora_rank
        self.adapters: dict[int, Any] = {}
        self.seeds: list[int | None] = []
        self.waiting: list[tuple[LoRARequest | None, list[int], SamplingParams]] = []
        self.calls = 0
        LLM.made.append(self)

    def adapter(self, request: LoRARequest) -> Any:
        if request.lora_int_id not in self.adapters:
            fresh = AutoModelForCausalLM.from_pretrained(self.folder)
            loaded = PeftModel.from_pretrained(fresh, request.lora_path)
            assert loaded.peft_config["default"].r <= self.rank
            self.adapters[request.lora_int_id] = loaded.eval()
        return self.adapters[request.lora_int_id]

    def model(self, request: LoRARequest | None) -> Any:
        return self.base if request is None else self.adapter(request)

    def noise(self, logits: torch.Tensor) -> torch.Tensor:
        return logits

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: Sequence[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[Answer]:
        self.calls += 1
        for prompt, asked in zip(prompts, sampling_params, strict=True):
            self.waiting.append((lora_request, prompt["prompt_token_ids"], asked))
        self.run()
        answers = [self.answer(self.model(request), ids, asked) for request, ids, asked in self.waiting]
        self.waiting.clear()
        return answers

    def run(self) -> None:
        """Where a call may fail."""

    @torch.no_grad()
    def answer(self, model: Any, prompt: list[int], asked: SamplingParams) -> Answer:
        assert len(prompt) + (asked.max_tokens or 0) <= self.longest
        known = None
        if asked.prompt_logprobs is not None:
            raw = torch.log_softmax(self.noise(model(input_ids=torch.tensor([prompt])).logits[0]), -1)
            known = [None, *({t: Logprob(float(raw[i, t]))} for i, t in enumerate(prompt[1:]))]
        self.seeds.append(asked.seed)
        return Answer([self.complete(model, prompt, asked, i) for i in range(asked.n)], known)

    def complete(self, model: Any, prompt: list[int], asked: SamplingParams, index: int) -> Completion:
        generator = torch.Generator().manual_seed((asked.seed or 0) + index)
        ids: list[int] = []
        logprobs = []
        ends = set(asked.stop_token_ids or ())
        while len(ids) < (asked.max_tokens or 0) and not (ids and ids[-1] in ends):
            logits = self.noise(model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, -1])
            chances = torch.softmax(logits / asked.temperature, -1)
            likely, order = chances.sort(descending=True)
            likely[likely.cumsum(0) - likely >= asked.top_p] = 0.0
            token = int(order[torch.multinomial(likely, 1, generator=generator)])
            ids.append(token)
            logprobs.append({token: Logprob(float(torch.log_softmax(logits, -1)[token]))})
        reason = "stop" if ids[-1] in ends else "length"
        return Completion(index, tuple(ids), logprobs if asked.logprobs is not None else None, reason)


class NeverSynchronised(LLM):
    """Samples with the base model whatever adapter is named (verl#7495)."""

    def model(self, request: LoRARequest | None) -> Any:
        return self.base


class FirstAdapterAlone(LLM):
    """Keeps the first adapter it was given (ART#661)."""

    def adapter(self, request: LoRARequest) -> Any:
        return super().adapter(
            request if not self.adapters else LoRARequest("kept", next(iter(self.adapters)))
        )


class OneStepBehind(LLM):
    """Samples with the adapter before the one that is named."""

    def adapter(self, request: LoRARequest) -> Any:
        newest = super().adapter(request)
        return self.adapters.get(request.lora_int_id - 1, newest)


class AnotherModel(LLM):
    """Has other weights than the model of the run."""

    def __init__(self, model: str, **named: Any) -> None:
        super().__init__(model, **named)
        torch.manual_seed(77)
        for parameter in self.base.parameters():
            parameter.data = parameter.data + 0.3 * torch.randn_like(parameter)


class HalfPrecision(LLM):
    """Computes as another program in half precision does: log-probabilities are off by a few hundredths of a nat."""

    def noise(self, logits: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(int(abs(float(logits.sum())) * 1e4) % 2**31)
        return logits + 0.02 * torch.randn(logits.shape, generator=generator)


class NoLogprobs(LLM):
    """Answers without log-probabilities of what it samples."""

    def complete(self, model: Any, prompt: list[int], asked: SamplingParams, index: int) -> Completion:
        one = super().complete(model, prompt, asked, index)
        return Completion(one.index, one.token_ids, None, one.finish_reason)


class Damaged(LLM):
    """Answers with log-probabilities that are not numbers."""

    def complete(self, model: Any, prompt: list[int], asked: SamplingParams, index: int) -> Completion:
        one = super().complete(model, prompt, asked, index)
        return Completion(one.index, one.token_ids, [{t: Logprob(math.nan)} for t in one.token_ids], "stop")


class Failing(LLM):
    """Fails at the calls whose numbers, from 1, are ``at``: by default whenever something is first asked for."""

    at: Container[int] = range(1, 10**6, 2)

    def run(self) -> None:
        if self.calls in self.at:
            raise RuntimeError("CUDA error: an illegal memory access\nsecond line")


class NoRoom(LLM):
    """Does not start."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ValueError("Free memory on device is less than desired\nsecond line")


@contextmanager
def installed(engine: type[LLM] = LLM, *, on_gpu: bool = True) -> Iterator[type[LLM]]:
    """Put the double in the place of ``vllm``; ``on_gpu``: and let the CPU pass for a GPU."""
    vllm, lora, request = (types.ModuleType(n) for n in ("vllm", "vllm.lora", "vllm.lora.request"))
    vllm.LLM, vllm.SamplingParams, request.LoRARequest = engine, SamplingParams, LoRARequest  # type: ignore[attr-defined]
    vllm.__spec__ = types.SimpleNamespace(name="vllm")  # type: ignore[assignment]
    LLM.made.clear()
    with pytest.MonkeyPatch.context() as patch:
        for module in (vllm, lora, request):
            patch.setitem(sys.modules, module.__name__, module)
        if on_gpu:
            from paraphrase_rl_plugins.backends import _sampler_choice

            real = _sampler_choice.why_not
            patch.setattr(
                _sampler_choice,
                "why_not",
                lambda device, *rest: real("cuda" if device == "cpu" else device, *rest),
            )
        yield engine
