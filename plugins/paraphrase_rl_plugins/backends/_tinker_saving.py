"""Checkpoints at the service, and whether a training that fails there leaves weights that can be saved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from paraphrase_rl_plugins.backends._recording import recorded
from paraphrase_rl_plugins.backends._tinker_service import Service


def send_checkpoint(service: Service, training: Any, name: str, ttl: int | None) -> tuple[Any, Any]:
    """Send for a checkpoint: training state and weights for the sampler.

    Args:
        training: the SDK's ``TrainingClient``.
        ttl: seconds for which the service keeps it, ``None`` = for ever.
    """
    return (
        service.submit(training.save_state(name, ttl_seconds=ttl, overwrite=True)),
        service.submit(training.save_weights_for_sampler(name, ttl_seconds=ttl)),
    )


def complete_checkpoint(
    service: Service, saving: tuple[Any, Any], ttl: int | None
) -> tuple[str, dict[str, str | None]]:
    """Wait for a checkpoint that was sent for; return its reference, and further fields of its row of the ledger."""
    state, sampler = (service.wait(future, "checkpoint").path for future in saving)
    expires = None
    if ttl is not None:
        expires = (datetime.now(UTC) + timedelta(seconds=ttl)).isoformat(timespec="seconds")
    return state, {"sampler": sampler, "expires": expires}


def settled(
    service: Service, optimizer: Any, record: Callable[[], None], step: str, report: Callable[[str], None]
) -> bool:
    """Return whether the weights are those of a recorded step: an update on its way is recorded now, or was not done.

    Args:
        optimizer: future of the optimizer step; ``None`` = it is not known whether it was sent.
        step: the step of the update, for the user.
    """
    if optimizer is None or (done := service.carried_out(optimizer)) is None:
        return False
    return not done or recorded(record, step, report)
