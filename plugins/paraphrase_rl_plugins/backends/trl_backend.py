"""Local training with TRL's GRPOTrainer and PEFT, on a CPU, a GPU, or several under ``accelerate launch``."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from paraphrase_rl import hookimpl
from paraphrase_rl.errors import RecipeError, RunError
from paraphrase_rl.models import load_causal_lm, load_tokenizer, scoring_dtype
from paraphrase_rl.protocols import Policy, TrainingResult
from paraphrase_rl.specs import BackendSpec, Context, Options
from paraphrase_rl.types import Rollout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paraphrase_rl.training.loop import TrainingRun


class TrlOptions(Options):
    """Options of the ``trl`` backend."""

    vllm: bool | None = Field(
        None, description="sample with vLLM; null = when it is installed and there is a GPU"
    )


@hookimpl
def register_backends() -> Iterable[BackendSpec]:
    """The ``trl`` backend."""
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
        )
    ]


class TrlBackend:
    """Samples, computes log-probabilities and updates weights with TRL."""

    def __init__(self, options: TrlOptions, context: Context) -> None:
        self.options = options
        self.device = context.device

    def policy(self, model: str, adapter: Path | str | None) -> Policy:
        """The model of a reference, with a trained adapter merged in or without."""
        loaded: Any = load_causal_lm(model, self.device)
        if adapter is not None:
            from peft import PeftModel

            loaded = PeftModel.from_pretrained(loaded, str(adapter)).merge_and_unload()
        return TrlPolicy(loaded, load_tokenizer(model))

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:
        """Copy the adapter of a checkpoint, without what only a resumed training needs."""
        unfinished = out.with_name(f".{out.name}.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        shutil.copytree(run / checkpoint["path"], unfinished, ignore=shutil.ignore_patterns(*_TRAINING_STATE))
        unfinished.rename(out)

    def train(self, run: TrainingRun) -> TrainingResult:
        """Train to the end of the run or to the first interrupt; continue from ``run.resume_from``.

        Raises:
            RecipeError: the batch does not divide over the processes, or names layers the model lacks.
            RunError: a checkpoint cannot be written or read.
        """
        with _explained(run.folder):
            trainer = self.trainer(run)
            recorder = _recorder(run, trainer)
            trainer.add_callback(recorder)
            trainer.train(resume_from_checkpoint=str(run.resume_from[1]) if run.resume_from else None)
            if not recorder.interrupted:
                _save_adapter(run, trainer)
        return TrainingResult(
            status="interrupted" if recorder.interrupted else "completed", step=trainer.state.global_step
        )

    def trainer(self, run: TrainingRun) -> Any:
        """The trainer of a run, a :class:`trl.GRPOTrainer`, ready to start."""
        from datasets import Dataset
        from transformers import PrinterCallback, set_seed
        from transformers.utils import logging

        from paraphrase_rl_plugins.backends._trainer import RecipeTrainer

        recipe = run.recipe
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if recipe.training.batch_size % processes:
            raise RecipeError(
                f"training.batch_size {recipe.training.batch_size} does not divide over {processes} processes",
                "choose a multiple, or launch fewer processes",
            )
        logging.set_verbosity_error()
        set_seed(recipe.training.seed)
        tokenizer = load_tokenizer(recipe.model)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        model = load_causal_lm(recipe.model, dtype=scoring_dtype(self.device))
        sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true" or _ZERO_STAGE in os.environ
        vllm = self._use_vllm()
        trainer = RecipeTrainer(
            run=run,
            own_sampler=not (vllm or sharded),
            model=model,
            reward_funcs=[_judged_by_the_core],
            args=self._config(run, model, vllm, processes),
            train_dataset=Dataset.from_list(
                [{"prompt": run.conversation(d), "index": i} for i, d in enumerate(run.train)]
            ),
            processing_class=tokenizer,
            peft_config=_lora(run),
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _use_vllm(self) -> bool:
        from importlib.util import find_spec

        if self.options.vllm is None:
            return self.device != "cpu" and find_spec("vllm") is not None
        return self.options.vllm

    def _config(self, run: TrainingRun, model: Any, vllm: bool, processes: int) -> Any:
        from trl import GRPOConfig

        recipe, on_cpu = run.recipe, self.device == "cpu"
        training, sampling = recipe.training, recipe.sampling
        dtype = str(model.dtype).removeprefix("torch.")
        return GRPOConfig(
            output_dir=str(run.folder / "checkpoints"),
            max_steps=run.steps,
            per_device_train_batch_size=training.group_size,
            gradient_accumulation_steps=training.batch_size // processes,
            num_generations=training.group_size,
            max_completion_length=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            shuffle_dataset=False,
            use_vllm=vllm,
            vllm_mode="colocate",
            vllm_importance_sampling_correction=False,
            beta=0.0,
            learning_rate=_rate(run, model),
            lr_scheduler_type="constant",
            adam_beta1=0.9,
            adam_beta2=0.95,
            adam_epsilon=1e-8,
            weight_decay=0.0,
            max_grad_norm=0.0,
            seed=training.seed,
            use_cpu=on_cpu,
            bf16=not on_cpu and dtype == "bfloat16",
            fp16=not on_cpu and dtype == "float16",
            gradient_checkpointing=not on_cpu,
            save_strategy="steps",
            save_steps=recipe.checkpoints.every,
            save_total_limit=recipe.checkpoints.keep,
            logging_strategy="no",
            eval_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
        )


def _lora(run: TrainingRun) -> Any:
    from peft import LoraConfig

    lora = run.recipe.lora
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=0.0,
        target_modules=lora.target_modules or "all-linear",
        task_type="CAUSAL_LM",
    )


def _save_adapter(run: TrainingRun, trainer: Any) -> None:
    """Write the final adapter whole or not at all."""
    if not trainer.accelerator.is_main_process:
        return
    adapter, unfinished = run.folder / "adapter", run.folder / ".adapter"
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(unfinished)
    trainer.processing_class.save_pretrained(unfinished)
    if adapter.exists():
        shutil.rmtree(adapter)
    unfinished.rename(adapter)
    run.add_checkpoint(trainer.state.global_step, adapter, "final")


def _rate(run: TrainingRun, model: Any) -> float:
    rate = run.recipe.training.learning_rate
    if rate != "auto":
        return rate
    from paraphrase_rl.recipe.arithmetic import auto_learning_rate

    config = model.config.get_text_config()
    return auto_learning_rate(config.hidden_size, config.model_type)


class TrlPolicy:
    """A local model that rewrites."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def sample(
        self,
        conversations: Sequence[Sequence[Mapping[str, str]]],
        *,
        n: int,
        keys: Sequence[Sequence[int]],
        temperature: float,
        top_p: float,
        max_tokens: int,
    ) -> list[list[Rollout]]:
        """``n`` rollouts for each conversation, as :class:`paraphrase_rl.protocols.Policy` says."""
        import numpy as np

        from paraphrase_rl_plugins.backends._sampler import merged_adapter, sample_groups

        prompts = [
            self.tokenizer.apply_chat_template(
                list(conversation), add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"]
            for conversation in conversations
        ]
        end = self.model.generation_config.eos_token_id
        ends = {self.tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])} - {None}
        groups: list[list[Rollout]] = []
        with merged_adapter(self.model):
            for at in range(0, len(prompts), max(1, _ROWS_AT_ONCE // n)):
                some = prompts[at : at + max(1, _ROWS_AT_ONCE // n)]
                sampled = sample_groups(
                    self.model,
                    some,
                    keys[at : at + len(some)],
                    group_size=n,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    top_p=top_p,
                    end_ids=sorted(ends),
                    pad_id=self.tokenizer.pad_token_id or 0,
                )
                for local, prompt in enumerate(some):
                    groups.append(
                        [
                            Rollout(
                                group=at + local,
                                prompt_ids=prompt,
                                completion_ids=one.ids,
                                logprobs=np.array(one.logprobs, dtype=np.float64),
                                text=self.tokenizer.decode(one.ids, skip_special_tokens=True),
                                finished=one.finished,
                            )
                            for one in sampled[local * n : (local + 1) * n]
                        ]
                    )
        return groups


_TRAINING_STATE = ("optimizer.*", "scheduler.*", "rng_state*", "trainer_state.json", "training_args.bin")
_ZERO_STAGE = "ACCELERATE_DEEPSPEED_ZERO_STAGE"
_ROWS_AT_ONCE = 32
"""A decoding step of 32 rows costs 1.7 times one of 8 on CPU."""


def _judged_by_the_core(**_: Any) -> list[float]:
    """TRL insists on a reward function; the overridden step never calls it."""
    raise AssertionError("rewards come from the core")


def _recorder(run: TrainingRun, trainer: Any) -> Any:
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):  # type: ignore[misc]
        """Evaluates, records each step, enters checkpoints, and stops after a step when interrupted."""

        interrupted = False

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self._evaluate(state.global_step)
            self.started = time.perf_counter()

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            norms = [p.grad.norm() ** 2 for p in trainer.model.parameters() if p.grad is not None]
            self.grad_norm = math.sqrt(float(sum(norms)))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            measured = {
                **trainer.step_metrics(),
                "grad_norm": self.grad_norm,
                "learning_rate": args.learning_rate,
            }
            seconds = {**trainer.take_seconds(), "total": time.perf_counter() - self.started}
            run.end_step(state.global_step, trainer.current, measured, seconds)
            self._evaluate(state.global_step)
            if run.stop_requested():
                self.interrupted = state.global_step < run.steps
                control.should_save = control.should_training_stop = True
            self.started = time.perf_counter()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            run.add_checkpoint(
                state.global_step, Path(args.output_dir) / f"checkpoint-{state.global_step}", "periodic"
            )

        def _evaluate(self, step: int) -> None:
            if run.evaluation_due(step) and trainer.accelerator.is_main_process:
                unwrapped = trainer.accelerator.unwrap_model(trainer.model)
                run.evaluate(TrlPolicy(unwrapped, trainer.processing_class), step)
            trainer.accelerator.wait_for_everyone()

    return Recorder()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """A full disk and a damaged checkpoint are told in one line; what the ledger lists stays whole."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror or error}",
            f"free some space, then continue with: prl train --resume {folder}",
        ) from error
