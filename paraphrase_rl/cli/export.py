"""``prl export``: write the adapter of a run to a folder in PEFT's format."""

from __future__ import annotations

from pathlib import Path

import click

from paraphrase_rl.cli.output import show, show_progress
from paraphrase_rl.cli.settings import component_option, option_values


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--step",
    type=click.IntRange(min=0),
    help="Step of the checkpoint to export.  [default: the final one, else the last]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="New folder to write.  [default: RUN/adapter-STEP]"
)
@component_option("the backend")
def command(run: Path, step: int | None, out: Path | None, options: tuple[str, ...]) -> None:
    """Write the adapter of a run to a folder in PEFT's format.

    Downloads it where the run was trained at a service, copies it where it was trained here. Prints the folder.

    \b
    Examples:
      prl export runs/first
      prl export runs/first --step 1500 --out adapters/1500
    """
    from paraphrase_rl.api.reporting import export

    written = export(
        run,
        out,
        checkpoint="last" if step is None else step,
        backend_options=option_values(options, "timeout_s=120"),
        progress=show_progress,
    )
    show(written)
