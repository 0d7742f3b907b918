"""SkyRL 0.4.0's Tinker server (JAX on a CPU), for the SDK 0.38: an implementation of the protocol that is not ours.

    .venv-skyrl/bin/python -P tests/servers/skyrl_server.py MODEL_FOLDER --port 8140 --folder STATE

Runs in the environment of ``make skyrl``; ``skyrl_process.py`` starts and stops it from ours. SkyRL 0.4.0 was written
for the SDK 0.25. The routes here are those whose answers a newer SDK reads differently; all that is trained and sampled
is SkyRL's own doing. Ends with its standard input, so that it never outlives the tests.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tarfile
import threading
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typing_extensions

typing.TypedDict = typing_extensions.TypedDict  # pydantic refuses the one of Python 3.11

import uvicorn  # noqa: E402
from fastapi import Depends, HTTPException, Request, Response  # noqa: E402
from skyrl.tinker import api, types  # noqa: E402
from skyrl.tinker.config import EngineConfig, config_to_argv  # noqa: E402
from skyrl.tinker.db_models import ModelDB, SessionDB  # noqa: E402
from sqlmodel.ext.asyncio.session import AsyncSession  # noqa: E402

HERE = Path(__file__).resolve().parent
EXTERNAL = "external-"
"""As in ``skyrl_engine.py``."""
BACKEND = {
    "max_lora_adapters": 24,
    "max_lora_rank": 8,
    "train_micro_batch_size": 8,
    "sample_max_num_sequences": 16,
}

app = api.app
Database = Annotated[AsyncSession, Depends(api.get_session)]
api._build_uv_run_cmd_engine = lambda _, config: [  # SkyRL's own would call uv
    sys.executable,
    "-P",
    str(HERE / "skyrl_engine.py"),
    *config_to_argv(config),
]


def instead(path: str) -> Any:
    """Register a POST route in the place of SkyRL's own."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) != path]
    return app.post(path)


class Lora(api.LoRAConfig):
    """With the switches that SkyRL's route drops and its engine has."""

    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = False


class Creation(api.CreateModelRequest):
    """A new run, numbered within its session."""

    lora_config: Lora
    model_seq_id: int


class Loading(api.LoadWeightsRequest):
    """A run that begins with a checkpoint; it is named by session and number."""

    model_id: str | None = None
    session_id: str
    model_seq_id: int


class External(api.BaseModel):
    """An adapter to download."""

    model_id: str
    path: str
    seq_id: int | None = None


async def new_run(
    session: AsyncSession, session_id: str, number: int, base_model: str, lora: Any
) -> tuple[str, int]:
    """Enter a run under the id that the SDK derives for it; returns it with the request's."""
    if await session.get(SessionDB, session_id) is None:
        raise HTTPException(404, "Session not found")
    model_id = f"{session_id}:train:{number}"
    request_id = await api.create_future(
        session=session,
        request_type=types.RequestType.CREATE_MODEL,
        model_id=model_id,
        request_data=types.CreateModelInput(lora_config=lora),
    )
    if await session.get(ModelDB, model_id) is None:
        session.add(
            ModelDB(
                model_id=model_id,
                base_model=base_model,
                lora_config=lora.model_dump(),
                status="created",
                request_id=request_id,
                session_id=session_id,
            )
        )
    await session.commit()
    return model_id, request_id


@instead("/api/v1/create_model")
async def create_model(asked: Creation, session: Database) -> Any:
    lora = asked.lora_config
    seed = lora.seed if lora.seed is not None else random.randrange(2**31)
    config = types.LoraConfig(
        rank=lora.rank,
        alpha=32.0,
        seed=seed,
        train_attn=lora.train_attn,
        train_mlp=lora.train_mlp,
        train_unembed=lora.train_unembed,
    )
    model_id, request_id = await new_run(
        session, asked.session_id, asked.model_seq_id, asked.base_model, config
    )
    return {"request_id": str(request_id), "model_id": model_id}


@instead("/api/v1/load_weights")
async def load_weights(asked: Loading, request: Request, session: Database) -> Any:
    path = types.TinkerPath.parse(asked.path)
    if path is None:
        raise HTTPException(400, f"not a checkpoint: {asked.path}")
    source = await api.get_model(session, path.primary_id)
    lora = types.LoraConfig.model_validate(source.lora_config)
    model_id, _ = await new_run(session, asked.session_id, asked.model_seq_id, source.base_model, lora)
    load = api.LoadWeightsRequest(model_id=model_id, path=asked.path, optimizer=asked.optimizer)
    return await api.load_weights(load, request, session)


@instead("/api/v1/asample")
async def sample(asked: api.SampleRequest, request: Request, session: Database) -> Any:
    answer = await api.asample(asked, request, session)
    names = [f"{asked.sampling_session_id}:{asked.seq_id}:{i}" for i in range(asked.num_samples)]
    return {"request_id": answer.request_id, "sample_sequence_ids": names}


@app.post("/api/v1/sessions/{session_id}/finish")
async def finish(session_id: str, session: Database) -> Any:
    runs = await session.exec(
        api.select(ModelDB).where(ModelDB.session_id == session_id, ModelDB.status == "created")
    )
    for model_id in [run.model_id for run in runs.all()]:
        await api.unload_model(api.UnloadModelRequest(model_id=model_id), session)
    return {}


@app.post("/api/v1/save_weights_external")
async def save_external(asked: External, session: Database) -> Any:
    saving = api.SaveWeightsForSamplerRequest(model_id=asked.model_id, path=f"{EXTERNAL}{asked.path}")
    return await api.save_weights_for_sampler(saving, session)


def archive(run: str, name: str) -> tarfile.TarFile:
    folder = Path(str(app.state.engine_config.checkpoints_base)) / run / "sampler_weights"
    return tarfile.open(folder / f"{EXTERNAL}{name}.tar.gz")


@app.get("/api/v1/training_runs/{run}/checkpoints/external_weights/{name}/external_weights_urls")
async def addresses(run: str, name: str, request: Request) -> Any:
    with archive(run, name) as files:
        names = [Path(member.name).name for member in files.getmembers() if member.isfile()]
    return {
        "urls": {file: f"{request.base_url}files/{run}/{name}/{file}" for file in names},
        "expires": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }


@app.get("/files/{run}/{name}/{file}")
async def download(run: str, name: str, file: str) -> Response:
    with archive(run, name) as files:
        found = [files.extractfile(m).read() for m in files.getmembers() if Path(m.name).name == file]
    return Response(found[0], media_type="application/octet-stream")


def end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve one model until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    app.state.engine_config = EngineConfig(
        base_model=str(arguments.model),
        backend="jax",
        backend_config=BACKEND,
        checkpoints_base=arguments.folder / "checkpoints",
        database_url=f"sqlite:///{arguments.folder / 'skyrl.db'}",
        session_timeout_sec=60,
        session_cleanup_interval_sec=10,
    )
    threading.Thread(target=end_with_stdin, daemon=True).start()
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, timeout_keep_alive=75)


if __name__ == "__main__":
    main()
