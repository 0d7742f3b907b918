"""``prl score``: score, P(AI) and verdict for texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.output import emit, format_option, say
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.cli.texts import read_items, text_options
from paraphrase_rl.errors import EXIT_NO
from paraphrase_rl.tables import record

if TYPE_CHECKING:
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.data.forms import Form


@click.command("score")
@text_options
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File that `prl calibrate` wrote.  [default: its default file, if it exists]",
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
@device_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    texts: tuple[str, ...],
    input_format: Form | None,
    column: str | None,
    bad_rows: BadRows,
    calibration: Path | None,
    names: tuple[str, ...],
    fpr: float | None,
    device: str | None,
    format_: str,
) -> None:
    """Score texts: raw score, P(AI), and verdict at a false positive rate, by detector and for the ensemble.

    PATH is a file, a folder (its .txt and .md files, no others) or - for standard input, which is also read
    where no path is given. A text file is one text; CSV, TSV, JSON, JSONL, Parquet and Arrow have one per row,
    each also compressed with gzip. The id and all other columns of a row come back in CSV and JSON.

    The verdict is `flagged` where the score is above the threshold, else `not flagged`, which does not show
    that a text is human. Without a calibration there are scores and no verdict. Exit code 1: some
    text could not be scored.

    \b
    Examples:
      prl score essay.txt
      prl score essays/ --fpr 0.01 --format csv
      prl score --text 'It is important to note that the landscape evolves.'
      prl score answers.csv --column answer --detector tfidf
    """
    from paraphrase_rl.api.scoring import score

    found = score(
        read_items(paths, texts, input_format, column),
        bad_rows=bad_rows,
        detectors=list(names) or None,
        calibration=calibration,
        fpr=fpr,
        device=device,
    )
    for line in found.remarks:
        say(line)
    emit(
        [record(row) for row in found],
        format_=format_,
        schema="prl.score",
        columns=found.columns,
        meta={
            "calibration": None if found.texts is None else str(found.calibration),
            "target_fpr": found.target_fpr,
            "left_out": found.left_out,
            "texts": None if found.texts is None else found.texts.model_dump(),
        },
    )
    if failed := found.failed:
        say(
            f"{len(failed)} of {found.n_texts} texts could not be scored by every detector: see the column `failure`"
        )
        ctx.exit(EXIT_NO)
