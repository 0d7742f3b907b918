"""Local training with TRL's GRPOTrainer and PEFT, on a CPU, a GPU, or several under ``accelerate launch``."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paraphrase_rl.plugin import (
    BackendSpec,
    Chat,
    Context,
    Options,
    Policy,
    RecipeError,
    RunError,
    TrainingResult,
    Treatment,
    dtype_of,
    hookimpl,
    load_adapted_lm,
    load_causal_lm,
    load_tokenizer,
    new_folder,
    scoring_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paraphrase_rl.plugin import Estimate, Load, ModelShape, Recipe, Session


@hookimpl
def register_backends() -> Iterable[BackendSpec]:
    """Return the spec of the ``trl`` backend."""
    return [
        BackendSpec(
            name="trl",
            summary="Local training: TRL's GRPOTrainer with PEFT's LoRA, on CPU or GPUs",
            factory=TrlBackend,
            options=TrlOptions,
            extra="trl",
            modules=("torch", "transformers", "trl", "peft", "accelerate", "datasets"),
            paper="Shao et al. 2024, DeepSeekMath (GRPO); Hu et al. 2021, LoRA",
            licence="Apache-2.0 (TRL, PEFT)",
            cost="a GPU for models above 1B parameters",
            warmup=True,
            starts_from=True,
            check=check,
            estimate=estimate,
        )
    ]


WAITING_SECONDS = 24 * 3600
"""Longest that processes wait for another: the first one warms up and evaluates alone."""


def estimate(recipe: Recipe, shape: ModelShape, load: Load) -> Estimate:
    """Estimate memory and seconds of a step, see :mod:`paraphrase_rl_plugins.backends._trl_estimate`."""
    from paraphrase_rl_plugins.backends._trl_estimate import estimate

    return estimate(recipe, shape, load)


class TrlOptions(Options):
    """Options of the ``trl`` backend."""

    sampler: Literal["auto", "own", "vllm"] = Field(
        "auto",
        description="what samples: own = the trained model itself; vllm = vLLM, with a copy of the adapter; "
        "auto = vLLM where it is installed, on one GPU",
    )
    vllm_memory: float = Field(0.3, gt=0, lt=1, description="share of the GPU's memory that vLLM may take")


def check(recipe: Recipe, options: TrlOptions, device: str) -> Treatment:
    """Describe which keys the sampler of the options leaves without effect.

    Raises:
        RecipeError: vLLM is chosen, and cannot sample on the device.
    """
    from paraphrase_rl_plugins.backends._sampler_choice import KNOWN_TEMPERATURE, takes_vllm

    if not takes_vllm(options.sampler, recipe, device):
        said = "the trained model samples itself, so that importance ratios are 1 but for rounding: none is truncated"
        return Treatment(ignored={"training.ratio_cap": said})
    if recipe.sampling.temperature == KNOWN_TEMPERATURE:
        return Treatment()
    said = (
        f"vLLM tells log-probabilities of temperature {KNOWN_TEMPERATURE:g} alone, so that it is not measured, which "
        "is never accepted; with --option sampler=own it is"
    )
    return Treatment(ignored={"acceptance.kl_sample_train": said})


class TrlBackend:
    """Samples, computes log-probabilities and updates weights with TRL."""

    def __init__(self, options: TrlOptions, context: Context) -> None:
        self.options = options
        self.device, self.precision = context.device, context.precision

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Policy:
        """Load the model of a reference, with a trained adapter or without.

        It is sampled by vLLM as in training; sampling itself, the model has the adapter merged into it.

        Raises:
            RecipeError: vLLM is chosen, and cannot sample here.
            RunError: vLLM is chosen, and cannot be started.
            ModelError: the model or the adapter cannot be loaded.
        """
        from paraphrase_rl_plugins.backends._policy import TrlPolicy, own_policy
        from paraphrase_rl_plugins.backends._vllm_policy import saved_sampler

        chat = Chat(load_tokenizer(model), model, thinking=thinking)
        if isinstance(adapter, str) and "://" in adapter:
            raise RecipeError(
                f"the trl backend cannot load the weights at a service, {adapter}",
                "export them with prl export RUN, and give the folder",
            )
        fast = saved_sampler(chat, adapter, self.options.sampler, self.options.vllm_memory, self.device)
        if fast is not None:
            return TrlPolicy(chat, fast)
        if adapter is None:
            return own_policy(load_causal_lm(model, self.device), chat)
        return own_policy(load_adapted_lm(model, adapter, self.device), chat)

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:
        """Copy the adapter of a checkpoint, without the files that only a resumed training needs."""
        from paraphrase_rl.plugin import place_of

        held = place_of(run, checkpoint)
        with new_folder(out) as unfinished:
            shutil.copytree(held, unfinished, ignore=shutil.ignore_patterns(*_TRAINING_STATE))

    def train(self, session: Session) -> TrainingResult:
        """Train to the end of the run or to the first interrupt; continue from ``session.resume_from``.

        Raises:
            RecipeError: the batch cannot be divided among the processes, or the recipe names layers that the model
                lacks.
            RunError: a checkpoint cannot be written or read; the sampler does not hold the policy; or the weights of
                the base model have changed.
        """
        with _explained(session.folder), _without_deprecations():
            from paraphrase_rl_plugins.backends._adapter import base_digest, check_frozen, load_adapter
            from paraphrase_rl_plugins.backends._callback import TrainingCallback, save_adapter
            from paraphrase_rl_plugins.backends._warmup import warm_up

            trainer = self.trainer(session)
            base = base_digest(trainer.model)
            if session.start_from is not None and session.resume_from is None:
                load_adapter(trainer.accelerator.unwrap_model(trainer.model), session.start_from)
            if not warm_up(session, trainer):
                return TrainingResult(status="interrupted", step=0)
            trainer.start_from_warmup()
            recorder = TrainingCallback(session, trainer)
            trainer.add_callback(recorder)
            try:
                trainer.train(
                    resume_from_checkpoint=str(session.resume_from[1]) if session.resume_from else None
                )
            except BaseException:
                recorder.rescue()
                raise
            check_frozen(trainer.model, base)
            if not recorder.interrupted:
                save_adapter(session, trainer, base)
        return TrainingResult(
            status="interrupted" if recorder.interrupted else "completed", step=trainer.state.global_step
        )

    def trainer(self, session: Session) -> Any:
        """Build the trainer of a run, a :class:`trl.GRPOTrainer`, ready to start."""
        from datasets import Dataset
        from transformers import PrinterCallback, set_seed
        from transformers.utils import logging

        from paraphrase_rl_plugins.backends._adapter import lora_config
        from paraphrase_rl_plugins.backends._prompt_room import longest_prompt
        from paraphrase_rl_plugins.backends._trainer import RecipeTrainer
        from paraphrase_rl_plugins.backends._vllm import vllm_sampler
        from paraphrase_rl_plugins.backends._vllm_policy import release

        recipe = session.recipe
        processes = self._processes(recipe.training.batch_size)
        logging.set_verbosity_error()
        set_seed(recipe.training.seed)
        tokenizer = load_tokenizer(recipe.model)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        chat = Chat(tokenizer, recipe.model, thinking=recipe.prompt.thinking)
        dtype = dtype_of(self.precision) if self.precision else scoring_dtype(self.device)
        model = load_causal_lm(recipe.model, dtype=dtype)
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        longest = longest_prompt(session, chat, limit)
        trainer = RecipeTrainer(
            session=session,
            chat=chat,
            model=model,
            reward_funcs=[_rated_by_the_core],
            args=self._config(session, model, processes),
            train_dataset=Dataset.from_list(
                [{"prompt": session.conversation(d), "index": i} for i, d in enumerate(session.train)]
            ),
            processing_class=tokenizer,
            peft_config=lora_config(recipe, model),
        )
        trainer.remove_callback(PrinterCallback)
        release()
        copied = vllm_sampler(
            trainer,
            choice=self.options.sampler,
            memory=self.options.vllm_memory,
            device=self.device,
            processes=processes,
            longest=longest + recipe.sampling.max_tokens,
        )
        trainer.sampler = copied or trainer.sampler
        return trainer

    def _processes(self, batch_size: int) -> int:
        """How many processes train together, refusing what is not proved to compute the recipe's update."""
        import torch

        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if batch_size % processes:
            raise RecipeError(
                f"training.batch_size {batch_size} is not a multiple of the {processes} processes",
                f"choose a multiple of {processes}, or launch fewer processes",
            )
        if any(
            os.environ.get(name) == "true" for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
        ):
            raise RecipeError(
                "the trl backend does not train sharded weights (FSDP, DeepSpeed)",
                "launch with plain data parallelism: accelerate launch --multi_gpu",
            )
        if self.device != "cpu" and processes == 1 and torch.cuda.device_count() > 1:
            raise RecipeError(
                f"one process sees {torch.cuda.device_count()} GPUs",
                "use all with `accelerate launch -m paraphrase_rl train ...`, or one with CUDA_VISIBLE_DEVICES=0",
            )
        return processes

    def _config(self, session: Session, model: Any, processes: int) -> Any:
        from trl import GRPOConfig

        recipe, on_cpu = session.recipe, self.device == "cpu"
        training, sampling = recipe.training, recipe.sampling
        dtype = str(model.dtype).removeprefix("torch.")
        return GRPOConfig(
            output_dir=str(session.unfinished),
            max_steps=session.steps,
            per_device_train_batch_size=training.group_size,
            gradient_accumulation_steps=training.batch_size // processes,
            num_generations=training.group_size,
            max_completion_length=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            shuffle_dataset=False,
            beta=0.0,
            learning_rate=_rate(session, model),
            lr_scheduler_type="constant",
            adam_beta1=0.9,
            adam_beta2=0.95,
            adam_epsilon=1e-8,
            weight_decay=0.0,
            max_grad_norm=0.0,
            seed=training.seed,
            use_cpu=on_cpu,
            bf16=dtype == "bfloat16",
            fp16=not on_cpu and dtype == "float16",
            gradient_checkpointing=not on_cpu,
            save_strategy="steps",
            save_steps=recipe.checkpoints.every,
            logging_strategy="no",
            eval_strategy="no",
            report_to=[],
            log_level_replica="error",
            ddp_find_unused_parameters=False,
            ddp_timeout=WAITING_SECONDS,
            disable_tqdm=True,
            remove_unused_columns=False,
        )


