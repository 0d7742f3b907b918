"""Training loop of the recipe on the service, with as few waits as on-policy training allows.

One step, from the service's side: all groups sample at once; a group that is done is scored by the base model, and
rated here, while others still sample; gradient, optimizer step, next sampler, log-probabilities after the step and
checkpoint are sent together; the next batch samples while this one is recorded and evaluated.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tinker import types

from paraphrase_rl.plugin import (
    FloatArray,
    RatedRollouts,
    Rollout,
    RunError,
    Session,
    TrainingResult,
    mean_over_tokens,
    measured_rows,
)
from paraphrase_rl_plugins.backends._recording import note_retry
from paraphrase_rl_plugins.backends._tinker_policy import ServedChat, TinkerPolicy, scores
from paraphrase_rl_plugins.backends._tinker_saving import complete_checkpoint, send_checkpoint, settled
from paraphrase_rl_plugins.backends._tinker_service import Service

LOSS = "importance_sampling"
TRUNCATED = "cispo"
"""Loss with importance ratios between two bounds, as weights without a gradient: sum of -sg(clip(r)) A log p."""


@dataclass
class Asked:
    """A batch that is being sampled.

    Attributes:
        requests: functions that send each group's request, again where it failed, and return its future.
        version: number of steps that the sampling policy had been trained for.
    """

    indices: list[int]
    prompts: list[list[int]]
    requests: Sequence[Callable[[], Any]]
    futures: list[Any]
    version: int


@dataclass
class Update:
    """An update that is sent, until its step is recorded.

    Attributes:
        version: number of steps that the policy that sampled its batch had been trained for.
        seconds: wall seconds by part of the step so far.
        gradient, optimizer, after: futures, the last of the log-probabilities after the update; ``None`` = not sent.
    """

    step: int
    version: int
    rated: RatedRollouts
    data: list[Any]
    seconds: dict[str, float]
    gradient: Any = None
    optimizer: Any = None
    after: Any = None


class TinkerTrainer:
    """Trains one run.

    Args:
        training: the SDK's ``TrainingClient``.
        base: the frozen base model.
        rate: learning rate, used without change.
        ttl: seconds for which the service saves periodic checkpoints, ``None`` = for ever.
        ahead: number of batches that may be sampled before earlier updates are done; 0 = always on-policy.
        warmed_up: the policy after the warm-up, where there is one.
    """

    def __init__(
        self,
        session: Session,
        service: Service,
        training: Any,
        base: TinkerPolicy,
        *,
        rate: float,
        ttl: int | None,
        ahead: int = 0,
        warmed_up: TinkerPolicy | None = None,
    ) -> None:
        self.session, self.service, self.training, self.base = session, service, training, base
        self.rate, self.ttl, self.ahead, self.warmed_up = rate, ttl, ahead, warmed_up
        self.pending: deque[Asked] = deque()
        self.step = session.resume_from[0] if session.resume_from else 0
        self.sent: Update | None = None
        self.rolling_back = False  # meanwhile the weights are those of no step
        self.started = time.perf_counter()
        service.on_retry = lambda what, why: self._note_retry(what, why)
        self.adam = adam_params(rate)

    @property
    def chat(self) -> ServedChat:
        """Tokenizer and chat template of the model that is trained."""
        return self.base.chat

    def train(self) -> TrainingResult:
        """Train to the end of the run or to the first interrupt; a checkpoint is left however it ends."""
        try:
            return self._train()
        except BaseException:
            self.service.hurry()
            if not self.rolling_back and (self.sent is None or self._settled(self.sent)):
                self.session.rescue(self.step, self._rescue)
            raise

    def _settled(self, sent: Update) -> bool:
        what, report = f"step {sent.step}", self.session.report
        return settled(self.service, sent.optimizer, lambda: self._record(sent), what, report)

    def _rescue(self) -> None:
        self._enter(self.step, self._save(f"rescue-{self.step:06d}", self.ttl), "periodic", self.ttl)

    def _note_retry(self, what: str, why: str) -> None:
        note_retry(self.session, what, why, step=self.step + 1)

    def _train(self) -> TrainingResult:
        session, step = self.session, self.step
        policy = self._policy(self._next_sampler())
        if session.evaluation_due(step):
            session.evaluate(policy, step)
        self._ask_on(step, policy)
        self.started = time.perf_counter()
        self.service.take_idle()
        while self.pending:
            asked = self.pending.popleft()
            step += 1
            rated, seconds = self.collect(asked)
            sent = self.sent = Update(step, asked.version, rated, self.data(rated), seconds)
            sent.gradient, sent.optimizer = self.update(sent.data, self.cap(sent))
            sampler = self._next_sampler()
            sent.after = self._forward(sent)
            stopping = session.stop_requested()
            due = stopping or session.checkpoint_due(step)
            saving = self._save(f"step-{step:06d}", self.ttl) if due else None
            policy = self._policy(sampler)
            if stopping:
                self.pending.clear()
            else:
                self._ask_on(step, policy)
            self._record(sent)
            back = session.take_roll_back()
            if back is not None:
                self.rolling_back = True
                policy = self._roll_back(str(back[1]))
                self.rolling_back = False
            if back is not None or (session.stopped_by is not None and not stopping):
                self.pending.clear()  # sampled from weights that are gone, or for nothing
                if session.stopped_by is None and not stopping:
                    self._ask_on(step, policy)
                if back is not None or saving is None:
                    saving = self._save(f"step-{step:06d}", self.ttl)
            if saving is not None:
                self._enter(step, saving, "periodic", self.ttl)
            if session.evaluation_due(step) and (not stopping or step == session.steps):
                session.evaluate(policy, step)  # else the resumed run evaluates the same weights
        if step == session.steps:
            self._finish(step)
        return TrainingResult(status="completed" if step == session.steps else "interrupted", step=step)

    # ---- one step

    def _record(self, sent: Update) -> None:
        """Wait for an update, and record its step."""
        waited = time.perf_counter()
        measured = self.measured(sent)
        measured["steps_off_policy"] = float(sent.step - 1 - sent.version)
        now = time.perf_counter()
        seconds = sent.seconds | {
            "update": now - waited,
            "total": now - self.started,
            "service_waits": self.service.take_idle(),
        }
        self.started, self.step, self.sent = now, sent.step, None
        self.session.end_step(sent.step, sent.rated, measured, seconds)

    def _ask_on(self, step: int, policy: TinkerPolicy) -> None:
        """After a step, keep as many batches in the air as may be."""
        while (
            len(self.pending) <= self.ahead and (coming := step + len(self.pending) + 1) <= self.session.steps
        ):
            self.pending.append(self.ask(coming, policy, step))

    def ask(self, step: int, policy: TinkerPolicy, version: int) -> Asked:
        """Send all groups of a step for sampling; the policy has been trained for ``version`` steps."""
        indices = self.session.order[step - 1]
        prompts = [
            self.chat.prompt(self.session.conversation(self.session.train[index])) for index in indices
        ]
        requests = [
            functools.partial(
                policy.ask,
                prompt,
                self.session.noise_key(step, index),
                self.session.recipe.training.group_size,
                self.session.recipe.sampling,
            )
            for index, prompt in zip(indices, prompts, strict=True)
        ]
        return Asked(indices, prompts, requests, [request() for request in requests], version)

    def collect(self, asked: Asked) -> tuple[RatedRollouts, dict[str, float]]:
        """Collect rollouts with rewards and the base model's log-probabilities, and the seconds that each part took."""
        started, rating = time.perf_counter(), 0.0
        waiting = list(range(len(asked.futures)))
        rated: dict[int, RatedRollouts] = {}
        scoring: dict[int, list[Any]] = {}
        scoring_warm: dict[int, list[Any]] = {}
        while waiting:
            arrived = self._arrived(asked, waiting)
            waiting = [group for group in waiting if group not in arrived]
            rollouts = {group: self._rollouts(asked, group) for group in arrived}
            for group in arrived:
                scoring[group] = [self.base.score(rollout) for rollout in rollouts[group]]
                if self.warmed_up is not None:
                    scoring_warm[group] = [self.warmed_up.score(rollout) for rollout in rollouts[group]]
            for group in arrived:
                began = time.perf_counter()
                indices = [asked.indices[group]] * len(rollouts[group])
                rated[group] = self.session.rate(indices, rollouts[group])
                rating += time.perf_counter() - began
        sampled = time.perf_counter()
        for group, futures in scoring.items():
            rated[group].base_logprobs = self._scored(rated[group].rollouts, futures, self.base)
        for group, futures in scoring_warm.items():
            assert self.warmed_up is not None
            rated[group].warmup_logprobs = self._scored(rated[group].rollouts, futures, self.warmed_up)
        seconds = {
            "sample": sampled - started - rating,
            "reward": rating,
            "reference": time.perf_counter() - sampled,
        }
        return RatedRollouts.join([rated[group] for group in sorted(rated)]), seconds

    def _scored(self, rollouts: list[Rollout], futures: list[Any], policy: TinkerPolicy) -> list[FloatArray]:
        """Log-probabilities that were asked of a reference policy; one that hangs is asked for once more."""
        what = "reference log-probabilities"
        return [
            scores(rollout, self.service.wait(future, what, functools.partial(policy.score, rollout)))
            for rollout, future in zip(rollouts, futures, strict=True)
        ]

    def _arrived(self, asked: Asked, waiting: list[int]) -> list[int]:
        """Groups that are sampled, at least one; where all hang, they are asked for once more."""
        for last in (False, True):
            try:
                done = self.service.first_of([asked.futures[group] for group in waiting], "sampling")
                return [group for group in waiting if asked.futures[group] in done]
            except RunError as error:
                if last:
                    raise
                self._note_retry("sampling", error.message)
            for group in waiting:
                asked.futures[group] = asked.requests[group]()
        raise AssertionError("the last try returns or raises")

    def _rollouts(self, asked: Asked, group: int) -> list[Rollout]:
        answer = self.service.wait(asked.futures[group], "sampling", asked.requests[group])
        rollouts = self.chat.rollouts(group, asked.prompts[group], answer)
        if len(rollouts) != self.session.recipe.training.group_size or not all(
            r.completion_ids for r in rollouts
        ):
            raise RunError("sampling: the service sent fewer samples than asked for", self.service.remedy)
        return rollouts

    def data(self, rated: RatedRollouts) -> list[Any]:
        """Convert the batch to the service's format: targets shifted by one, zero advantages at prompts."""
        advantages = self.session.advantages(rated).values
        return [datum(r, a) for r, a in zip(rated.rollouts, advantages, strict=True)]

    def cap(self, sent: Update) -> float | None:
        """Largest importance ratio of a batch; ``None`` for one that was sampled from the weights that it updates."""
        return self.session.recipe.training.ratio_cap if sent.step - 1 > sent.version else None

    def update(self, data: list[Any], cap: float | None = None) -> tuple[Any, Any]:
        """Send gradient and optimizer step together; return both futures."""
        loss, bounds = LOSS, None
        if cap is not None:
            loss, bounds = TRUNCATED, {"clip_low_threshold": 0.0, "clip_high_threshold": cap}
        self.adam = self.adam.model_copy(update={"learning_rate": self.session.learning_rate(self.rate)})
        gradient = self.service.submit(self.training.forward_backward(data, loss, bounds))
        return gradient, self.service.submit(self.training.optim_step(self.adam))

    def _forward(self, sent: Update) -> Any:
        """Send for the log-probabilities of some rollouts after their update, which may be asked for again."""
        return self.service.submit(
            self.training.forward([sent.data[row] for row in self._measured_rows(sent)], LOSS)
        )

    def _measured_rows(self, sent: Update) -> list[int]:
        return measured_rows(self.session.recipe.training.group_size, len(sent.data))

    def measured(self, sent: Update) -> dict[str, float]:
        """Return the metrics of a step that the backend measures, under the names of every backend."""
        before = self.service.wait(sent.gradient, "gradient")
        extra = self.service.wait(sent.optimizer, "optimizer step").metrics or {}
        again = functools.partial(self._forward, sent)
        forward = again() if sent.after is None else sent.after
        after = self.service.wait(forward, "log-probabilities after the step", again)
        rollouts = sent.rated.rollouts
        measured = [rollouts[row] for row in self._measured_rows(sent)]
        differences, cap = self._differences(rollouts, before), self.cap(sent)
        truncated = (
            [] if cap is None else [(np.exp(-values) > cap).astype(np.float64) for values in differences]
        )
        return {
            "kl_sample_train": mean_over_tokens(differences),
            **({"ratio_truncated": mean_over_tokens(truncated)} if truncated else {}),
            "kl_post_train": mean_over_tokens(self._differences(measured, after)),
            **grad_norm(extra),
            "learning_rate": float(self.adam.learning_rate),
        }

    @staticmethod
    def _differences(rollouts: Sequence[Rollout], output: Any) -> list[FloatArray]:
        return [
            rollout.logprobs - trained_logprobs(rollout, outputs)
            for rollout, outputs in zip(rollouts, output.loss_fn_outputs, strict=True)
        ]

    # ---- samplers and checkpoints

    def _next_sampler(self) -> Any:
        return self.service.submit(self.training.save_weights_and_get_sampling_client())

    def _policy(self, sampler: Any) -> TinkerPolicy:
        weights = self.service.wait(sampler, "weights for the sampler", self._next_sampler)
        return TinkerPolicy(self.service, weights, self.chat)

    def _roll_back(self, reference: str) -> TinkerPolicy:
        """Go on from the weights and the optimizer of a checkpoint, which the policy samples from."""
        restored = self.service.connected.create_training_client_from_state_with_optimizer(reference)
        self.training = self.service.ask(restored, f"checkpoint {reference}")
        return self._policy(self._next_sampler())

    def _save(self, name: str, ttl: int | None) -> tuple[Any, Any]:
        return send_checkpoint(self.service, self.training, name, ttl)

    def _enter(self, step: int, saving: tuple[Any, Any], kind: str, ttl: int | None) -> None:
        reference, details = complete_checkpoint(self.service, saving, ttl)
        self.session.add_checkpoint(step, reference, kind, **details)

    def _finish(self, step: int) -> None:
        if not self.session.is_complete:
            self._enter(step, self._save("final", None), "final", None)


