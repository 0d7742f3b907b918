"""``prl train``: train a run from a recipe, or continue one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.completion import ComponentName, RecipeName
from paraphrase_rl.cli.output import emit, format_option, show
from paraphrase_rl.cli.progress import shown_progress
from paraphrase_rl.cli.settings import (
    component_option,
    cost_options,
    device_option,
    option_values,
    set_option,
)
from paraphrase_rl.cli.signals import stop_after_step
from paraphrase_rl.cli.streams import STDOUT, silence
from paraphrase_rl.errors import EXIT_INTERRUPTED, EXIT_NO, EXIT_OK
from paraphrase_rl.progress import OnProgress, Progress
from paraphrase_rl.recipe.defaults import default_backend
from paraphrase_rl.tables import record
from paraphrase_rl.training.processes import is_first

if TYPE_CHECKING:
    from paraphrase_rl.runs.run import Run


@click.command(name="train")
@click.option(
    "--config",
    type=RecipeName(),
    help="Recipe: packaged name or YAML file.  [default: recipe; recipe-served where the backend charges]",
)
@click.option(
    "--backend",
    type=ComponentName("backends"),
    help=f"Backend to train on.  [default: {default_backend()}; the run's own with --resume]",
)
@component_option("the backend: timeout_s=120")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory.  [default: runs/CONFIG-TIME]")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue the run in this directory, with its own recipe.",
)
@click.option(
    "--from",
    "start_from",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Start a new run from the weights of this one, by default with its recipe and backend.",
)
@set_option
@device_option
@cost_options
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    backend: str | None,
    options: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    start_from: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    max_cost: float | None,
    price_file: Path | None,
    format_: str,
) -> None:
    """Train a rewriter against the detectors of a recipe.

    Progress goes to stderr. At the end, or after Ctrl-C, the reward terms of the held-out prompts before and after
    are printed on stdout, with three rewrites, their sources, and the run directory. Ctrl-C, SIGTERM and SIGHUP
    finish the step and write a checkpoint; a second one stops at once.
    """
    from paraphrase_rl.api.training import default_recipe, train

    with shown_progress("training") as progress, stop_after_step(lambda: _say_so(progress)) as stopping:
        run = train(
            config or (default_recipe(backend) if resume is None and start_from is None else None),
            out=out,
            backend=backend,
            backend_options=option_values(options, "timeout_s=120"),
            set=overrides,
            resume=resume,
            start_from=start_from,
            device=device,
            max_cost=max_cost,
            prices=price_file,
            progress=progress,
            stop_requested=lambda: bool(stopping),
        )
    interrupted = next(iter(stopping), EXIT_INTERRUPTED)
    code = {"interrupted": interrupted, "stopped": EXIT_NO}.get(_ended(run), EXIT_OK)
    try:
        if is_first():
            _show(run, format_)
    except BrokenPipeError:  # nobody reads the summary: the run is as it is all the same
        silence(STDOUT)
    ctx.exit(code)


def _ended(run: Run) -> str:
    """How the run ended; the first process writes it down, the others wait for that."""
    while (status := run.status) == "running" and not is_first():
        time.sleep(0.05)
    return status


def _say_so(progress: OnProgress) -> None:
    if is_first():
        progress(Progress("stopping after this step, with a checkpoint; Ctrl-C again stops at once"))


def _show(run: Run, format_: str) -> None:
    summary, folder = run.summary, run.folder
    if format_ == "table":
        show(summary.text(folder))
    else:
        rows = [record(row) for row in summary]
        emit(rows, format_=format_, schema="prl.train", meta=summary.meta(folder))
