"""The worker of SkyRL's Tinker server, with what the service does and SkyRL 0.4.0 on JAX does not.

Started by ``skyrl_server.py``, in the environment of ``make skyrl``; takes SkyRL's own arguments.
"""

from __future__ import annotations

import typing
from typing import Any

import typing_extensions

typing.TypedDict = typing_extensions.TypedDict  # pydantic refuses the one of Python 3.11

import skyrl.tinker.engine as skyrl_engine  # noqa: E402
from cloudpathlib import AnyPath  # noqa: E402
from skyrl.backends.jax import JaxBackendImpl  # noqa: E402
from skyrl.tinker.db_models import FutureDB, ModelDB, RequestStatus  # noqa: E402
from skyrl.tinker.types import LoraConfig, RequestType, SampleInput  # noqa: E402
from sqlmodel import Session, select  # noqa: E402

EXTERNAL = "external-"
"""Begins the names of adapters that are saved for download; SkyRL knows no such kind."""
SNAPSHOTS = 6
"""Adapters for sampling that are held at once."""

Engine = skyrl_engine.TinkerEngine
filter_requests, save_for_sampler = Engine._filter_valid_requests, Engine.process_save_weights_for_sampler
sample = Engine.process_sample
model_passes, single_requests = Engine.find_batchable_model_passes, Engine.find_single_requests


def named_by_kind(engine: Any, model_id: str, request: Any) -> Any:
    """The SDK reads ``tinker://RUN/KIND/NAME``; SkyRL leaves out the kind."""
    answer = save_for_sampler(engine, model_id, request)
    if request.path.startswith(EXTERNAL):
        answer.type = "save_weights_external"
        answer.path = f"tinker://{model_id}/external_weights/{request.path.removeprefix(EXTERNAL)}"
    elif getattr(answer, "path", None):
        answer.path = f"tinker://{model_id}/sampler_weights/{request.path}"
    return answer


def known(engine: Any, requests: dict[str, Any]) -> Any:
    """Saved weights can be sampled from after their run has ended; SkyRL asks that it be loaded still."""
    saved = {name: r for name, r in requests.items() if isinstance(r[1], SampleInput) and r[0]}
    errors, valid = filter_requests(engine, {n: r for n, r in requests.items() if n not in saved})
    return errors, valid | saved


def with_shapes(engine: Any, requests: dict[str, Any]) -> Any:
    """Tells the backend the shape of every adapter that is sampled from."""
    with Session(engine.db_engine) as session:
        engine.backend.shapes = {
            model_id: LoraConfig.model_validate(session.get(ModelDB, model_id).lora_config)
            for model_id in {model_id for model_id, _ in requests.values()}
            if model_id
        }
    return sample(engine, requests)


def passes_taken(engine: Any, session: Session, request_type: Any) -> Any:
    """Notes which passes an iteration has seen; those of one kind are asked for first, and begin a new note."""
    found = model_passes(engine, session, request_type)
    if request_type == RequestType.FORWARD_BACKWARD:
        engine.taken = set()
    engine.taken |= found.keys()
    return found


def not_before_their_passes(engine: Any, session: Session) -> Any:
    """Leaves an update for the next iteration if a pass ahead of it arrived after the passes were looked for.

    SkyRL looks for passes first and for updates a moment later, each in what has arrived by then. On a busy machine
    both may arrive in between: the update would be made without the gradient, which the next one would then get.
    """
    singles = single_requests(engine, session)
    of_kind = FutureDB.request_type.in_([RequestType.FORWARD_BACKWARD, RequestType.FORWARD])
    pending = select(FutureDB.request_id, FutureDB.model_id).where(of_kind)
    late: dict[str, int] = {}
    for request_id, model_id in session.exec(pending.where(FutureDB.status == RequestStatus.PENDING)).all():
        if str(request_id) not in engine.taken:
            late[model_id] = min(request_id, late.get(model_id, request_id))
    return {
        name: request
        for name, request in singles.items()
        if request[0] not in late or int(name) < late[request[0]]
    }


def snapshot_slots(backend: Any, batch: Any) -> list[int]:
    """Adapter slots of a batch, 0 = the base model.

    SkyRL loads saved weights into the slot of the run that is trained: to sample from an older snapshot would take
    its training back to it. Here every snapshot has a slot of its own, the oldest is dropped.
    """
    slots = []
    for run, name, path in zip(
        batch.all_model_ids, batch.all_checkpoint_ids, batch.all_checkpoint_paths, strict=True
    ):
        snapshot = f"{run}@{name}"
        if run and snapshot not in backend.models:
            held = [other for other in backend.models if "@" in other]
            if len(held) == SNAPSHOTS:
                backend.delete_model(held[0])
            backend.create_model(snapshot, backend.shapes[run])
            backend.load_sampler_checkpoint(snapshot, name, AnyPath(path))
        slots.append(backend.models[snapshot].adapter_index if run else 0)
    return slots


Engine.find_batchable_model_passes = passes_taken
Engine.find_single_requests = not_before_their_passes
Engine.process_save_weights_for_sampler = named_by_kind
Engine._filter_valid_requests = known
Engine.process_sample = with_shapes
JaxBackendImpl.load_sampler_weights = snapshot_slots

if __name__ == "__main__":
    skyrl_engine.main()
