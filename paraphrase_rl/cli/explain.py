"""``prl explain``: which parts of a text its scores come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.explanation import show_explanation
from paraphrase_rl.cli.output import emit, format_option, say, show_progress
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.cli.texts import inputs_of, text_options
from paraphrase_rl.tables import record


@click.command("explain")
@text_options
@click.option("--id", metavar="ID", help="Explain the text with this id, where several are given.")
@click.option(
    "--detector",
    "names",
    type=ComponentName("detectors"),
    multiple=True,
    help="Only this detector; may be repeated.",
)
@click.option(
    "--calibration", metavar="FILE", help="Calibration.  [default: that of `prl calibrate`, if there is one]"
)
@click.option(
    "--fpr", type=float, help="False positive rate of the thresholds; it must have been calibrated."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page, with details of each token.",
)
@device_option
@format_option
def command(
    paths: tuple[str, ...],
    texts: tuple[str, ...],
    names: tuple[str, ...],
    html: Path | None,
    format_: str,
    **given: Any,
) -> None:
    """Explain why a text was flagged or not: its tokens by rank, and the parts that weigh most.

    Texts are given as to `prl score`, and one of them is explained.

    For zero-shot detectors each token has a rank among the model's vocabulary: the likelier the tokens, the more a text
    looks like AI. Tokens beyond rank 10 are coloured; without colour (NO_COLOR, or a pipe) they stand in brackets:
    [rank 11 to 100], [[to 1000]], [[[beyond]]].

    \b
    Examples:
      prl explain essay.txt
      prl explain essays.csv --column essay --id s17
      prl explain essay.txt --detector log-likelihood --html essay.html
      prl explain --text "The council voted." --detector tfidf --format csv
    """
    from paraphrase_rl.api.explaining import explain
    from paraphrase_rl.files import write_text

    inputs = inputs_of(paths, texts)
    found = explain(inputs, detectors=list(names) or None, progress=show_progress, **given)
    if html is not None:
        write_text(html, found.html())
        say(f"wrote {html}")
    if format_ == "table":
        show_explanation(found)
    else:
        scores = [{"detector": s.decision.detector, "score": s.decision.score} for s in found.scores]
        meta = {"text": found.text, "scores": scores, "notes": found.notes}
        emit([record(row) for row in found], format_=format_, schema="prl.explain", meta=meta)
    for line in found.remarks:
        say(line)
