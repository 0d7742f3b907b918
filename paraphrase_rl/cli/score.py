"""``prl score``: score, P(AI) and verdict for texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.output import emit, emit_blocks, format_option, say
from paraphrase_rl.cli.progress import shown_count
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.cli.texts import inputs_of, text_options
from paraphrase_rl.errors import EXIT_NO
from paraphrase_rl.tables import record

if TYPE_CHECKING:
    from paraphrase_rl.api.text_results import ScoreSummary
    from paraphrase_rl.progress import OnProgress


@click.command("score")
@text_options
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File that `prl calibrate` wrote; none = raw scores.  [default: its default file, else the package's]",
)
@click.option(
    "--detector",
    "names",
    type=ComponentName("detectors"),
    multiple=True,
    help="Only this detector; may be repeated.",
)
@click.option(
    "--fpr", type=float, help="False positive rate of the verdicts; it must be a rate that was calibrated."
)
@click.option("--force", is_flag=True, help="Give a verdict on texts unlike those of the calibration, too.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the rows to a .jsonl or .csv file. The same command again continues it where it was stopped.",
)
@click.option("--wide", is_flag=True, help="One row a text, with columns of each detector.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of processes, or of Ray's replicas.  [ray: 1 = one for each GPU or CPU]",
)
@click.option(
    "--engine",
    type=click.Choice(("local", "ray")),
    default="local",
    show_default=True,
    help="Where texts are scored: on this machine, or by Ray Data on a cluster.",
)
@device_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    texts: tuple[str, ...],
    names: tuple[str, ...],
    out: Path | None,
    wide: bool,
    format_: str,
    **given: Any,
) -> None:
    """Score texts: raw score, P(AI), and verdict at a false positive rate, by detector and for the ensemble.

    PATH is a file, a folder (its .txt and .md files, no others) or - for standard input, which is also read
    where no path is given. A text file is one text; CSV, TSV, JSON, JSONL, Parquet and Arrow have one per row,
    each also compressed with gzip. The id and all other columns of a row come back in CSV and JSON.

    The verdict is `flagged` where the score is above the threshold, else `not flagged`, which does not show
    that a text is human. Without a calibration there are scores and no verdict. `truncated` says what part of
    a long text was read. Rows come as they are ready, and memory does not grow with their number. Exit code 1:
    some text could not be scored.

    \b
    Examples:
      prl score essay.txt
      prl score essays/ --fpr 0.01 --format csv
      prl score --text 'It is important to note that the landscape evolves.'
      prl score answers.csv --column answer --detector tfidf --out scores.csv --workers 4
    """
    from paraphrase_rl.api.scoring import score_file

    verb = {**given, "detectors": list(names) or None}
    inputs = inputs_of(paths, texts)
    with shown_count("scoring", rows_on_stdout=out is None and format_ != "table") as progress:
        if out is None:
            done = _print_rows(inputs, wide, format_, progress, verb)
        else:
            form = _format_given(ctx, format_)
            done = score_file(inputs, out, format=form, wide=wide, progress=progress, **verb)
    if out is not None:
        say(done.title + (f", {done.n_before:,} of them from an earlier call" if done.n_before else ""))
        emit(list(map(record, done)), format_="table", schema="")
    for line in done.remarks:
        say(line)
    if done.n_failed:
        say(
            f"{done.n_failed} of {done.n_texts} texts could not be scored by every detector: "
            "see the column `failure`"
        )
        ctx.exit(EXIT_NO)


def _print_rows(
    inputs: list[Any], wide: bool, format_: str, progress: OnProgress, given: dict[str, Any]
) -> ScoreSummary:
    from paraphrase_rl.api.scoring import score_stream
    from paraphrase_rl.api.text_results import SCORE_COLUMNS

    with score_stream(inputs, progress=progress, **given) as stream:
        known = stream.summary
        emit_blocks(
            stream.blocks(wide),
            format_=format_,
            schema="prl.score",
            fields=stream.columns(wide),
            columns=None if wide else SCORE_COLUMNS,
            meta={
                "calibration": None if known.texts is None else str(known.calibration),
                "target_fpr": known.target_fpr,
                "left_out": known.left_out,
                "texts": None if known.texts is None else known.texts.model_dump(),
            },
        )
        return stream.summary


def _format_given(ctx: click.Context, format_: str) -> Any:
    """The format, if it was asked for: a file has that of its name."""
    return None if ctx.get_parameter_source("format_") is ParameterSource.DEFAULT else format_
