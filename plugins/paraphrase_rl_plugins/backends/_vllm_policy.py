"""Policies of an evaluation that vLLM samples: one engine for a base model and every adapter of it, one after another.

An adapter is used as it was saved, never merged. Whether vLLM really samples with it is asked once: log-probabilities
of one rewrite are compared with those that the model computes itself.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.plugin import Chat, RecipeError, RunError, Sampling, find_model, load_causal_lm, resolve
from paraphrase_rl_plugins.backends import _sampler_choice, _vllm
from paraphrase_rl_plugins.backends._end_ids import end_ids, saved_settings
from paraphrase_rl_plugins.backends._sampler import Sampled
from paraphrase_rl_plugins.backends._sampler_check import PROBE_TOKENS, Probe, trainer_logprobs, why_stale
from paraphrase_rl_plugins.backends._vllm import VllmSampler

ROOM = 4096
"""Tokens of a prompt and its rewrite that vLLM has room for at first; a longer text starts it again with more."""
RANK = 32
"""Rank of adapters that it has room for at least: that of the recipe, so that a base model and its policy share it."""


@dataclass(frozen=True)
class _Engine:
    """The engine of this process, and what it was started with. A card has no room for two."""

    llm: Any
    model: Path
    memory: float
    rank: int
    longest: int


_running: _Engine | None = None


def engine_for(model: str, *, memory: float, rank: int, longest: int) -> Any:
    """Return the running engine if it has the model and room for a rank and a length; else start another in its place.

    Raises:
        RunError: vLLM cannot be started.
    """
    global _running
    path, now = resolve(model).path, _running
    if (
        now is not None
        and (now.model, now.memory) == (path, memory)
        and rank <= now.rank
        and longest <= now.longest
    ):
        return now.llm
    now = None
    release()
    rank, longest = max(rank, RANK), max(longest, _room(model))
    # this seed draws nothing that is kept: every prompt is sampled with one of its own
    llm = _vllm.start_engine(path, memory=memory, seed=0, rank=rank, longest=longest)
    _running = _Engine(
        llm, path, memory, next(room for room in _sampler_choice.RANKS if room >= rank), longest
    )
    return llm


def release() -> None:
    """End the running engine: what comes next wants the card's memory."""
    global _running
    if _running is not None:
        _running = None
        _free_memory()


def _room(model: str) -> int:
    info = find_model(model).info
    context = info.context if info is not None else None
    return ROOM if context is None else min(ROOM, context - 1)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def saved_sampler(
    chat: Chat, adapter: Path | str | None, choice: str, memory: float, device: str
) -> SavedSampler | None:
    """Return a sampler by vLLM if it is chosen, or if the choice is automatic and it can be started here.

    Args:
        adapter: folder of a saved adapter; ``None`` = the model alone.
        choice: ``vllm``, ``own``, or ``auto``.
        memory: share of the card's memory that vLLM may take.

    Raises:
        RecipeError: vLLM is chosen, and cannot sample here.
        RunError: vLLM is chosen, and cannot be started.
    """
    if choice == "own":
        return None
    rank = _rank(adapter)
    reason = _sampler_choice.why_not(device, 1, rank)
    if reason is not None:
        if choice == "vllm":
            raise RecipeError(f"--option sampler=vllm: {reason}", "use --option sampler=own")
        return None
    sampler = SavedSampler(chat, None if adapter is None else Path(adapter), rank, memory, device)
    try:
        sampler.start(0)
    except RunError as error:
        if choice == "vllm":
            raise
        logging.getLogger("paraphrase_rl").warning("note: %s; the model samples itself", error.message)
        return None
    return sampler


def _rank(adapter: Path | str | None) -> int:
    if adapter is None:
        return 1
    try:
        return int(json.loads((Path(adapter) / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot read the adapter in {adapter}: {error}", "export it again") from error


class SavedSampler:
    """Samples from a model with a saved adapter, or without one.

    Args:
        rank: of the adapter.
    """

    exact = False

    def __init__(self, chat: Chat, adapter: Path | None, rank: int, memory: float, device: str) -> None:
        self.chat, self.adapter, self.rank, self.memory, self.device = chat, adapter, rank, memory, device
        self._sampler: VllmSampler | None = None
        self._checked = adapter is None

    def start(self, longest: int) -> VllmSampler:
        """Return the sampler, with room for a prompt and a rewrite of ``longest`` tokens together.

        Raises:
            RunError: vLLM cannot be started.
        """
        self._sampler, held = None, self._sampler  # else its engine could not be replaced
        llm = engine_for(self.chat.model, memory=self.memory, rank=self.rank, longest=longest)
        if held is None or held.engine is not llm:
            ends = end_ids(self.chat.tokenizer, saved_settings(self.chat.model))
            held = VllmSampler(llm, None, ends)
            if self.adapter is not None:
                held.hold(self.adapter)
        self._sampler = held
        return held

    def sample(
        self,
        prompts: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        *,
        group_size: int,
        sampling: Sampling,
    ) -> list[Sampled]:
        """See :class:`paraphrase_rl_plugins.backends._samplers.GroupSampler`.

        Log-probabilities that vLLM does not give, those at another temperature than 1, are NaN.

        Raises:
            RunError: vLLM fails, or does not sample with the adapter.
        """
        if not prompts:
            return []
        sampler = self.start(max(map(len, prompts)) + sampling.max_tokens)
        sampled = sampler.sample(prompts, keys, group_size=group_size, sampling=sampling)
        if not self._checked:
            self._check(sampler, prompts[0], sampled[0].ids[:PROBE_TOKENS])
        return [
            one if one.logprobs else Sampled(one.ids, [np.nan] * len(one.ids), one.finished)
            for one in sampled
        ]

    def _check(self, sampler: VllmSampler, prompt: list[int], completion: list[int]) -> None:
        from peft import PeftModel

        model = load_causal_lm(self.chat.model, self.device)
        base = trainer_logprobs(model, prompt, completion)
        adapted = PeftModel.from_pretrained(model, str(self.adapter)).eval()
        probe = Probe(
            sampler_base=sampler.logprobs(prompt, completion, adapted=False),
            sampler=sampler.logprobs(prompt, completion, adapted=True),
            trainer_base=base,
            trainer=trainer_logprobs(adapted, prompt, completion),
        )
        del model, adapted
        _free_memory()
        if why := why_stale(probe, None):
            raise RunError(
                f"vLLM does not sample with the adapter {self.adapter}: {why}",
                "use --option sampler=own, with which the model samples itself",
            )
        self._checked = True
