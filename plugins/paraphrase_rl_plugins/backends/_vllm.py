"""Sampling with vLLM, in this process and on the same card.

vLLM has the base model, and gets the adapter of each step as files in PEFT's format: the trained model is never merged
for it. Written against vLLM 0.31, of which ``LLM``, ``SamplingParams`` and ``LoRARequest`` are used.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.plugin import (
    FloatArray,
    NumericalError,
    RunError,
    Sampling,
    one_line,
    resolve,
)
from paraphrase_rl_plugins.backends._adapter import write_adapter
from paraphrase_rl_plugins.backends._recording import note_retry
from paraphrase_rl_plugins.backends._sampler import Sampled
from paraphrase_rl_plugins.backends._sampler_choice import KNOWN_TEMPERATURE, RANKS, takes_vllm
from paraphrase_rl_plugins.backends._seeds import seed_of

_NUMBERS = itertools.count(1)
"""Numbers of adapters in this process: vLLM takes a number that it knows from its memory."""


def start_engine(model: Path, *, memory: float, seed: int, rank: int, longest: int) -> Any:
    """Start vLLM with a base model.

    Args:
        model: folder of the model.
        memory: share of the card's memory that it may take, in (0, 1).
        longest: tokens of the longest prompt with its completion.

    Raises:
        RunError: vLLM cannot be started.
    """
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the same batches in the same order again
    try:
        import vllm

        return vllm.LLM(
            model=str(model),
            trust_remote_code=False,
            enable_lora=True,
            max_loras=1,
            max_lora_rank=next(room for room in RANKS if room >= rank),
            gpu_memory_utilization=memory,
            max_model_len=longest + 1,
            seed=seed,
            generation_config="vllm",
            logprobs_mode="raw_logprobs",
        )
    except Exception as error:  # vLLM, torch and CUDA have no common error
        raise RunError(
            f"vLLM could not be started: {one_line(error)}",
            "lower --option vllm_memory, or sample with --option sampler=own",
        ) from error


def vllm_sampler(
    trainer: Any, *, choice: str, memory: float, device: str, processes: int, longest: int
) -> VllmSampler | None:
    """Start vLLM as the sampler of a trainer, if it is chosen, or if the choice is automatic and it can be.

    Args:
        choice: ``vllm``, ``own``, or ``auto``.
        memory, longest: see :func:`start_engine`.

    Returns:
        ``None`` if the trained model is to sample itself.

    Raises:
        RecipeError: vLLM is chosen, and cannot sample here.
        RunError: vLLM is chosen, and cannot be started.
    """
    session, recipe = trainer.session, trainer.session.recipe
    if not takes_vllm(choice, recipe, device, processes):
        return None
    try:
        engine = start_engine(
            resolve(recipe.model).path,
            memory=memory,
            seed=recipe.training.seed,
            rank=recipe.lora.rank,
            longest=longest,
        )
    except RunError as error:
        if choice == "vllm":
            raise
        session.report(f"note: {error.message}; the trained model samples itself")
        return None
    session.report("vLLM samples; the adapter is handed over at every step")

    def write(folder: Path) -> None:
        write_adapter(
            trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class, folder, recipe.model
        )

    sampler = VllmSampler(engine, write, trainer.eos_token_ids)
    sampler.on_retry = lambda why: note_retry(session, "sampling", why, step=trainer.state.global_step + 1)
    return sampler


def _log_retry(why: str) -> None:
    logging.getLogger("paraphrase_rl").warning("note: asked again: %s", why)


class VllmSampler:
    """Samples with vLLM.

    Args:
        engine: ``vllm.LLM`` with the base model.
        write: writes the adapter of the trained model, in PEFT's format, to a new folder; ``None`` = none is trained.
        end_ids: tokens that end a completion.

    Attributes:
        version: number of adapters handed over; 0 = the base model alone.
        on_retry: called with the reason when a generation failed and is asked for again.
    """

    exact = False

    def __init__(self, engine: Any, write: Callable[[Path], None] | None, end_ids: Sequence[int]) -> None:
        self.engine, self.write, self.end_ids = engine, write, list(end_ids)
        self.version = 0
        self.on_retry: Callable[[str], None] = _log_retry
        self._folders = tempfile.TemporaryDirectory(prefix="prl-adapter-")
        self._request: Any = None

    def hold_current(self) -> None:
        """Hand over the adapter of the trained model as it is now."""
        assert self.write is not None
        before = self._folder()
        self.version += 1
        self.write(self._folder())
        self.hold(self._folder())
        shutil.rmtree(before, ignore_errors=True)

    def hold(self, adapter: Path) -> None:
        """Hand over an adapter: the folder in which it is saved."""
        from vllm.lora.request import LoRARequest

        number = next(_NUMBERS)
        self._request = LoRARequest(lora_name=f"adapter-{number}", lora_int_id=number, lora_path=str(adapter))

    def _folder(self) -> Path:
        return Path(self._folders.name) / str(self.version)

    def sample(
        self,
        prompts: Sequence[list[int]],
        keys: Sequence[Sequence[int]],
        *,
        group_size: int,
        sampling: Sampling,
    ) -> list[Sampled]:
        """See :class:`paraphrase_rl_plugins.backends._samplers.GroupSampler`.

        The log-probabilities of vLLM are those of temperature 1: at another one a completion has none.
        """
        import vllm

        asked = [
            vllm.SamplingParams(
                n=group_size,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=seed_of(key),
                stop_token_ids=self.end_ids,
                logprobs=0,
                detokenize=False,
            )
            for key in keys
        ]
        answers = self._generate(prompts, asked, self._request)
        found = []
        for answer in answers:
            for one in sorted(answer.outputs, key=lambda output: output.index):
                ids = [int(token) for token in one.token_ids]
                logprobs = self._logprobs(one) if sampling.temperature == KNOWN_TEMPERATURE else []
                if not np.isfinite(logprobs).all():
                    raise NumericalError(
                        "vLLM gives log-probabilities that are not finite numbers: its weights are damaged",
                        "continue the run with --resume and --option sampler=own",
                    )
                found.append(Sampled(ids, logprobs, bool(ids) and ids[-1] in self.end_ids))
        return found

    @staticmethod
    def _logprobs(completion: Any) -> list[float]:
        if completion.logprobs is None:
            raise RunError(
                "vLLM answered without log-probabilities",
                "install the version of constraints-gpu.txt, or use --option sampler=own",
            )
        rows = zip(completion.token_ids, completion.logprobs, strict=True)
        return [float(row[token].logprob) for token, row in rows]

    def logprobs(self, prompt: list[int], completion: list[int], *, adapted: bool) -> FloatArray:
        """Compute log-probabilities of a completion, shape (T,), with the adapter that vLLM has, or without any."""
        import vllm

        asked = vllm.SamplingParams(max_tokens=1, temperature=1.0, prompt_logprobs=0, detokenize=False)
        answer = self._generate([[*prompt, *completion]], [asked], self._request if adapted else None)[0]
        rows = answer.prompt_logprobs[len(prompt) :]
        return np.array(
            [row[token].logprob for token, row in zip(completion, rows, strict=True)], dtype=np.float64
        )

    def _generate(self, prompts: Sequence[list[int]], asked: Sequence[Any], request: Any) -> list[Any]:
        """Answers of vLLM, one for each prompt; what fails is asked for once more, with the same seeds."""
        given = [{"prompt_token_ids": prompt} for prompt in prompts]
        for last in (False, True):
            try:
                answers: list[Any] = self.engine.generate(given, asked, lora_request=request, use_tqdm=False)
            except Exception as error:  # vLLM, torch and CUDA have no common error
                failure = RunError(
                    f"vLLM failed while sampling: {one_line(error)}",
                    "continue the run with --resume, and with --option sampler=own if it happens again",
                )
                if last:
                    raise failure from error
            else:
                return answers[-len(given) :]  # requests that a failure left unfinished are answered first
            self.on_retry(failure.message)
        raise AssertionError("the last try returns or raises")
