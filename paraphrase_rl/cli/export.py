"""``prl export``: the adapter of a run, as a folder that peft loads."""

from __future__ import annotations

import os
from pathlib import Path

import click

from paraphrase_rl.cli.output import say
from paraphrase_rl.cli.settings import component_option, option_values
from paraphrase_rl.errors import RunError


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--step", type=click.IntRange(min=0), help="A checkpoint.  [default: the final one, else the last]"
)
@click.option("--out", type=click.Path(path_type=Path), help="New folder.  [default: RUN/adapter-STEP]")
@component_option("the backend")
def command(run: Path, step: int | None, out: Path | None, options: tuple[str, ...]) -> None:
    """Write the adapter of a run to a folder in PEFT's format.

    Downloads it where the run was trained at a service, copies it where it was trained here. Prints the folder.

    \b
    Examples:
      prl export runs/first
      prl export runs/first --step 1500 --out adapters/1500
    """
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.runs.backend import backend_of_run
    from paraphrase_rl.runs.reader import checkpoint_row

    backend = backend_of_run(run, option_values(options, "timeout_s=120"))
    row = checkpoint_row(run, "last" if step is None else step)
    out = out or run / f"adapter-{row['step']}"
    if os.path.lexists(out):
        raise RunError(f"{out} is there already", "choose another --out")
    say(f"exporting step {row['step']} of {run}")
    default_registry().build("backends", backend.name, backend.options).export(run, row, out)
    click.echo(out)
