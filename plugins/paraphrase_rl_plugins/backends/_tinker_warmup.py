"""Warm-up at the service: cross-entropy on given completions, before GRPO. The core decides batches and weights."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tinker import types

from paraphrase_rl.plugin import FloatArray, NumericalError, Session, SupervisedExample, Warmup
from paraphrase_rl_plugins.backends._recording import note_retry
from paraphrase_rl_plugins.backends._tinker_policy import TinkerPolicy
from paraphrase_rl_plugins.backends._tinker_saving import complete_checkpoint, send_checkpoint, settled
from paraphrase_rl_plugins.backends._tinker_service import Service
from paraphrase_rl_plugins.backends._tinker_trainer import adam_params, grad_norm

LOSS = "cross_entropy"


def warm_up(
    session: Session, service: Service, training: Any, base: TinkerPolicy, ttl: int | None
) -> Any | None:
    """Carry out the warm-up of a run, or the rest of it.

    Args:
        training: the SDK's ``TrainingClient``, untrained or restored from the warm-up's checkpoint with its optimizer.
        base: the frozen base model. It makes the pairs, unless the run starts from other weights, which then do.
        ttl: seconds for which the service saves checkpoints before the last step, ``None`` = for ever.

    Returns:
        Client of the warmed-up policy with a fresh optimizer; ``None`` if the warm-up was interrupted.
    """
    warmup = session.warmup
    if warmup is None or session.resume_from is not None:
        return training
    service.on_retry = lambda what, why: note_retry(session, what, why)
    policy = base
    if warmup.resume_from is None and session.start_from is not None:
        sampler = service.ask(training.save_weights_and_get_sampling_client(), "weights for the sampler")
        policy = TinkerPolicy(service, sampler, base.chat)
    if warmup.resume_from is None and session.evaluation_due(0):
        session.evaluate(policy, 0)
    if not warmup.prepare(policy, base.chat):
        return None
    if not SupervisedSteps(session, warmup, service, training, ttl).train():
        return None
    assert warmup.resume_from is not None, "there is a checkpoint after the last step"
    return service.ask(
        service.connected.create_training_client_from_state(warmup.resume_from[1]), "the warmed-up policy"
    )


@dataclass
class SupervisedStep:
    """One update of the adapter by the weighted cross-entropy of a batch.

    Attributes:
        gradient, optimizer: futures; ``None`` = not known to be sent.
    """

    service: Service
    training: Any
    examples: list[SupervisedExample]
    gradient: Any = None
    optimizer: Any = None
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.data = [supervised_datum(example) for example in self.examples]

    def send(self, adam: Any) -> None:
        """Send gradient and optimizer step together."""
        self.gradient = self.service.submit(self.training.forward_backward(self.data, LOSS))
        self.optimizer = self.service.submit(self.training.optim_step(adam))

    def measured(self) -> tuple[list[FloatArray], dict[str, float]]:
        """Wait for the update.

        Returns:
            Log-probabilities of each example's completion before the update, shape (T_i,), and the norm of the
            gradient, if the service reports it.
        """
        before = self._completions(self.service.wait(self.gradient, "gradient"))
        reported = self.service.wait(self.optimizer, "optimizer step").metrics or {}
        return before, grad_norm(reported)

    def after(self) -> list[FloatArray]:
        """Ask for the log-probabilities with the weights as they are now."""
        return self._completions(
            self.service.wait(self._forward(), "log-probabilities after the step", self._forward)
        )

    def _forward(self) -> Any:
        return self.service.submit(self.training.forward(self.data, LOSS))

    def _completions(self, answer: Any) -> list[FloatArray]:
        return [
            np.asarray(output["logprobs"].to_numpy(), dtype=np.float64)[len(example.prompt_ids) - 1 :]
            for example, output in zip(self.examples, answer.loss_fn_outputs, strict=True)
        ]


class SupervisedSteps:
    """Steps of a prepared warm-up after those of its checkpoint."""

    def __init__(
        self, session: Session, warmup: Warmup, service: Service, training: Any, ttl: int | None
    ) -> None:
        self.session, self.warmup, self.service = session, warmup, service
        self.training, self.ttl = training, ttl
        self.step = warmup.resume_from[0] if warmup.resume_from else 0
        self.taken: SupervisedStep | None = None
        self.unrecorded = False
        self.adam = adam_params(warmup.learning_rate)

    def train(self) -> bool:
        """Take the steps; return False if interrupted. A checkpoint is left however they end, where one can be made."""
        try:
            for step in range(self.step + 1, self.warmup.steps + 1):
                self.taken = SupervisedStep(self.service, self.training, self.warmup.batch(step))
                self.unrecorded = True
                self.taken.send(self.adam)
                self._record()
                if self.warmup.checkpoint_due(step):
                    self._save("warmup")
                    if step < self.warmup.steps and self.session.stop_requested():
                        return False
        except BaseException:
            self.service.hurry()
            if not self.unrecorded or self._settled():
                self.warmup.rescue(self.step, lambda: self._save("warmup-rescue"))
            raise
        return True

    def _record(self) -> None:
        assert self.taken is not None
        logprobs, measured = self.taken.measured()
        self.warmup.end_step(self.step + 1, logprobs, measured, time.perf_counter() - self.taken.started)
        self.step, self.unrecorded = self.step + 1, False

    def _settled(self) -> bool:
        assert self.taken is not None
        what = f"warm-up step {self.step + 1}"
        return settled(self.service, self.taken.optimizer, self._record, what, self.session.report)

    def _save(self, name: str) -> None:
        assert self.taken is not None
        if not all(np.isfinite(values).all() for values in self.taken.after()):
            raise NumericalError(
                f"the update of warm-up step {self.step} left weights that are not finite numbers"
            )
        # The last one is the reference of the KL penalty as long as the run is trained.
        ttl = None if self.step == self.warmup.steps else self.ttl
        sent = send_checkpoint(self.service, self.training, f"{name}-{self.step:06d}", ttl)
        reference, details = complete_checkpoint(self.service, sent, ttl)
        self.warmup.add_checkpoint(self.step, reference, **details)


def supervised_datum(example: SupervisedExample) -> Any:
    """Convert an example to the service's input of the loss: targets shifted by one, zero weights at the prompt."""
    ids = [*example.prompt_ids, *example.completion_ids]
    weights = np.zeros(len(ids) - 1, dtype=np.float32)
    weights[len(example.prompt_ids) - 1 :] = example.weight
    return types.Datum(
        model_input=types.ModelInput.from_ints(ids[:-1]),
        loss_fn_inputs={"target_tokens": np.array(ids[1:], dtype=np.int64), "weights": weights},
    )
