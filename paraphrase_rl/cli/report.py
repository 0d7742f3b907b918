"""``prl report``: a run or an evaluation as one HTML page, or as Markdown."""

from __future__ import annotations

from pathlib import Path

import click

from paraphrase_rl.cli.output import say, show
from paraphrase_rl.errors import UsageError


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="Folder of an evaluation of the run.  [default: RUN/evaluation, if it exists]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="HTML file to write.  [default: RUN/report.html]",
)
@click.option("--markdown", is_flag=True, help="Print a short report for pull requests instead.")
def command(run: Path, evaluation: Path | None, out: Path | None, markdown: bool) -> None:
    """Write a run, or an evaluation alone, as one HTML page that needs no network.

    RUN is the directory of a training run, or the folder of an evaluation. Nothing is measured again: what is
    missing is listed on the page, with the command that measures it. Prints the path of the page.

    \b
    Examples:
      prl report runs/first
      prl report runs/first --evaluation runs/first-on-essays --out essays.html
      prl report runs/first --markdown
    """
    from paraphrase_rl.api.reporting import report

    if markdown and out:
        raise UsageError(
            "--markdown and --out cannot be used together", "leave out --out: --markdown prints its report"
        )
    if markdown:
        from paraphrase_rl.reporting.inputs import read_inputs
        from paraphrase_rl.reporting.markdown import markdown_summary

        show(markdown_summary(read_inputs(run, evaluation)), nl=False)
        return
    page = report(run, evaluation=evaluation, out=out)
    say(f"{page.stat().st_size / 1e6:.1f} MB; open the page in a browser")
    show(page)
