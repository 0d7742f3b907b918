"""A training from its recipe to its end, or the rest of a resumed one: check, calibrate, prepare, train."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.detection.ensemble import CalibratedEnsemble, load_ensemble
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.signal import carries_the_signal, nothing_to_evade, signals
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.detection.trainable import keep_fitted
from paraphrase_rl.errors import NumericalError, PluginError, PrlError, RecipeError, RunError, one_line
from paraphrase_rl.files import expanded
from paraphrase_rl.plugin.protocols import Backend
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.preflight.inspection import inspect, prices_of
from paraphrase_rl.progress import Report, reporter
from paraphrase_rl.recipe.loading import LoadedRecipe, dump_recipe, plain
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.backend import ChosenBackend
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.manifest import manifest
from paraphrase_rl.runs.reader import manifest_of
from paraphrase_rl.training.changes import INITIAL, Initial, initial_in
from paraphrase_rl.training.processes import is_first
from paraphrase_rl.training.prompt_order import prompt_order
from paraphrase_rl.training.reward import ComposedReward, build_reward
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.training.warmup import WarmupSession
from paraphrase_rl.training.warmup_pairs import PairMaker
from paraphrase_rl.training.warmup_texts import given_pairs, unseen_excerpts

_Args = ParamSpec("_Args")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class Start:
    """Inputs for starting or resuming a training.

    Attributes:
        loaded: the recipe; for a resumed run, the run's own.
        folder: the run directory.
        resume: whether the directory holds a run to continue.
        changed: recipe keys whose values are others than when the resumed run began.
        initial: weights of another run to begin with.
        backend: backend to train on.
        device: torch device of the detectors, the rewards, and a local backend.
        max_cost: the most that the run may cost, in the currency of the prices; ``None`` = any sum.
        prices: a price table to use instead of the backend's own.
        report: function that shows one line of progress, with the number of steps done after each step.
        stop_requested: called after each step; if it returns True, the run stops with a checkpoint.
    """

    loaded: LoadedRecipe
    folder: Path
    resume: bool
    backend: ChosenBackend
    device: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    initial: Initial | None = None
    max_cost: float | None = None
    prices: Path | None = None
    report: Report
    stop_requested: Callable[[], bool]


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
        if start.changed and _is_done(start, corpus, directory):
            return "completed"
        backend = registry.build("backends", on.name, on.options, Context(device=start.device))
        session = _prepare(start, registry, corpus, directory)
        return _carry_out(session, backend, registry)
    except PluginError:
        if callbacks.raised is not None:
            raise callbacks.raised from None
        raise
    finally:
        directory.close()


def calibrated(
    recipe: Recipe, registry: Registry, corpus: Corpus, device: str, report: Report
) -> CalibratedEnsemble:
    """Calibrate the detectors of a recipe on the calibration split of its texts.

    Raises:
        PrlError: a detector cannot be built, or there are too few texts.
    """
    names = ", ".join(detector.name for detector in recipe.detectors)
    report(f"calibrating {names} on held-out texts of {corpus.source}")
    context = Context(device=device)
    return calibrate(
        [build_detector(registry, context, d.name, d.options, d.weight) for d in recipe.detectors],
        corpus.select(split="calibration"),
        usual_rates(recipe.calibration.target_fpr),
        source=corpus.source,
        excerpt_words=recipe.data.excerpt_words,
        combine=recipe.ensemble.combine,
    )


def _is_done(start: Start, corpus: Corpus, directory: RunDirectory) -> bool:
    """Check the changes of a run that has begun; if it has all its steps, carry them out and return True.

    Raises:
        RunError: the run has done more steps than it would have, or has no checkpoint to do more from.
    """
    steps = len(prompt_order(len(corpus.select(split="train", label="ai")), start.loaded.recipe.training))
    if directory.last_step > steps:
        raise RunError(
            f"{start.folder} has done {directory.last_step} steps, more than the {steps} of the changed recipe",
            "choose no fewer steps than it has done",
        )
    if not directory.finished:
        return False
    last = directory.last_checkpoint()
    if last is None and directory.last_step < steps:
        raise RunError(
            f"{start.folder} is complete and has no checkpoint with the optimizer's state to do more steps from",
            f"start a new run from its weights: prl train --from {shlex.quote(str(start.folder))}",
        )
    if directory.last_step < steps:
        return False
    _change(start, directory, steps)
    start.report(f"{start.folder} is already complete")
    return True


def _change(start: Start, directory: RunDirectory, steps: int) -> None:
    facts = {**manifest_of(start.folder), "recipe": plain(start.loaded.recipe)}
    directory.change(dump_recipe(start.loaded), facts, steps=steps, keys=dict(start.changed))
    start.report(f"note: changed in this run: {', '.join(sorted(start.changed))}")


def _prepare(start: Start, registry: Registry, corpus: Corpus, directory: RunDirectory) -> TrainingSession:
    """A run ready to start, its directory begun; or one rewound to its last checkpoint."""
    recipe, folder, checkpoint = start.loaded.recipe, start.folder, None
    facts = manifest(
        recipe,
        registry,
        corpus,
        backend=start.backend.name,
        options=start.backend.options,
        device=start.device,
    )
    facts["recipe"] = plain(recipe)
    if start.initial is not None:
        facts["from"] = start.initial.facts()
    context = Context(device=start.device)
    if start.resume:
        _check_same_inputs(folder, facts)
        ensemble = load_ensemble(folder / "calibration.json", registry, context)
        checkpoint = directory.last_checkpoint()
    else:
        ensemble = calibrated(recipe, registry, corpus, start.device, start.report)
    train = corpus.select(split="train", label="ai")
    context = Context(device=start.device, ensemble=ensemble)
    reward = build_reward(recipe, registry, context, any(d.group for d in train))
    signal = signals(ensemble)
    told = [carries_the_signal(signal), nothing_to_evade(signal)]
    for note in (*ensemble.warnings(), *filter(None, told), *reward.notes):
        start.report(f"note: {note}")
    if start.resume:
        for damaged in directory.passed_over:
            start.report(f"note: a damaged checkpoint is not used: {damaged}")
        steps = len(prompt_order(len(train), recipe.training))
        if start.changed:
            _change(start, directory, steps)
        directory.rewind(checkpoint[0] if checkpoint else -1, steps)
        for damaged in directory.passed_over:
            directory.event("damaged", checkpoint=damaged)
        begun = "from its warm-up" if directory.has_warmup else "from its beginning"
        where = f"after step {checkpoint[0]}" if checkpoint else begun
        start.report(f"resuming {folder} {where}")
    else:
        if directory.writes:
            kept = keep_fitted(ensemble, registry, folder / "detectors", directory.keep_folder)
            kept.to_file(folder / "calibration.json", directory.keep)
            if start.initial is not None and isinstance(start.initial.place, Path):
                directory.keep_folder(start.initial.place, folder / INITIAL, set(facts["from"]["sha256"]))
        directory.begin(dump_recipe(start.loaded), facts)
    return TrainingSession(
        recipe=recipe,
        directory=directory,
        train=train,
        test=corpus.select(split="test", label="ai"),
        reward=reward,
        report=start.report,
        observe=registry.plugins.on_step_end,
        stop_requested=start.stop_requested,
        resume_from=checkpoint,
        start_from=_start_from(start),
        warmup=_warmup(start, corpus, directory, reward),
    )


def _warmup(
    start: Start, corpus: Corpus, directory: RunDirectory, reward: ComposedReward
) -> WarmupSession | None:
    """The warm-up of a recipe that has one, on texts of the train split."""
    recipe = start.loaded.recipe
    settings = recipe.warmup
    if settings.method is None:
        return None
    texts = (
        unseen_excerpts(corpus, recipe)
        if settings.method == "inverse-paraphrase"
        else corpus.select(split="train", label="ai")[: settings.texts]
    )
    held_out = [d for d in corpus.documents if d.split != "train"]
    pairs = PairMaker(
        recipe=recipe,
        directory=directory,
        texts=texts,
        given=lambda: given_pairs(expanded(settings.path or ""), held_out, settings.texts),
        reward=reward,
        report=start.report,
        stop_requested=start.stop_requested,
    )
    return WarmupSession(
        recipe=recipe,
        directory=directory,
        pairs=pairs,
        report=start.report,
        stop_requested=start.stop_requested,
    )


def _start_from(start: Start) -> Path | str | None:
    if not is_first() and not start.resume:  # the first process is still writing the directory
        return None if start.initial is None else start.initial.place
    return initial_in(start.folder)


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
            error.hint = again = _without_numbers(directory)
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


def _without_numbers(directory: RunDirectory) -> str:
    """What to do where weights are no numbers: a resumed run would repeat the steps that led there."""
    try:
        last = directory.last_checkpoint()
    except RunError as error:
        return error.message
    if last is None:
        return "there is no checkpoint yet; start a new run with a lower training.learning_rate"
    again = f"prl train --from {shlex.quote(str(directory.folder))} --set training.learning_rate=..."
    return f"the last good checkpoint is that of step {last[0]}; start a new run from it: {again}"


def _check_same_inputs(folder: Path, now: dict[str, Any]) -> None:
    """Refuse texts or models that changed since the run began: its numbers would mean something else."""
    then = manifest_of(folder, ["data", "models"])
    if then["data"].get("digest") != now["data"]["digest"]:
        raise RunError(
            f"the data of {folder} has changed since the run began",
            "restore the same texts, or start a new run",
        )
    for reference, revision in now["models"].items():
        if then["models"].get(reference) != revision:
            raise RunError(
                f"model {reference} has changed since {folder} began",
                "restore the same model, or start a new run",
            )