def datum(rollout: Rollout, advantages: FloatArray) -> Any:
    """Convert one rollout to the service's input of the loss; every array is one shorter than the sequence."""
    ids = [*rollout.prompt_ids, *rollout.completion_ids]
    prompt = np.zeros(len(rollout.prompt_ids) - 1)
    return types.Datum(
        model_input=types.ModelInput.from_ints(ids[:-1]),
        loss_fn_inputs={
            "target_tokens": np.array(ids[1:], dtype=np.int64),
            "logprobs": np.concatenate([prompt, rollout.logprobs]).astype(np.float32),
            "advantages": np.concatenate([prompt, advantages]).astype(np.float32),
        },
    )


def trained_logprobs(rollout: Rollout, outputs: Any) -> FloatArray:
    """Return the trainer's log-probabilities of a rollout's tokens, shape (T,)."""
    values = np.asarray(outputs["logprobs"].to_numpy(), dtype=np.float64)
    return values[len(rollout.prompt_ids) - 1 :]


def adam_params(rate: float) -> Any:
    """Return the settings of the recipe's optimizer, in the service's format."""
    return types.AdamParams(
        learning_rate=rate, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.0, grad_clip_norm=0.0
    )


def grad_norm(reported: Mapping[str, float]) -> dict[str, float]:
    """Return the norm of the gradient, under its name on every backend, if the service reports it.

    A name may carry a prefix of the server's and the way it was reduced: ``skyrl.ai/grad_norm``, ``grad_norm:mean``.
    """
    norms = [v for name, v in reported.items() if name.partition(":")[0].rpartition("/")[2] == "grad_norm"]
    return {"grad_norm": float(norms[0])} if norms else {}
