"""Warm-up at the service: cross-entropy on given completions, before GRPO. The core decides batches and weights."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from tinker import types

from paraphrase_rl.plugin import FloatArray, Session, SupervisedExample
from paraphrase_rl_plugins.backends._tinker_policy import TinkerPolicy
from paraphrase_rl_plugins.backends._tinker_service import Service
from paraphrase_rl_plugins.backends._tinker_trainer import grad_norm

LOSS = "cross_entropy"


def warm_up(
    session: Session, service: Service, training: Any, base: TinkerPolicy, ttl: int | None
) -> Any | None:
    """Carry out the warm-up of a run, or the rest of it.

    Args:
        training: the SDK's ``TrainingClient``, untrained or restored from the warm-up's checkpoint with its optimizer.
        base: the frozen base model, which makes the pairs.
        ttl: seconds for which the service saves checkpoints before the last step, ``None`` = for ever.

    Returns:
        Client of the warmed-up policy with a fresh optimizer; ``None`` if the warm-up was interrupted.
    """
    warmup = session.warmup
    if warmup is None or session.resume_from is not None:
        return training
    done, place = warmup.resume_from or (0, None)
    if place is None and session.evaluation_due(0):
        session.evaluate(base, 0)
    if not warmup.prepare(base, base.chat):
        return None
    adam = types.AdamParams(
        learning_rate=warmup.learning_rate,
        beta1=0.9,
        beta2=0.95,
        eps=1e-8,
        weight_decay=0.0,
        grad_clip_norm=0.0,
    )
    for step in range(done + 1, warmup.steps + 1):
        started = time.perf_counter()
        logprobs, measured = supervised_step(service, training, warmup.batch(step), adam)
        warmup.end_step(step, logprobs, measured, time.perf_counter() - started)
        if warmup.checkpoint_due(step):
            last = step == warmup.steps  # the reference of the KL penalty as long as the run is trained
            _save(session, service, training, step, None if last else ttl)
            if not last and session.stop_requested():
                return None
    assert warmup.resume_from is not None, "there is a checkpoint after the last step"
    return service.ask(
        service.connected.create_training_client_from_state(warmup.resume_from[1]), "the warmed-up policy"
    )


def supervised_step(
    service: Service, training: Any, examples: list[SupervisedExample], adam: Any
) -> tuple[list[FloatArray], dict[str, float]]:
    """Update the adapter once by the weighted cross-entropy of a batch.

    Returns:
        Log-probabilities of each example's completion before the update, shape (T_i,), and the norm of the gradient, if
        the service reports it.
    """
    gradient = service.submit(training.forward_backward([supervised_datum(e) for e in examples], LOSS))
    optimizer = service.submit(training.optim_step(adam))
    outputs = service.wait(gradient, "gradient").loss_fn_outputs
    reported = service.wait(optimizer, "optimizer step").metrics or {}
    logprobs = [
        np.asarray(output["logprobs"].to_numpy(), dtype=np.float64)[len(example.prompt_ids) - 1 :]
        for example, output in zip(examples, outputs, strict=True)
    ]
    return logprobs, grad_norm(reported)


def supervised_datum(example: SupervisedExample) -> Any:
    """Convert an example to the service's input of the loss: targets shifted by one, zero weights at the prompt."""
    ids = [*example.prompt_ids, *example.completion_ids]
    weights = np.zeros(len(ids) - 1, dtype=np.float32)
    weights[len(example.prompt_ids) - 1 :] = example.weight
    return types.Datum(
        model_input=types.ModelInput.from_ints(ids[:-1]),
        loss_fn_inputs={"target_tokens": np.array(ids[1:], dtype=np.int64), "weights": weights},
    )


def _save(session: Session, service: Service, training: Any, step: int, ttl: int | None) -> None:
    name = f"warmup-{step:06d}"
    sent = (
        service.submit(training.save_state(name, ttl_seconds=ttl, overwrite=True)),
        service.submit(training.save_weights_for_sampler(name, ttl_seconds=ttl)),
    )
    state, sampler = (service.wait(future, "checkpoint").path for future in sent)
    expires = None
    if ttl is not None:
        expires = (datetime.now(UTC) + timedelta(seconds=ttl)).isoformat(timespec="seconds")
    assert session.warmup is not None
    session.warmup.add_checkpoint(step, state, sampler=sampler, expires=expires)
