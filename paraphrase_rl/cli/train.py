"""``prl train``: a run from a recipe, or the rest of one."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paraphrase_rl.cli.backends import ChosenBackend, chosen
from paraphrase_rl.cli.output import emit, format_option
from paraphrase_rl.cli.progress import Silence, shown_progress
from paraphrase_rl.cli.settings import component_option, cost_options, device_option, prices_of, set_option
from paraphrase_rl.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    CostError,
    PrlError,
    RecipeError,
    RunError,
    UsageError,
)

if TYPE_CHECKING:
    from paraphrase_rl.data.documents import Corpus
    from paraphrase_rl.plugins import Plugins
    from paraphrase_rl.protocols import Backend
    from paraphrase_rl.recipe.loading import LoadedRecipe
    from paraphrase_rl.registry import Registry
    from paraphrase_rl.training.loop import TrainingRun
    from paraphrase_rl.training.run import RunDirectory
    from paraphrase_rl.types import StepRecord


@click.command(name="train")
@click.option(
    "--config",
    default="recipe",
    show_default=True,
    metavar="NAME|FILE",
    help="A recipe: packaged name or YAML.",
)
@click.option(
    "--backend", help="Where to train: a backend plug-in.  [default: trl; the run's own with --resume]"
)
@component_option("the backend: timeout_s=120")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory.  [default: runs/CONFIG-TIME]")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue the run in this directory, with its own recipe.",
)
@set_option
@device_option
@cost_options
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str,
    backend: str | None,
    options: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    max_cost: float | None,
    price_file: Path | None,
    format_: str,
) -> None:
    """Train a rewriter against the detectors of a recipe.

    Progress goes to stderr. At the end, or after Ctrl-C, the reward terms of the held-out prompts before and after
    are printed on stdout, with three rewrites beside their sources and the run directory.
    """
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.training.history import recipe_file

    if out is None and resume is None and "WORLD_SIZE" in os.environ:
        raise UsageError("several processes must mean the same directory", "name it with --out")
    if resume is not None:
        if overrides or out is not None or _given(ctx, "config") or backend is not None:
            raise UsageError(
                "--resume continues a run with its own recipe and backend",
                "leave out --config, --set, --backend and --out",
            )
        loaded, folder = load_recipe(recipe_file(resume)), resume
    else:
        loaded = load_recipe(config, overrides)
        folder = out or Path("runs") / f"{Path(config).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    on = chosen(backend, options, resume)
    spend = _Spend(max_cost, price_file)
    with shown_progress(quiet=not _main_process()) as progress, _interruptible(progress) as stop_requested:
        status = _train(
            loaded, on, folder, resume is not None, device or _device(), stop_requested, progress, spend
        )
    if _main_process():
        from paraphrase_rl.training.summary import summarise

        _show(summarise(folder), folder, format_)
    ctx.exit(EXIT_INTERRUPTED if status == "interrupted" else EXIT_OK)


def _given(ctx: click.Context, parameter: str) -> bool:
    return ctx.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT


@dataclass(frozen=True)
class _Spend:
    """What the run may cost, and the price table to tell by where it is not the backend's own."""

    at_most: float | None
    prices: Path | None


def _train(
    loaded: LoadedRecipe,
    on: ChosenBackend,
    folder: Path,
    resume: bool,
    device: str,
    stop_requested: Callable[[], bool],
    progress: Silence,
    spend: _Spend,
) -> str:
    """Check, calibrate and train; returns how it ended."""
    from paraphrase_rl.registry import default_registry
    from paraphrase_rl.specs import Context
    from paraphrase_rl.training.run import RunDirectory

    open_directory = RunDirectory.resume if resume else RunDirectory.create
    directory = open_directory(folder, writes=_main_process())
    try:
        if directory.finished:
            progress.line(f"{folder} is complete: there is nothing left to do")
            return "completed"
        registry = default_registry()
        corpus = _checked(loaded, registry, on, spend, progress)
        backend = registry.build("backends", on.name, on.options, Context(device=device))
        run = _prepared(loaded, registry, corpus, directory, on, device, resume, progress)
        run.stop_requested = stop_requested
        return _carry_out(run, backend, registry.plugins, progress)
    finally:
        directory.close()


def _checked(
    loaded: LoadedRecipe, registry: Registry, on: ChosenBackend, spend: _Spend, progress: Silence
) -> Corpus:
    """The recipe's texts, where nothing keeps the run from starting; else what does, a line each with its remedy."""
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.recipe.preflight import MAX_COST, preflight

    registry.spec("backends", on.name)  # a name that is none is told by itself
    corpus, unread = None, None
    try:
        corpus = load_documents(loaded.recipe.data.source, loaded.recipe.data, registry)
    except PrlError as error:
        unread = error
    prices = prices_of(registry, on.name, spend.prices)
    limit = spend.at_most if corpus is not None else None  # without texts a cost cannot be told either
    checks = preflight(loaded, registry, corpus=corpus, backend=on.name, prices=prices, max_cost=limit)
    failed = [check for check in checks if check.level == "error"]
    told = [*([unread.one_line] if unread else []), *(check.message for check in failed)]
    wrong = list(dict.fromkeys(told))
    if corpus is not None and not failed:
        return corpus
    if unread and not failed:
        raise unread
    if len(wrong) == 1 and failed[0].name == MAX_COST:
        raise CostError(wrong[0])
    if len(wrong) == 1:
        raise RecipeError(wrong[0], "`prl check` shows all findings")
    for line in wrong:
        progress.line(f"- {line}")
    raise RecipeError(f"{len(wrong)} things keep this run from starting", "`prl check` shows all findings")


