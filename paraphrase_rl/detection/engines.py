"""Engines: where chunks of texts are scored: in this process, in several on this machine, or on a Ray cluster.

Each takes chunks as they come and gives the decisions in the same order; it reads a bounded number of chunks ahead.
The chunks are the same whatever the engine, so the scores are the same to the bit.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, Protocol

from paraphrase_rl.detection.scorer import Decisions, Scorer, ScorerSettings
from paraphrase_rl.errors import RunError
from paraphrase_rl.plugin.protocols import Components

Chunks = Iterator[Sequence[str]]
AHEAD = 2
"""Number of chunks that each worker has ahead of it."""


class Engine(Protocol):
    """Scores chunks of texts."""

    def provenance(self) -> dict[str, dict[str, str]]:
        """Return the revisions of the models that each detector's scores depend on, by its name."""
        ...

    def run(self, chunks: Chunks) -> Iterator[Decisions]:
        """Yield the decisions on each chunk, in order. An empty chunk costs nothing."""
        ...

    def close(self) -> None:
        """End what the engine started; work that is under way is given up."""
        ...


class InProcess:
    """Engine that scores in this process."""

    def __init__(self, settings: ScorerSettings, registry: Components) -> None:
        self._scorer = Scorer(settings, registry)

    def provenance(self) -> dict[str, dict[str, str]]:
        """Return the revisions of the models that each detector's scores depend on, by its name."""
        return self._scorer.provenance()

    def run(self, chunks: Chunks) -> Iterator[Decisions]:
        """Yield the decisions on each chunk, in order."""
        for number, chunk in enumerate(chunks):
            yield self._scorer.decide(chunk, number) if chunk else []

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


class Processes:
    """Engine that scores in several processes on this machine, each with detectors of its own.

    With several GPUs, the processes take turns on them. The processes end with this one, even if it is killed.

    Args:
        settings: which detectors, and how they are calibrated; they come from the installed plug-ins.
        workers: number of processes.
    """

    def __init__(self, settings: ScorerSettings, workers: int) -> None:
        self._workers = workers
        context = get_context("spawn")  # a fork of a process with threads of torch may hang
        threads = max(1, (os.cpu_count() or 1) // workers)
        self._pool = ProcessPoolExecutor(
            workers, context, _start, (_devices(settings, workers), threads, context.Value("i", 0))
        )

    def provenance(self) -> dict[str, dict[str, str]]:
        """Return the revisions of the models that each detector's scores depend on, by its name."""
        with _workers_alive():
            return self._pool.submit(_provenance).result()

    def run(self, chunks: Chunks) -> Iterator[Decisions]:
        """Yield the decisions on each chunk, in order."""
        waiting: deque[Future[Decisions]] = deque()
        for number, chunk in enumerate(chunks):
            with _workers_alive():
                waiting.append(self._pool.submit(_decide, chunk, number))
            if len(waiting) > AHEAD * self._workers:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def close(self) -> None:
        """End the processes; work that is under way is given up."""
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()

    def _first(self, waiting: deque[Future[Decisions]]) -> Decisions:
        with _workers_alive():
            return waiting.popleft().result()


@contextmanager
def _workers_alive() -> Iterator[None]:
    """Say what to do where a worker process has ended."""
    try:
        yield
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process ended without a result",
            "there may not be enough memory for so many workers: repeat the call with fewer; a script that "
            'starts workers needs `if __name__ == "__main__":`',
        ) from error


def _devices(settings: ScorerSettings, workers: int) -> list[ScorerSettings]:
    """Settings of each worker: those that run on CUDA take turns on the devices."""
    if settings.device != "cuda":
        return [settings] * workers
    import torch

    count = max(1, torch.cuda.device_count())
    return [settings.on(f"cuda:{worker % count}") for worker in range(workers)]


_STATE: dict[str, Any] = {}
"""Of a worker process: its settings, and its scorer once it is needed."""


def _start(settings: Sequence[ScorerSettings], threads: int, started: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    with started.get_lock():
        _STATE["settings"] = settings[started.value % len(settings)]
        started.value += 1


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _scorer() -> Scorer:
    if "scorer" not in _STATE:
        from paraphrase_rl.plugin.registry import default_registry

        _STATE["scorer"] = Scorer(_STATE["settings"], default_registry())
    scorer: Scorer = _STATE["scorer"]
    return scorer


def _provenance() -> dict[str, dict[str, str]]:
    return _scorer().provenance()


def _decide(texts: Sequence[str], number: int) -> Decisions:
    return _scorer().decide(texts, number) if texts else []
