"""``prl explain``: which parts of a text its scores come from."""

from __future__ import annotations

from pathlib import Path

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.explanation import show_explanation
from paraphrase_rl.cli.output import TABLES, emit, format_option, say, show_progress
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.cli.texts import read_items
from paraphrase_rl.errors import UsageError
from paraphrase_rl.tables import record


@click.command("explain")
@click.argument("path", required=False)
@click.option("--text", help="The text itself.")
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
    path: str | None,
    text: str | None,
    names: tuple[str, ...],
    calibration: str | None,
    fpr: float | None,
    html: Path | None,
    device: str | None,
    format_: str,
) -> None:
    """Explain why a text was flagged or not: its tokens by rank, and the parts that weigh most.

    For zero-shot detectors each token has a rank among the model's vocabulary: the likelier the tokens, the more a text
    looks like AI. Tokens beyond rank 10 are coloured; without colour (NO_COLOR, or a pipe) they stand in brackets:
    [rank 11 to 100], [[to 1000]], [[[beyond]]].

    \b
    Examples:
      prl explain essay.txt
      prl explain essay.txt --detector log-likelihood --html essay.html
      prl explain --text "The council voted." --detector tfidf --format csv
    """
    from paraphrase_rl.api.explaining import explain
    from paraphrase_rl.files import write_text

    items = read_items([path] if path else [], [text] if text is not None else [], None, None)
    if len(items) != 1:
        raise UsageError(
            f"{len(items)} texts given; one is explained at a time", "give one file with one text, or --text"
        )
    found = explain(
        items[0].text,
        detectors=list(names) or None,
        calibration=calibration,
        fpr=fpr,
        device=device,
        progress=show_progress,
    )
    if html is not None:
        write_text(html, found.html())
        say(f"wrote {html}")
    if format_ in TABLES:
        show_explanation(found)
    else:
        scores = [{"detector": s.decision.detector, "score": s.decision.score} for s in found.scores]
        meta = {"text": found.text, "scores": scores, "notes": found.notes}
        emit([record(row) for row in found], format_=format_, schema="prl.explain", meta=meta)
    for line in found.remarks:
        say(line)