def _prepared(
    loaded: LoadedRecipe,
    registry: Registry,
    corpus: Corpus,
    directory: RunDirectory,
    on: ChosenBackend,
    device: str,
    resume: bool,
    progress: Silence,
) -> TrainingRun:
    """A run ready to start, its directory begun; or one rewound to its last checkpoint."""
    from paraphrase_rl.recipe.arithmetic import total_steps
    from paraphrase_rl.recipe.loading import dump_recipe
    from paraphrase_rl.scoring.ensemble import calibrate_ensemble, load_ensemble
    from paraphrase_rl.scoring.trainable import keep_fitted
    from paraphrase_rl.specs import Context
    from paraphrase_rl.training.loop import TrainingRun
    from paraphrase_rl.training.manifest import manifest
    from paraphrase_rl.training.reward import build_reward

    recipe, folder, checkpoint = loaded.recipe, directory.folder, None
    facts = manifest(recipe, registry, corpus, backend=on.name, options=on.options, device=device)
    if resume:
        _same_inputs(folder, facts)
        ensemble = load_ensemble(folder / "calibration.json", registry, Context(device=device))
        checkpoint = directory.last_checkpoint()
    else:
        progress.line(
            f"calibrating {', '.join(d.name for d in recipe.detectors)} on held-out texts of {corpus.source}"
        )
        ensemble = calibrate_ensemble(recipe, registry, corpus, Context(device=device))
    train = corpus.select(split="train", label="ai")
    reward = build_reward(
        recipe, registry, Context(device=device, ensemble=ensemble), any(d.group for d in train)
    )
    for note in (*ensemble.warnings(), *reward.notes):
        progress.line(f"note: {note}")
    if resume:
        directory.rewind(checkpoint[0] if checkpoint else -1)
        progress.line(
            f"resuming {folder} " + (f"after step {checkpoint[0]}" if checkpoint else "from its beginning")
        )
    else:
        if directory.writes:
            kept = keep_fitted(ensemble, registry, folder / "detectors", directory.keep_folder)
            kept.to_file(folder / "calibration.json", directory.keep)
        directory.begin(dump_recipe(loaded), facts)
    steps = total_steps(len(train), recipe.training)

    def observe(folder: Path, record: StepRecord) -> None:
        progress.advance(record.step, steps)
        registry.plugins.on_step_end(folder, record)

    return TrainingRun(
        recipe=recipe,
        directory=directory,
        train=train,
        test=corpus.select(split="test", label="ai"),
        reward=reward,
        report=progress.line,
        observe=observe,
        resume_from=checkpoint,
    )


def _carry_out(run: TrainingRun, backend: Backend, plugins: Plugins, progress: Silence) -> str:
    """Train; however it ends, say so in the run's events, to the observers, and how to go on to the person."""
    directory, folder = run.directory, run.folder
    resumed_after = run.resume_from[0] if run.resume_from else None
    directory.event("start", resumed_after=resumed_after, steps=run.steps)
    plugins.on_run_start(folder, run.recipe.model_dump())
    status = "failed"
    try:
        status = backend.train(run).status
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        with suppress(RunError):  # the disk may be full, which is then what the run failed of
            directory.event("end", status=status)
        plugins.on_run_end(folder, status)
        if status == "completed":
            progress.line(f"next: prl evaluate {shlex.quote(str(folder))}")
        elif directory.rows("evaluations.jsonl"):
            progress.line(f"{status}; continue with: prl train --resume {shlex.quote(str(folder))}")
    return status


def _same_inputs(folder: Path, now: dict[str, Any]) -> None:
    """The same texts and models as when the run began, or its numbers would mean something else."""
    from paraphrase_rl.training.history import manifest_of

    then = manifest_of(folder, ["data", "models"])
    if then["data"].get("digest") != now["data"]["digest"]:
        raise RunError(
            f"the data of {folder} has changed since the run began",
            "bring the same texts back, or start a new run",
        )
    for reference, revision in now["models"].items():
        if then["models"].get(reference) != revision:
            raise RunError(
                f"model {reference} has changed since {folder} began",
                "bring the same model back, or start a new run",
            )


def _main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _device() -> str:
    """The first accelerator, or the process's own where there are several processes."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return "cpu"  # what needs torch says so
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


@contextmanager
def _interruptible(progress: Silence) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks to stop after the step, the second stops at once."""
    asked: list[bool] = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(True)
        progress.line("stopping after this step, with a checkpoint; Ctrl-C again stops at once")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, previous)


def _show(summary: Any, folder: Path, format_: str) -> None:
    if format_ == "table":
        click.echo(summary.text(folder))
    else:
        emit(summary.rows, format_=format_, schema="prl.train", meta=summary.meta(folder))
