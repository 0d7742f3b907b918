"""Warm-up of a training: supervised steps before the first one, on pairs of a source and the text it should become.

By inverse paraphrase the policy paraphrases human texts, then learns to write the human text from the paraphrase, under
the prompt that it is trained with later. It learns what human writing looks like, and no detector takes part.

Loss of a batch = - sum over the tokens of its targets of w * log p(token), w = 1 / number of these tokens. The pairs,
batches and weights are decided here, the same on every backend.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paraphrase_rl.errors import NumericalError, RunError
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.models.chat import Chat
from paraphrase_rl.plugin.protocols import Policy
from paraphrase_rl.plugin.rated import SupervisedExample
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.prompt import Prompt
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.ledger import WARMUP, damage_of, has_expired, is_there, ledger
from paraphrase_rl.runs.metrics_files import WARMUP_ROWS
from paraphrase_rl.runs.reader import adapter_of
from paraphrase_rl.training.rescue import rescue
from paraphrase_rl.training.warmup_pairs import WARMUP_KEY, Pair, PairMaker
from paraphrase_rl.types import FloatArray

Tokens = tuple[list[int], list[int]]
"""Token ids of a prompt and of its completion."""


def warmup_order(pairs: int, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """Choose the indices of the pairs of each step: every epoch is a permutation by seed and epoch alone."""
    order = []
    for epoch in range(epochs):
        permutation = np.random.default_rng((seed, 0, WARMUP_KEY, 0, epoch + 1)).permutation(pairs).tolist()
        order += [permutation[at : at + batch_size] for at in range(0, pairs, batch_size)]
    return order


def encoded(pairs: Sequence[Pair], chat: Chat, prompt: Prompt) -> list[Tokens]:
    """Encode pairs as the prompt that a rollout would have, and the completion that it should be, with its end."""
    found, tokenizer = [], chat.tokenizer
    for source, target in pairs:
        completion = tokenizer(target, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        found.append((chat.prompt(prompt.messages(source)), [*completion, int(tokenizer.eos_token_id)]))
    return found


@dataclass(kw_only=True)
class WarmupSession:
    """One warm-up, as its backend sees it: :class:`paraphrase_rl.plugin.protocols.Warmup`."""

    recipe: Recipe
    directory: RunDirectory
    pairs: PairMaker
    report: Report
    stop_requested: Callable[[], bool]
    _tokens: list[Tokens] = field(default_factory=list)
    _order: list[list[int]] = field(default_factory=list)
    _batch: list[SupervisedExample] = field(default_factory=list)
    _ended: int = 0
    _durations: deque[float] = field(default_factory=lambda: deque(maxlen=10))

    @property
    def steps(self) -> int:
        """Steps of the whole warm-up, once it is prepared."""
        return len(self._order)

    @property
    def learning_rate(self) -> float:
        """Learning rate of every step."""
        return self.recipe.warmup.learning_rate

    @property
    def resume_from(self) -> tuple[int, Path | str] | None:
        """Step of the warm-up's newest checkpoint, and its folder or reference; ``None`` if there is none.

        Raises:
            RunError: it has expired at the service, or a file of it has changed.
        """
        row = self._newest()
        if row is None:
            return None
        if damage := damage_of(self.directory.folder, row):
            raise RunError(
                f"the checkpoint of the warm-up, {self.directory.folder / row['path']}, is damaged: {damage}",
                "restore the file, or start a new run",
            )
        place = row["reference"] if "reference" in row else adapter_of(self.directory.folder, row)
        return int(row["warmup_step"]), place

    @property
    def is_complete(self) -> bool:
        """True if the checkpoint after its last step is listed."""
        row = self._newest()
        return row is not None and row["warmup_step"] == row["warmup_steps"]

    @property
    def reference(self) -> Path | str | None:
        """The adapter after the complete warm-up: its folder, or sampler weights at a service; ``None`` before."""
        row = self._newest()
        return adapter_of(self.directory.folder, row) if row is not None and self.is_complete else None

    def _newest(self) -> dict[str, Any] | None:
        rows: list[dict[str, Any]] = ledger(self.directory.folder)
        for row in rows[::-1]:
            if row["kind"] != WARMUP:
                continue
            if is_there(self.directory.folder, row):
                return row
            if has_expired(row):
                raise RunError(
                    f"the warm-up's checkpoint of {self.directory.folder} expired at the service on {row['expires']}",
                    "start a new run",
                )
        return None

    def prepare(self, policy: Policy, chat: Chat) -> bool:
        """Make the pairs, or the rest of them, and the order of the steps.

        Args:
            policy: the policy that the run starts from.
            chat: the policy's tokenizer and chat template.

        Returns:
            False if the user asked to stop before the pairs were complete.

        Raises:
            RunError: there is no pair to learn from.
        """
        pairs = self.pairs.make(policy)
        if pairs is None:
            return False
        limit = self.recipe.sampling.max_tokens
        tokens = encoded(pairs, chat, self.recipe.prompt)
        self._tokens = [pair for pair in tokens if len(pair[1]) <= limit]
        if too_long := len(tokens) - len(self._tokens):
            self.report(
                f"warm-up: {too_long} pairs left out: their target is beyond sampling.max_tokens {limit}"
            )
        if not self._tokens:
            raise RunError(
                f"the warm-up has no pair whose target fits into sampling.max_tokens {limit}",
                "raise sampling.max_tokens, or lower warmup.max_words",
            )
        settings = self.recipe.warmup
        self._order = warmup_order(
            len(self._tokens), settings.batch_size, settings.epochs, self.recipe.training.seed
        )
        self._rewind()
        return True

    def _rewind(self) -> None:
        """Remove the rows of steps after the checkpoint that it goes on from."""
        path = self.directory.folder / WARMUP_ROWS
        self._ended = done = self.resume_from[0] if self.resume_from else 0
        if self.directory.writes and path.exists():
            rows = self.directory.rows(WARMUP_ROWS, ("warmup_step",))
            write_jsonl(path, [row for row in rows if row["warmup_step"] <= done])

    def batch(self, step: int) -> list[SupervisedExample]:
        """Return the examples of a step (counted from 1); their weights are 1 / tokens of the batch."""
        chosen = [self._tokens[index] for index in self._order[step - 1]]
        weight = 1.0 / sum(len(completion) for _, completion in chosen)
        self._batch = [
            SupervisedExample(prompt_ids=prompt, completion_ids=completion, weight=weight)
            for prompt, completion in chosen
        ]
        return self._batch

    def end_step(
        self, step: int, logprobs: Sequence[FloatArray], measured: Mapping[str, float], seconds: float
    ) -> None:
        """Record a step, once: a rescue may ask again, since it cannot know how far the first call came.

        Args:
            logprobs: log-probabilities of the completions of :meth:`batch` before the update, shape (T_i,) each.
            measured: further metrics, such as ``grad_norm``.
            seconds: wall seconds of the step.

        Raises:
            NumericalError: the log-probabilities are no numbers: the weights before the update are damaged.
        """
        if step == self._ended:
            return
        tokens = sum(len(values) for values in logprobs)
        loss = -sum(
            example.weight * float(values.sum())
            for example, values in zip(self._batch, logprobs, strict=True)
        )
        if not math.isfinite(loss):
            raise NumericalError(f"the loss of warm-up step {step} is not a finite number")
        metrics = {
            "warmup_loss": loss,
            **measured,
            "learning_rate": self.learning_rate,
            "prompt_tokens": float(sum(len(example.prompt_ids) for example in self._batch)),
            "completion_tokens": float(tokens),
            "tokens_per_second": tokens / seconds,
            "seconds_total": seconds,
        }
        self.directory.append(WARMUP_ROWS, {"warmup_step": step, "metrics": metrics})
        self._ended = step
        self._durations.append(seconds)
        left = (self.steps - step) * sum(self._durations) / len(self._durations)
        self.report(f"warm-up step {step}/{self.steps}  loss {loss:.3f}  {left:.0f} s left")

    def checkpoint_due(self, step: int) -> bool:
        """Return whether to write a checkpoint after this step: also after the last, and when asked to stop."""
        every, minutes = self.recipe.warmup.checkpoint_every, self.recipe.checkpoints.minutes
        due = step == self.steps or step % every == 0 or self.directory.unsaved_for(minutes)
        return due or self.stop_requested()

    def rescue(self, step: int, save: Callable[[], None]) -> None:
        """Save the weights that a warm-up which fails still has, unless a checkpoint has them.

        Args:
            step: number of its steps that the weights were trained for. If it is not the last one recorded, a run
                cannot continue from them, and nothing is saved.
            save: writes the checkpoint and lists it with :meth:`add_checkpoint`.
        """
        listed = any(row.get("warmup_step") == str(step) for row in ledger(self.directory.folder))
        if step and step == self._ended and not listed:
            rescue(self.directory, self.report, save, f"warm-up step {step}", warmup_step=step)

    def add_checkpoint(self, step: int, where: Path | str, **details: str | None) -> None:
        """List a complete checkpoint of the warm-up in the ledger; the one before it is deleted."""
        kept = self.recipe.checkpoints
        self.directory.add_checkpoint(
            0,
            where,
            WARMUP,
            every=kept.every,
            keep=kept.keep,
            since=None,
            warmup_step=str(step),
            warmup_steps=str(self.steps),
            **details,
        )

    # ---- evaluation after the warm-up

    @property
    def is_evaluated(self) -> bool:
        """True if the held-out prompts were rewritten after the warm-up."""
        return any("evaluation" in row for row in self.directory.rows(WARMUP_ROWS))

    def add_evaluation(self, row: Mapping[str, object]) -> None:
        """Record the evaluation after the warm-up."""
        done = self.resume_from
        assert done is not None, "evaluated after its last step"
        self.directory.append(
            WARMUP_ROWS,
            {"warmup_step": done[0], "evaluation": row["metrics"], "prompts": row["prompts"]},
        )
