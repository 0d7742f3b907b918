"""Session of a training, which a backend is given: prompts in order, rating, advantages, records, evaluation.

A backend samples, computes log-probabilities and updates weights; everything here is the same on all of them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from paraphrase_rl.errors import NumericalError, RunError
from paraphrase_rl.plugin.protocols import Policy
from paraphrase_rl.plugin.rated import RatedRollouts, TokenAdvantages
from paraphrase_rl.progress import Report, duration
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.training.grpo import mean_over_tokens, token_advantages
from paraphrase_rl.training.held_out import held_out, sample_rows, token_counts
from paraphrase_rl.training.prompt_order import prompt_order
from paraphrase_rl.training.rescue import rescue
from paraphrase_rl.training.reward import ComposedReward
from paraphrase_rl.training.warmup import WarmupSession
from paraphrase_rl.training.watch import Watch
from paraphrase_rl.types import Document, FloatArray, RewardBatch, Rollout, StepRecord


class Observer(Protocol):
    """Function called after every step: the hook ``on_step_end`` of the plug-ins."""

    def __call__(self, folder: Path, record: StepRecord) -> None: ...


@dataclass(kw_only=True)
class TrainingSession:
    """One training, as its backend sees it.

    Attributes:
        train: documents that the policy is trained to rewrite: AI texts of the train split.
        test: held-out documents that each evaluation rewrites.
        report: function that shows one line of progress, with the number of steps done after each step.
        observe: function called after every step.
        stop_requested: function that returns True if the user, or a monitor, asked to stop after the current step.
        resume_from: step of the checkpoint to continue from, and its folder or reference; ``None`` at a fresh start.
        start_from: adapter of another run to begin with: its folder, or a service's reference; ``None`` = a new one.
        warmup: the warm-up before the first step; ``None`` if the recipe has none.
    """

    recipe: Recipe
    directory: RunDirectory
    train: Sequence[Document]
    test: Sequence[Document]
    reward: ComposedReward
    report: Report
    observe: Observer
    stop_requested: Callable[[], bool] = lambda: False
    resume_from: tuple[int, Path | str] | None = None
    start_from: Path | str | None = None
    warmup: WarmupSession | None = None

    def __post_init__(self) -> None:
        self.order = prompt_order(len(self.train), self.recipe.training)
        done = self.resume_from[0] if self.resume_from else 0
        terms = [term.term for term in self.reward.terms]
        self._watch = Watch(self.recipe, self.directory, terms, lambda *said: self.report(*said), done)
        asked = self.stop_requested
        self.stop_requested = lambda: self.stopped_by is not None or asked()
        self._durations: deque[float] = deque(maxlen=10)
        self._ended = done

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.directory.folder

    @property
    def unfinished(self) -> Path:
        """Folder in which a checkpoint is written until it is complete and listed."""
        return self.directory.unfinished

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return len(self.order)

    @property
    def is_complete(self) -> bool:
        """True if the final checkpoint is listed."""
        rows = self.directory.rows("checkpoints.jsonl")
        return any(row["kind"] == "final" and row["step"] == self.steps for row in rows)

    def conversation(self, document: Document) -> list[dict[str, str]]:
        """Build the messages that ask for a rewrite of a document."""
        return self.recipe.prompt.messages(document.text)

    def noise_key(self, step: int, index: int) -> tuple[int, int, int]:
        """Return integers that fix the randomness of one prompt's rollouts at one step (counted from 1)."""
        return (self.recipe.training.seed, step, index)

    @property
    def _warmed_up(self) -> WarmupSession | None:
        """The warm-up where it is complete."""
        return self.warmup if self.warmup is not None and self.warmup.is_complete else None

    # ---- one step

    def rate(self, indices: Sequence[int], rollouts: Sequence[Rollout]) -> RatedRollouts:
        """Compute the rewards of rollouts; ``indices`` gives the position in ``train`` of each rollout's document."""
        return self._rate([self.train[index] for index in indices], rollouts)

    def _rate(self, documents: list[Document], rollouts: Sequence[Rollout]) -> RatedRollouts:
        if not all(np.isfinite(rollout.logprobs).all() for rollout in rollouts):
            raise NumericalError("the log-probabilities of the policy's tokens are not finite numbers")
        outcome = self.reward(
            RewardBatch(
                sources=documents,
                rewrites=[rollout.text for rollout in rollouts],
                finished=[rollout.finished for rollout in rollouts],
                instruction=f"{self.recipe.prompt.system}\n{self.recipe.prompt.instruction}",
            )
        )
        return RatedRollouts(
            documents=documents,
            rollouts=list(rollouts),
            outcome=outcome,
        )

    def advantages(self, rated: RatedRollouts) -> TokenAdvantages:
        """Compute per-token advantages of a whole batch, as RECIPE section 5 defines them.

        Raises:
            RunError: no rollout of the batch has a reward: an update would learn nothing.
            NumericalError: the base model's log-probabilities are no numbers.
        """
        if rated.advantages is None:
            _refuse_unrewarded(rated)
            if not all(np.isfinite(logprobs).all() for logprobs in rated.base_logprobs):
                raise NumericalError("the log-probabilities of the base model are not finite numbers")
            grpo, kl = self.recipe.grpo, self.recipe.kl
            sampled = [rollout.logprobs for rollout in rated.rollouts]
            found = token_advantages(
                rated.outcome.total.reshape(-1, self.recipe.training.group_size),
                sampled,
                rated.warmup_logprobs if kl.reference == "warmup" else rated.base_logprobs,
                normalize=grpo.normalize_advantages,
                clip=grpo.advantage_clip,
                kl_coef=self.kl_coef,
            )
            if rated.warmup_logprobs:
                found = replace(
                    found,
                    kl_reference=_distance(sampled, rated.base_logprobs),
                    kl_warmup=_distance(sampled, rated.warmup_logprobs),
                )
            rated.advantages = found
        return rated.advantages

    @property
    def kl_coef(self) -> float:
        """Weight of the KL penalty at the next update: the recipe's, as monitors have changed it."""
        return self._watch.kl_coef

    @property
    def stopped_by(self) -> str | None:
        """Name of the monitor that asked to stop; ``None`` if none did."""
        return self._watch.stopped_by

    def learning_rate(self, rate: float) -> float:
        """Return the learning rate of the next update.

        Args:
            rate: the recipe's.
        """
        return self._watch.learning_rate(rate)

    def end_step(
        self, step: int, rated: RatedRollouts, measured: Mapping[str, float], seconds: Mapping[str, float]
    ) -> None:
        """Record a step. Call it once per step, on every process.

        Args:
            measured: metrics that the backend measured: ``kl_sample_train``, ``kl_post_train``, ``learning_rate`` …
            seconds: wall seconds by part of the step, including ``total``.

        Raises:
            PluginError: the backend has not done what a monitor asked for.
            NumericalError: the update left weights that are no numbers.
        """
        if not math.isfinite(measured.get("kl_post_train", 0.0)):
            raise NumericalError(f"the update of step {step} left weights that are not finite numbers")
        self._watch.check_carried_out()
        tokens = token_counts(rated.rollouts)
        metrics = {
            **rated.outcome.metrics(),
            **self.advantages(rated).metrics(),
            **measured,
            "kl_penalty_coef": self.kl_coef,
            **tokens,
            "tokens_per_second": tokens["completion_tokens"] / seconds["total"],
            **{f"seconds_{part}": value for part, value in seconds.items()},
        }
        record = StepRecord(step=step, metrics=metrics)
        self.directory.append("metrics.jsonl", {"step": step, "metrics": metrics})
        for row in sample_rows(rated, self.recipe.training.group_size):
            self.directory.append("samples.jsonl", {"step": step, "kind": "training", **row})
        self._ended = step
        if not self._durations and self.directory.writes:
            for line in self._watch.unmeasured(metrics):
                self.report(f"note: {line}")
        self._durations.append(seconds["total"])
        self._watch.look(step, metrics)
        if self.directory.writes:
            line = self._progress(step, metrics, rated.outcome.metric_names.values())
            self.report(line, step, self.steps)
            self.observe(self.folder, record)

    def take_roll_back(self) -> tuple[int, Path | str] | None:
        """Return the checkpoint to restore now, its step and its folder or reference; ``None`` = go on.

        Call it after :meth:`end_step`, on every process. Weights and optimizer are restored from it, and a checkpoint
        of the step that has ended is added; the steps go on from there.
        """
        return self._watch.take_roll_back()

    def _progress(self, step: int, metrics: Mapping[str, float], terms: Iterable[str]) -> str:
        left = (self.steps - step) * sum(self._durations) / len(self._durations)
        shown = " ".join(
            f"{name.removesuffix('_reward').removesuffix('_rate')} {metrics[name]:.2f}"
            for name in terms
            if math.isfinite(metrics[name])
        )
        return (
            f"step {step}/{self.steps}  reward {metrics['reward_mean']:.3f}  {shown}"
            f"  KL {metrics['kl_reference']:.4f}  {metrics['tokens_per_second']:.0f} tokens/s"
            f"  {duration(left)} left"
        )

    # ---- checkpoints and evaluation

    def event(self, kind: str, **details: object) -> None:
        """Record an event, such as a request that was sent again."""
        self.directory.event(kind, **details)

    def checkpoint_due(self, step: int) -> bool:
        """Return whether to write a checkpoint after a step: every so many steps, or minutes since the last one."""
        kept = self.recipe.checkpoints
        late = self.directory.unsaved_for(kept.minutes) and step < self.steps
        return step % kept.every == 0 or late

    def rescue(self, step: int, save: Callable[[], None]) -> None:
        """Save the weights that a training which fails still has, unless a checkpoint has them.

        Args:
            step: number of steps that the weights were trained for. If it is not the last step recorded, a run cannot
                continue from them, and nothing is saved.
            save: writes the checkpoint and lists it with :meth:`add_checkpoint`.
        """
        rows = self.directory.rows("checkpoints.jsonl")
        if not step or step != self._ended or any(row["step"] == step for row in rows):
            return
        if self._watch.due_roll_back is not None:  # the weights of this step are those of the checkpoint
            return
        rescue(self.directory, self.report, save, f"step {step}", step=step)

    def add_checkpoint(self, step: int, where: Path | str, kind: str, **details: str | None) -> None:
        """List a complete checkpoint in the ledger, and delete those no longer needed.

        Args:
            where: its folder, written in ``directory.unfinished`` and moved into place from there, or a service's
                reference to it.
            details: further fields of the row, such as ``expires`` (ISO 8601, ``None`` = never).
        """
        kept = self.recipe.checkpoints
        self.directory.add_checkpoint(
            step,
            where,
            kind,
            every=kept.every,
            keep=kept.keep,
            since=self._watch.kept_since(step),
            **details,
        )

    def evaluation_due(self, step: int) -> bool:
        """Return whether to evaluate: before the first step, every ``evaluation.every`` steps, and after the last.

        Before the first step there is one before the warm-up and one after it.
        """
        if step == 0 and self._warmed_up:
            return not self._warmed_up.is_evaluated
        due = step % self.recipe.evaluation.every == 0 or step == self.steps
        return due and all(row["step"] != step for row in self.directory.rows("evaluations.jsonl", ("step",)))

    def evaluate(self, policy: Policy, step: int) -> None:
        """Have the policy rewrite the held-out texts, with the same noise each time, and record the reward terms.

        ``reward_se`` is the standard error of the mean over prompts (samples of one prompt averaged first). At step 0
        after a warm-up it is recorded with the warm-up; the one before it is that of the base model.
        """
        warmup = self._warmed_up if step == 0 else None
        found = held_out(self.recipe, self.test, policy, self._rate, step)
        # The samples first: a kill between the two leaves samples of no evaluation, which the resumed run removes.
        kind = "evaluation" if warmup is None else "warmup"
        for row in sample_rows(found.rated):
            self.directory.append("samples.jsonl", {"step": step, "kind": kind, **row})
        if warmup is None:
            self.directory.append("evaluations.jsonl", found.row)
        else:
            warmup.add_evaluation(found.row)
        metrics, when = found.row["metrics"], f"at step {step}" if warmup is None else "after the warm-up"
        self.report(
            f"evaluation {when}: reward {metrics['reward_mean']:.3f} ± {metrics['reward_se']:.3f}"
            f" on {len(found.row['prompts'])} held-out prompts"
        )


def _refuse_unrewarded(rated: RatedRollouts) -> None:
    totals, failures = rated.outcome.total, rated.outcome.failures
    if np.isfinite(totals).any():
        return
    why = f": {failures[0].owner}: {failures[0].message}" if failures else ""
    raise RunError(
        f"none of the {totals.size} rollouts of a step has a reward{why}",
        "fix what fails, or leave it out of the recipe of a new run; --resume goes on from the last checkpoint",
    )


def _distance(sampled: Sequence[FloatArray], other: Sequence[FloatArray]) -> float:
    """Mean over all tokens of the difference of two models' log-probabilities."""
    return mean_over_tokens([ours - theirs for ours, theirs in zip(sampled, other, strict=True)])
