"""A training from its recipe to its end, or the rest of a resumed one: check, calibrate, prepare, train."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import ParamSpec, TypeVar

from paraphrase_rl.errors import NumericalError, PluginError, PrlError, RecipeError, RunError, one_line
from paraphrase_rl.plugin.protocols import Backend
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.preflight.inspection import inspect, prices_of
from paraphrase_rl.progress import reporter
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.metrics_files import WARMUP_PAIRS
from paraphrase_rl.training.changes import initial_in
from paraphrase_rl.training.preparation import Start, is_done, precision_of, prepare
from paraphrase_rl.training.processes import is_first
from paraphrase_rl.training.session import TrainingSession

_Args = ParamSpec("_Args")
_Answer = TypeVar("_Answer")


class _Callbacks:
    """Calls to the caller. What one raises is the caller's own, not the fault of the backend it is called from."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    def remember(self, callback: Callable[_Args, _Answer]) -> Callable[_Args, _Answer]:
        """The callback; what it raises is kept."""

        def called(*args: _Args.args, **kwargs: _Args.kwargs) -> _Answer:
            try:
                return callback(*args, **kwargs)
            except BaseException as error:
                self.raised = error
                raise

        return called


def train(start: Start, registry: Registry) -> str:
    """Check, calibrate and train. Of several processes the first one writes and reports.

    Returns:
        Status of the run: ``completed``, ``interrupted``, or ``stopped`` by a monitor.

    Raises:
        RunError: the directory cannot be used, or the data or a model changed since the run began.
        CostError: the run could cost more than ``max_cost``.
        RecipeError: something else keeps the run from starting; several reasons are notes of the error.
        PrlError: a component, a model or the data is at fault.
    """
    if not is_first():
        start = replace(start, report=reporter(None))
    callbacks = _Callbacks()
    start = replace(
        start,
        report=callbacks.remember(start.report),
        stop_requested=callbacks.remember(start.stop_requested),
    )
    open_directory = RunDirectory.resume if start.resume else RunDirectory.create
    directory = open_directory(start.folder, writes=is_first())
    try:
        if directory.finished and not start.changed:
            start.report(f"{start.folder} is already complete")
            directory.clear()
            ends = [row.get("status") for row in directory.rows("events.jsonl") if row.get("event") == "end"]
            if ends[-1:] != ["completed"]:  # killed after its final adapter, before it could say so
                directory.event("end", status="completed")
            return "completed"
        on = start.backend
        spec = registry.spec("backends", on.name)  # a name that is none is told by itself
        if start.loaded.recipe.warmup.method is not None and not spec.warmup:
            raise RecipeError(
                f"backend {on.name} carries out no warm-up",
                "set warmup.method: null, or choose a backend that does",
            )
        if (start.initial or (start.resume and initial_in(start.folder))) and not spec.starts_from:
            raise RecipeError(
                f"backend {on.name} cannot begin with the weights of another run", "leave out --from"
            )
        prices = prices_of(registry, on.name, start.prices)
        found = inspect(
            start.loaded,
            registry,
            on.name,
            options=on.options,
            device=start.device,
            prices=prices,
            max_cost=start.max_cost,
        )
        corpus = found.texts()
        if start.changed and is_done(start, corpus, directory):
            return "completed"
        context = Context(device=start.device, precision=precision_of(start))
        backend = registry.build("backends", on.name, on.options, context)
        session = prepare(start, registry, corpus, directory, context)
        return _carry_out(session, backend, registry)
    except PluginError:
        if callbacks.raised is not None:
            raise callbacks.raised from None
        raise
    finally:
        directory.close()


def _carry_out(session: TrainingSession, backend: Backend, registry: Registry) -> str:
    """Train; however it ends, say so in the run's events, to the observers, and how to go on to the person."""
    directory, folder, plugins = session.directory, session.folder, registry.plugins
    resumed_after = session.resume_from[0] if session.resume_from else None
    directory.event("start", resumed_after=resumed_after, steps=session.steps)
    plugins.on_run_start(folder, session.recipe.model_dump())
    status, reason, again = "failed", {}, f"continue with: prl train --resume {shlex.quote(str(folder))}"
    try:
        status = backend.train(session).status
        if session.stopped_by is not None and status == "interrupted":
            status = "stopped"
    except BaseException as error:
        reason = {"reason": error.message if isinstance(error, PrlError) else one_line(error)}
        if isinstance(error, KeyboardInterrupt):
            status = "interrupted"
        elif isinstance(error, NumericalError):
            error.hint = again = _without_numbers(session)
        raise
    finally:
        with suppress(RunError):  # the disk may be full, which is then what the run failed of
            directory.event("end", status=status, **reason)
        plugins.on_run_end(folder, status)
        if status == "completed":
            session.report(f"next: prl evaluate {shlex.quote(str(folder))}")
        elif directory.rows("evaluations.jsonl"):
            session.report(f"{status}; {again}")
    return status


def _without_numbers(session: TrainingSession) -> str:
    """What to do where weights are no numbers: a resumed run would repeat the steps that led there."""
    directory, warmup = session.directory, session.warmup
    try:
        last = directory.checkpoints.last()
        warmed_up = warmup is not None and warmup.is_complete
    except RunError as error:
        return error.message
    if last is None and not warmed_up:
        if directory.has_warmup:
            pairs = shlex.quote(str(directory.folder / WARMUP_PAIRS))
            return (
                "start a new run with a lower warmup.learning_rate; its pairs are made already: "
                f"--set warmup.method=pairs --set warmup.path={pairs}"
            )
        return "there is no checkpoint yet; start a new run with a lower training.learning_rate"
    of = "the warm-up" if last is None else f"step {last[0]}"
    again = f"prl train --from {shlex.quote(str(directory.folder))} --set training.learning_rate=..."
    return f"the last good checkpoint is that of {of}; start a new run from it: {again}"