def _rate(session: Session, model: Any) -> float:
    rate = session.recipe.training.learning_rate
    if rate != "auto":
        return rate
    from paraphrase_rl.plugin import auto_learning_rate

    config = model.config.get_text_config()
    return auto_learning_rate(config.hidden_size, config.model_type)


_TRAINING_STATE = ("optimizer.*", "scheduler.*", "rng_state*", "trainer_state.json", "training_args.bin")


def _rated_by_the_core(**_: Any) -> list[float]:
    """TRL insists on a reward function; the overridden step never calls it."""
    raise AssertionError("rewards come from the core")


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """What these libraries tell each other about their next versions is nothing a user can act on."""
    with warnings.catch_warnings():
        for library in ("transformers", "trl", "peft", "accelerate", "torch"):
            for category in (FutureWarning, DeprecationWarning):
                warnings.filterwarnings("ignore", category=category, module=library)
        yield


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """A full disk or card is told in one line; what the ledger lists stays whole."""
    from safetensors import SafetensorError
    from torch import OutOfMemoryError

    try:
        yield
    except OutOfMemoryError as error:
        raise RunError(
            f"the device ran out of memory: {str(error).splitlines()[0]}",
            "lower sampling.max_tokens or training.group_size, or choose smaller detectors",
        ) from error
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"cannot write to {folder}: {getattr(error, 'strerror', None) or error}",
            "free some disk space; files finished before are intact",
        ) from error
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        raise RunError(
            "another process of this training has ended",
            f"its own error says why; then continue with: prl train --resume {folder}",
        ) from error


def _lost_another(error: RuntimeError) -> bool:
    """Whether an error is that of a collective operation in which a process of several takes no part any more."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error).lower()
