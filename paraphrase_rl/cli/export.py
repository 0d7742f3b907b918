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
@click.option("--merged", is_flag=True, help="Write the whole model, with the adapter merged into it.")
@click.option(
    "--push",
    metavar="ORG/NAME",
    help="Also upload the folder to a repository of the Hugging Face hub, private if it is new.",
)
@component_option("the backend")
def command(
    run: Path, step: int | None, out: Path | None, merged: bool, push: str | None, options: tuple[str, ...]
) -> None:
    """Write the adapter of a run to a folder in PEFT's format.

    Downloads it where the run was trained at a service, copies it where it was trained here, and adds a model card.
    Prints the folder. Nothing is uploaded without --push, which uses the token of HF_TOKEN or of `hf auth login`.

    \b
    Examples:
      prl export runs/first
      prl export runs/first --step 1500 --out adapters/1500
      prl export runs/first --merged --push my-lab/rewriter
    """
    from paraphrase_rl.api.reporting import export

    written = export(
        run,
        out,
        checkpoint="last" if step is None else step,
        merged=merged,
        push=push,
        backend_options=option_values(options, "timeout_s=120"),
        progress=show_progress,
    )
    show(written)
