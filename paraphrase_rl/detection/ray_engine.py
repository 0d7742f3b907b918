"""Engine that scores with Ray Data, on this machine or on the cluster that Ray is connected to.

The texts are read by this process and handed to Ray through a queue, a bounded number of chunks ahead, so that nothing
but this process need see the files. Each replica of the detectors is an actor with a GPU, or a CPU, of its own.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from paraphrase_rl.detection.engines import AHEAD, Chunks
from paraphrase_rl.detection.scorer import Decisions, Scorer, ScorerSettings
from paraphrase_rl.errors import MissingDependencyError, PrlError, RunError, one_line
from paraphrase_rl.plugin.given import VARIABLE

_PASSED_ON = (VARIABLE, "PRL_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS")
"""Environment variables of this process that replicas on other machines get too."""


class RayData:
    """Engine that scores with Ray Data.

    Args:
        settings: which detectors, and how they are calibrated; they come from the plug-ins installed on each node.
        replicas: number of replicas; 1 = one for each GPU of the cluster if the device is CUDA, else for each CPU.

    Raises:
        MissingDependencyError: Ray is not installed.
        RunError: Ray cannot be started.
    """

    def __init__(self, settings: ScorerSettings, replicas: int) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise MissingDependencyError(
                "the engine ray needs Ray Data, which is not installed", "pip install 'paraphrase-rl[ray]'"
            ) from error
        self._ray = ray
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it writes its plans to stderr
        warnings.filterwarnings(
            "ignore", "The minimum number of concurrent actors"
        )  # one task reads, all score
        self._started = not ray.is_initialized()
        try:
            if self._started:
                ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
            found = ray.cluster_resources()
        except Exception as error:
            raise RunError(
                f"Ray cannot be started: {one_line(error)}", "see RAY_ADDRESS and `ray status`"
            ) from error
        self._gpu = 1 if settings.device.startswith("cuda") else 0
        self._settings = settings.on("cuda") if self._gpu else settings
        there = int(found.get("GPU" if self._gpu else "CPU", 0))
        self._replicas = max(1, there) if replicas == 1 else replicas
        if self._replicas > there:
            raise RunError(
                f"{self._replicas} replicas are asked for, and the cluster has {there} "
                f"{'GPUs' if self._gpu else 'CPUs'}",
                "ask for fewer with --workers (workers=)",
            )
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._needs = {"num_cpus": 1, "num_gpus": self._gpu, "runtime_env": {"env_vars": variables}}
        self._queue: Any = None

    def provenance(self) -> dict[str, dict[str, str]]:
        """Return the revisions of the models that each detector's scores depend on, by its name."""
        ask = self._ray.remote(**self._needs)(_provenance)
        found: dict[str, dict[str, str]] = _opened(self._ray.get(ask.remote(self._settings)))
        return found

    def run(self, chunks: Chunks) -> Iterator[Decisions]:
        """Yield the decisions on each chunk, in order."""
        from ray.data import ActorPoolStrategy, DataContext, read_datasource
        from ray.util.queue import Queue

        context = DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.target_max_block_size = 1  # a block is a chunk, which goes on at once
        context.enable_progress_bars = False
        self._queue = Queue(actor_options={"num_cpus": 0})
        with DataContext.current(context):
            replicas = ActorPoolStrategy(size=self._replicas)
            # without a CPU of its own the reading is no part of a replica, which would then be the only one
            read = read_datasource(_chunks_of(self._queue), override_num_blocks=1, num_cpus=0)
            scored = read.map(_replica_of(self._settings), compute=replicas, **self._needs)
            results = iter(scored.iter_batches(batch_size=1, prefetch_batches=0, batch_format="numpy"))
            try:
                yield from self._in_step(chunks, results)
            finally:
                if hasattr(results, "close"):
                    results.close()

    def _in_step(self, chunks: Chunks, results: Iterator[Any]) -> Iterator[Decisions]:
        """Hand over a chunk for each result that comes back."""
        handed = returned = 0
        ended = False
        while True:
            while not ended and handed - returned <= AHEAD * self._replicas:
                chunk = next(chunks, None)
                ended = chunk is None
                self._queue.put(None if chunk is None else (handed, list(chunk)))
                handed += not ended
            if returned == handed:
                return
            yield _opened(next(results)["result"][0])
            returned += 1

    def close(self) -> None:
        """End the replicas, and Ray if this engine started it."""
        if self._queue is not None:
            self._queue.shutdown(force=True)
        if self._started:
            self._ray.shutdown()


class _Replica:
    """Detectors in an actor of their own; an error is a result, so that it comes back as it is."""

    settings: ScorerSettings

    def __init__(self) -> None:
        self._scorer: Scorer | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, texts = pickle.loads(row["chunk"])
        return {"result": _closed(lambda: self._decide(texts, number))}

    def _decide(self, texts: Sequence[str], number: int) -> Decisions:
        if not texts:
            return []
        if self._scorer is None:
            self._scorer = _scorer(self.settings)
        return self._scorer.decide(texts, number)


def _replica_of(settings: ScorerSettings) -> type[_Replica]:
    """A class with the settings in it: as an argument they would be an object that an actor cannot restart without."""
    return type("Replica", (_Replica,), {"settings": settings})


def _scorer(settings: ScorerSettings) -> Scorer:
    from paraphrase_rl.plugin.registry import default_registry

    return Scorer(settings, default_registry())


def _provenance(settings: ScorerSettings) -> bytes:
    return _closed(lambda: _scorer(settings).provenance())


def _closed(act: Any) -> bytes:
    """What a function returns, or the error it raises, as bytes."""
    try:
        return pickle.dumps(act())
    except PrlError as error:
        return pickle.dumps(error)
    except Exception as error:
        return pickle.dumps(RunError(f"a replica failed: {one_line(error)}"))


def _opened(content: bytes) -> Any:
    found = pickle.loads(content)
    if isinstance(found, PrlError):
        raise found
    return found


def _chunks_of(queue: Any) -> Any:
    """Data source of the chunks that are put into a queue, up to ``None``."""
    import pyarrow
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    def read() -> Iterator[Any]:
        while (chunk := queue.get()) is not None:
            yield pyarrow.table({"chunk": [pickle.dumps(chunk)]})

    class Chunks(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:  # noqa: ARG002
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(read, unknown)]

    return Chunks()
