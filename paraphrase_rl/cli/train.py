"""``prl train``: a run from a recipe, or the rest of one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paraphrase_rl.cli.backends import ChosenBackend, chosen
from paraphrase_rl.cli.output import emit, format_option, say
from paraphrase_rl.cli.settings import cost_options, prices_of
from paraphrase_rl.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    CostError,
    DataError,
    RecipeError,
    RunError,
    UsageError,
)

if TYPE_CHECKING:
    from paraphrase_rl.recipe.loading import LoadedRecipe
    from paraphrase_rl.training.run import RunDirectory


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
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the backend: timeout_s=120.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Run directory.  [default: runs/CONFIG-TIME]")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue the run in this directory, with its own recipe.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe.")
@click.option("--device", help="Torch device.  [default: cuda where there is one, else cpu]")
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

    if resume is not None:
        given = ctx.get_parameter_source("config") is not click.core.ParameterSource.DEFAULT
        if given or overrides or out is not None:
            raise UsageError(
                "--resume continues a run with its own recipe", "leave out --config, --set and --out"
            )
        loaded = load_recipe(_recipe_of(resume), ())
        folder = resume
    else:
        loaded = load_recipe(config, overrides)
        folder = out or Path("runs") / f"{Path(config).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    with _interruptible() as stop_requested:
        spend = _Spend(max_cost, price_file)
        status = _train(
            loaded,
            chosen(backend, options, resume),
            folder,
            resume is not None,
            device or _device(),
            stop_requested,
            spend,
        )
    if _main_process():
        from paraphrase_rl.training.summary import summarise

        _show(summarise(folder), folder, format_)
    ctx.exit(EXIT_INTERRUPTED if status == "interrupted" else EXIT_OK)


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
    spend: _Spend,
) -> str:
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.recipe.loading import dump_recipe
    from paraphrase_rl.recipe.preflight import MAX_COST, preflight
    from paraphrase_rl.registry import default_registry
    from paraphrase_rl.scoring.ensemble import calibrate_ensemble, load_ensemble
    from paraphrase_rl.specs import Context
    from paraphrase_rl.training.loop import TrainingRun
    from paraphrase_rl.training.manifest import manifest
    from paraphrase_rl.training.reward import build_reward
    from paraphrase_rl.training.run import RunDirectory

    registry, recipe = default_registry(), loaded.recipe
    backend = registry.build("backends", on.name, on.options, Context(device=device))
    corpus = load_documents(recipe.data.source, recipe.data, registry)
    checks = preflight(
        loaded,
        registry,
        corpus=corpus,
        backend=on.name,
        prices=prices_of(registry, on.name, spend.prices),
        max_cost=spend.at_most,
    )
    failed = [check for check in checks if check.level == "error"]
    if failed and failed[0].name == MAX_COST:
        raise CostError(failed[0].message)
    if failed:
        raise RecipeError(failed[0].message, f"prl check shows all {len(failed)} errors of this recipe")
    train = corpus.select(split="train", label="ai")
    if len(train) < recipe.training.batch_size:
        raise DataError(
            f"{len(train)} AI texts to train on, fewer than training.batch_size {recipe.training.batch_size}",
            "bring more texts, or lower training.batch_size",
        )

    if resume:
        directory = RunDirectory.resume(folder, writes=_main_process())
        _same_data(directory, corpus.digest)
        ensemble = load_ensemble(folder / "calibration.json", registry, Context(device=device))
    else:
        directory = RunDirectory.create(
            folder,
            dump_recipe(loaded),
            manifest(recipe, registry, corpus, backend=on.name, options=on.options, device=device),
            writes=_main_process(),
        )
        say(f"calibrating {', '.join(d.name for d in recipe.detectors)} on held-out texts of {corpus.source}")
        ensemble = calibrate_ensemble(recipe, registry, corpus, Context(device=device))
        if directory.writes:
            ensemble.to_file(folder / "calibration.json")
    for warning in ensemble.warnings():
        say(f"note: {warning}")

    checkpoint = directory.last_checkpoint() if resume else None
    if resume:
        directory.rewind(checkpoint[0] if checkpoint else 0)
        say(f"resuming {folder} after step {checkpoint[0] if checkpoint else 0}")
    run = TrainingRun(
        recipe=recipe,
        directory=directory,
        train=train,
        test=corpus.select(split="test", label="ai"),
        reward=build_reward(
            recipe, registry, Context(device=device, ensemble=ensemble), any(d.group for d in train)
        ),
        report=say,
        observe=registry.plugins.on_step_end,
        stop_requested=stop_requested,
        resume_from=checkpoint,
    )
    directory.event("start", resumed_after=checkpoint[0] if checkpoint else None, steps=run.steps)
    registry.plugins.on_run_start(folder, recipe.model_dump())
    status = "failed"
    try:
        status = backend.train(run).status
    finally:
        directory.event("end", status=status)
        registry.plugins.on_run_end(folder, status)
        directory.close()
    if status == "interrupted":
        say(f"stopped; continue with: prl train --resume {folder}")
    return status


def _recipe_of(folder: Path) -> str:
    if not (folder / "recipe.yaml").is_file():
        raise RunError(f"{folder} holds no run", "name the directory of a run: it has a recipe.yaml")
    return str(folder / "recipe.yaml")


def _same_data(directory: RunDirectory, digest: str) -> None:
    import json

    recorded = json.loads((directory.folder / "manifest.json").read_text(encoding="utf-8"))["data"]["digest"]
    if recorded != digest:
        raise RunError(
            f"the data of {directory.folder} has changed since the run began",
            "bring the same texts back, or start a new run",
        )


def _main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks to stop after the step, the second stops at once."""
    asked: list[bool] = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(True)
        say("stopping after this step, with a checkpoint; Ctrl-C again stops at once")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, previous)


def _show(summary: Any, folder: Path, format_: str) -> None:
    if format_ == "table":
        click.echo(summary.text(folder))
    else:
        emit(summary.rows, format_=format_, schema="paraphrase-rl.train", meta=summary.meta(folder))
