"""Callback around the steps of a training: records, evaluations, checkpoints, the stop after an interrupt."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from paraphrase_rl.plugin import NumericalError, Session
from paraphrase_rl_plugins.backends._adapter import write_adapter
from paraphrase_rl_plugins.backends._policy import TrlPolicy, own_policy
from paraphrase_rl_plugins.backends._recording import recorded
from paraphrase_rl_plugins.backends._trainer import RecipeTrainer


class TrainingCallback(TrainerCallback):
    """Evaluates, records each step, enters checkpoints, and stops after a step when interrupted."""

    def __init__(self, session: Session, trainer: RecipeTrainer) -> None:
        self.session, self.trainer = session, trainer
        self.interrupted = False
        self.updating = False  # while weights change they are those of no step
        self.unrecorded = False  # they are those of a step that has no record yet

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._evaluate(state.global_step)
        self.started = time.perf_counter()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.rate = self.session.learning_rate(args.learning_rate)
        for group in self.trainer.optimizer.param_groups:
            group["lr"] = self.rate  # the constant schedule sets the recipe's again after every step
        norms = [p.grad.norm() ** 2 for p in self.trainer.model.parameters() if p.grad is not None]
        scaler = self.trainer.accelerator.scaler  # fp16 alone: gradients are still multiplied by it here
        self.grad_norm = math.sqrt(float(sum(norms))) / (scaler.get_scale() if scaler else 1.0)
        if not scaler and not math.isfinite(self.grad_norm):  # a scaler leaves out such an update itself
            raise NumericalError(f"the gradient of step {state.global_step + 1} is not a finite number")
        self.updating = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.updating, self.unrecorded = False, True
        self._record(state.global_step)
        back = self.session.take_roll_back()
        if back is not None:
            self.updating = True
            self.trainer.roll_back(str(back[1]))
            self.updating = False
        # Signals and clocks of the processes differ; they must stop and save after the same step.
        asked = gather_object(
            [(self.session.stop_requested(), self.session.checkpoint_due(state.global_step))]
        )
        stop, due = (any(of_all) for of_all in zip(*asked, strict=True))
        self.interrupted = stop and state.global_step < self.session.steps
        if not self.interrupted:  # else the resumed run evaluates the same weights
            self._evaluate(state.global_step)
        control.should_training_stop |= stop
        # After the last step too: the final adapter has no optimizer, with which a longer run goes on.
        last = state.global_step == self.session.steps
        control.should_save = self.interrupted or back is not None or due or last
        self.started = time.perf_counter()

    def _record(self, step: int) -> None:
        measured = {**self.trainer.step_metrics(), "grad_norm": self.grad_norm, "learning_rate": self.rate}
        seconds = {**self.trainer.take_seconds(), "total": time.perf_counter() - self.started}
        self.unrecorded = False
        self.session.end_step(step, self.trainer.current, measured, seconds)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.trainer.accelerator.wait_for_everyone()  # each process writes its own part of a checkpoint
        self.trainer.copied_sampler()
        self.trainer.check_sampler()
        self._enter()

    def rescue(self) -> None:
        """Write a checkpoint of a training that fails, if its weights are those of a step.

        Of several processes the first one does so, without a word to the others: they may be gone.
        """
        trainer, step = self.trainer, self.trainer.state.global_step
        if self.updating or trainer.stale or not trainer.accelerator.is_main_process:
            return
        if self.unrecorded:
            if trainer.accelerator.num_processes > 1:  # what they measured belongs to the record
                return
            if not recorded(lambda: self._record(step), f"step {step}", self.session.report):
                return
        self.session.rescue(step, self._save_and_enter)

    def _save_and_enter(self) -> None:
        self.trainer._save_checkpoint(self.trainer.model, None)
        self._enter()

    def _enter(self) -> None:
        step = self.trainer.state.global_step
        self.session.add_checkpoint(
            step, Path(self.trainer.args.output_dir) / f"checkpoint-{step}", "periodic"
        )

    def _evaluate(self, step: int) -> None:
        if self.session.evaluation_due(step) and self.trainer.accelerator.is_main_process:
            unwrapped = self.trainer.accelerator.unwrap_model(self.trainer.model)
            fast, chat = self.trainer.evaluation_sampler(), self.trainer.chat
            self.session.evaluate(TrlPolicy(chat, fast) if fast else own_policy(unwrapped, chat), step)
        self.trainer.accelerator.wait_for_everyone()


def save_adapter(session: Session, trainer: RecipeTrainer, base: str) -> None:
    """Write the final adapter whole or not at all.

    Args:
        base: digest of the base model's weights, for the ledger.
    """
    if not trainer.accelerator.is_main_process:
        return
    unfinished = session.unfinished / "adapter"
    write_adapter(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        unfinished,
        session.recipe.model,
    )
    session.add_checkpoint(trainer.state.global_step, unfinished, "final", base_weights=base)
