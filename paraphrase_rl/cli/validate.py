"""``prl validate``: the acceptance of a trained rewriter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, format_option, say, show, wrapped
from paraphrase_rl.cli.settings import set_option
from paraphrase_rl.errors import EXIT_NO

if TYPE_CHECKING:
    from paraphrase_rl.acceptance.verdict import Verdict


@click.command("validate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    default="final",
    show_default=True,
    metavar="best|STEP|final",
    help="Checkpoint of the policy; best = chosen on the Pareto front of evasion and meaning.",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="Folder of the evaluation.  [default: RUN/evaluation]",
)
@click.option(
    "--fairness",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Evaluation of the same detectors on texts with groups of writers, for the false positive gap alone.",
)
@set_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    checkpoint: str,
    evaluation: Path | None,
    fairness: Path | None,
    overrides: tuple[str, ...],
    format_: str,
) -> None:
    """Say whether a run is acceptable, criterion by criterion.

    Bounds are the recipe's; --set changes only those. Nothing is measured again: what is missing is listed with the
    command that measures it, and is neither a pass nor a failure. The whole result is saved as RUN/verdict.json.
    Exits with 1 unless everything passes.

    \b
    Examples:
      prl validate runs/first
      prl validate runs/first --checkpoint best
      prl validate runs/first --set acceptance.meaning=0.8
    """
    from paraphrase_rl.api.evaluating import validate

    verdict = validate(run, checkpoint=checkpoint, evaluation=evaluation, fairness=fairness, set=overrides)
    _show(verdict, format_)
    say(verdict.conclusion)
    if not verdict.accepted:
        ctx.exit(EXIT_NO)


def _show(verdict: Verdict, format_: str) -> None:
    if format_ != "table":
        about = verdict.model_dump(exclude={"lines", "format"})
        emit(verdict.flat_rows(), format_=format_, schema="prl.validate", meta=about)
        return
    if verdict.candidates:
        emit([candidate.shown_row() for candidate in verdict.candidates], format_=format_, schema="")
        show()
    emit(verdict.shown_rows(), format_=format_, schema="")
    indent = 2 + max(len(line.criterion) for line in verdict.lines)
    show()
    for line in verdict.lines:
        show(wrapped(line.note, f"{line.criterion:<{indent}}", " " * indent))
