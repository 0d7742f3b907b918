"""``prl train``: a run from a recipe, or the rest of one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from paraphrase_rl.cli.output import emit, format_option
from paraphrase_rl.cli.progress import shown_progress
from paraphrase_rl.cli.settings import (
    component_option,
    cost_options,
    device_option,
    option_values,
    set_option,
)
from paraphrase_rl.errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from paraphrase_rl.progress import OnProgress, Progress, reporter
from paraphrase_rl.tables import record
from paraphrase_rl.training.processes import is_first


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
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.recipe.loading import load_recipe
    from paraphrase_rl.runs.backend import DEFAULT_BACKEND, ChosenBackend, backend_of_run
    from paraphrase_rl.runs.reader import recipe_file
    from paraphrase_rl.training.processes import are_several, first_accelerator
    from paraphrase_rl.training.start import Start, train

    if out is None and resume is None and are_several():
        raise UsageError("several processes must mean the same directory", "name it with --out")
    given = option_values(options, "timeout_s=120")
    if resume is not None:
        if overrides or out is not None or _given(ctx, "config") or backend is not None:
            raise UsageError(
                "--resume continues a run with its own recipe and backend",
                "leave out --config, --set, --backend and --out",
            )
        loaded, folder, on = load_recipe(recipe_file(resume)), resume, backend_of_run(resume, given)
    else:
        loaded, on = load_recipe(config, overrides), ChosenBackend(backend or DEFAULT_BACKEND, given)
        folder = out or Path("runs") / f"{Path(config).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    with shown_progress("training") as progress, _interruptible(progress) as stop_requested:
        start = Start(
            loaded=loaded,
            folder=folder,
            resume=resume is not None,
            backend=on,
            device=device or first_accelerator(),
            max_cost=max_cost,
            prices=price_file,
            report=reporter(progress),
            stop_requested=stop_requested,
        )
        status = train(start, default_registry())
    if is_first():
        from paraphrase_rl.runs.summary import summarise

        _show(summarise(folder), folder, format_)
    ctx.exit(EXIT_INTERRUPTED if status == "interrupted" else EXIT_OK)


def _given(ctx: click.Context, parameter: str) -> bool:
    return ctx.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT


@contextmanager
def _interruptible(progress: OnProgress) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks to stop after the step, the second stops at once."""
    asked: list[bool] = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(True)
        if is_first():
            progress(Progress("stopping after this step, with a checkpoint; Ctrl-C again stops at once"))

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, previous)


def _show(summary: Any, folder: Path, format_: str) -> None:
    if format_ == "table":
        click.echo(summary.text(folder))
    else:
        emit(
            [record(row) for row in summary.rows],
            format_=format_,
            schema="prl.train",
            meta=summary.meta(folder),
        )
