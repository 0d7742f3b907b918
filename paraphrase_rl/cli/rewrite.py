"""``prl rewrite``: rewrite texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.output import emit, emit_records, format_option, say, show_progress
from paraphrase_rl.cli.settings import component_option, device_option, option_values, options_model
from paraphrase_rl.cli.texts import read_items, text_options
from paraphrase_rl.errors import EXIT_NO
from paraphrase_rl.tables import record

if TYPE_CHECKING:
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.data.forms import Form


@click.command("rewrite")
@click.argument("name", type=ComponentName("rewriters"), metavar="NAME")
@text_options
@component_option("the rewriter, such as candidates=8; values are YAML")
@click.option("-n", "n", type=click.IntRange(min=1), default=1, show_default=True, help="Rewrites per text.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the rewriting."
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run that gives the policy, prompt, sampling and detectors.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Calibration of the detectors that a rewriter uses.  [default: the run's]",
)
@device_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    paths: tuple[str, ...],
    texts: tuple[str, ...],
    input_format: Form | None,
    column: str | None,
    bad_rows: BadRows,
    options: tuple[str, ...],
    n: int,
    seed: int,
    run: Path | None,
    calibration: Path | None,
    device: str | None,
    format_: str,
) -> None:
    """Rewrite texts with the rewriter NAME; `prl plugins rewriters` lists them.

    PATH is a file, a folder (its .txt and .md files, no others) or - for standard input, which is also read
    where no path is given. A text file is one text; CSV, TSV, JSON, JSONL, Parquet and Arrow have one per row,
    each also compressed with gzip. The id and all other columns of a row come back in CSV and JSON.

    The same seed gives the same rewrites. `finished` is false where a rewrite was cut at the token limit.
    Exit code 1: some text could not be rewritten.

    \b
    Examples:
      prl rewrite homoglyph essay.txt
      prl rewrite policy --run runs/first essays/ -n 4 --format jsonl
      prl rewrite best-of-n --run runs/first essay.txt -o candidates=8
      prl rewrite guided-decoding essay.txt -o 'detector={name: fast-detectgpt}' -o top_k=20
    """
    from paraphrase_rl.api.rewriting import check_rewriter, rewrite

    given = option_values(options, "max_tokens=200", options_model("rewriters", name))
    check_rewriter(name, given, run)  # before standard input is waited for
    found = rewrite(
        name,
        read_items(paths, texts, input_format, column),
        bad_rows=bad_rows,
        n=n,
        seed=seed,
        options=given,
        run=run,
        calibration=calibration,
        device=device,
        progress=show_progress,
    )
    rows = [record(row) for row in found]
    if format_ == "table":
        emit_records(rows, format_=format_, schema="")
    else:
        about = {
            "rewriter": name,
            "options": given,
            "seed": seed,
            "left_out": found.left_out,
            "run": None if run is None else str(run),
            "calibration": None if found.calibration is None else str(found.calibration),
        }
        emit(rows, format_=format_, schema="prl.rewrite", columns=found.columns, meta=about)
    for line in found.remarks:
        say(line)
    if failed := found.failed:
        say(f"{len(failed)} of {found.n_texts} texts could not be rewritten: see the column `failure`")
        ctx.exit(EXIT_NO)
