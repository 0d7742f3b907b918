"""``prl explain``: which parts of a text its scores come from."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.output import TABLES, emit, format_option, say, show, show_progress, wrapped
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.cli.texts import read_items
from paraphrase_rl.errors import UsageError
from paraphrase_rl.tables import record, text_table
from paraphrase_rl.text.terminal import terminal_safe

if TYPE_CHECKING:
    from paraphrase_rl.api.explaining import ExplainResult
    from paraphrase_rl.detection.explaining import ExplainedScore

_STRONGEST = 8
_COLOURS = (None, "green", "yellow", "magenta")
"""Colours of the rank classes; without colour, a token of class k stands in k brackets."""


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
    looks like AI. In the terminal tokens beyond rank 10 are coloured; without colour (NO_COLOR, or a pipe) they stand in
    brackets: [rank 11 to 100], [[to 1000]], [[[beyond]]].

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
        _show(found)
    else:
        scores = [{"detector": s.decision.detector, "score": s.decision.score} for s in found.scores]
        meta = {"text": found.text, "scores": scores, "notes": found.notes}
        emit([record(row) for row in found], format_=format_, schema="prl.explain", meta=meta)
    for line in found.remarks:
        say(line)


def _show(found: ExplainResult) -> None:
    from paraphrase_rl.api.explaining import verdict_line
    from paraphrase_rl.detection.explaining import token_views

    for group in token_views(found.scores):
        show(
            wrapped(
                f"Tokens, as {', '.join(score.decision.detector for score in group)} see them: {_legend()}"
            )
        )
        show()
        click.echo(_marked(found.text, group[0]))
        show()
    for score in found.scores:
        show(verdict_line(score))
        if score.parts:
            show(
                text_table(_strongest(score), ["towards AI", "push", "towards human", "push "], _width()),
                nl=False,
            )
        show()


def _strongest(score: ExplainedScore) -> Sequence[dict[str, object]]:
    """The strongest parts of both directions side by side; the two columns of pushes differ by a blank."""
    sides = [score.strongest(_STRONGEST, towards_ai=ai) for ai in (True, False)]
    rows: list[dict[str, object]] = []
    for i in range(max(map(len, sides))):
        row: dict[str, object] = {}
        for side, part, push in zip(sides, ("towards AI", "towards human"), ("push", "push "), strict=True):
            if i < len(side):
                row |= {part: repr(side[i].share.text)[1:-1], push: side[i].push}
        rows.append(row)
    return rows


def _marked(text: str, score: ExplainedScore) -> str:
    from paraphrase_rl.detection.explaining import rank_class

    pieces, position = [], 0
    for part in score.parts:
        ((start, end),) = part.share.spans
        if end <= position:
            continue
        pieces.append(terminal_safe(text[position:start]))
        token, k = text[max(start, position) : end], rank_class(part.share.details["rank"])
        blank = token[: len(token) - len(token.lstrip())]
        word = terminal_safe(token.lstrip())
        marked = (
            click.style(word, fg=_COLOURS[k])
            if _colour() and k
            else f"{'[' * k}{word}{']' * k}"
            if k
            else word
        )
        pieces.append(blank + marked)
        position = end
    return "".join(pieces) + (" …" if position < len(text) else "")


def _legend() -> str:
    if not _colour():
        return "[rank 11 to 100], [[101 to 1000]], [[[beyond 1000]]]."
    return "green = rank 11 to 100, yellow = 101 to 1000, magenta = beyond 1000."


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
