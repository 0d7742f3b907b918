"""The explanation of a text's scores in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from paraphrase_rl.cli.output import emit, show, show_coloured, wrapped

if TYPE_CHECKING:
    from paraphrase_rl.api.explaining import ExplainResult
    from paraphrase_rl.detection.explaining import ExplainedScore

_STRONGEST = 8
_COLUMNS = ("towards AI", "push", "towards human", "push ")
_COLOURS = (None, "green", "yellow", "magenta")
"""Colours of the rank classes; without colour, a token of class k stands in k brackets."""


def show_explanation(found: ExplainResult) -> None:
    """Print the text with its tokens marked, and the strongest parts of each score."""
    from paraphrase_rl.api.explaining import verdict_line
    from paraphrase_rl.detection.explaining import token_views

    for group in token_views(found.scores):
        show(
            wrapped(
                f"Tokens, as {', '.join(score.decision.detector for score in group)} see them: {_legend()}"
            )
        )
        show()
        show_coloured(_marked(found.text, group[0]))
        show()
    for score in found.scores:
        show(verdict_line(score))
        if score.parts:
            emit(_strongest(score), format_="table", schema="", columns=_COLUMNS)
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


def _marked(text: str, score: ExplainedScore) -> Iterator[tuple[str, str | None]]:
    """Stretches of the text and their colours; without colour, tokens in brackets."""
    from paraphrase_rl.detection.explaining import rank_class

    position = 0
    for part in score.parts:
        ((start, end),) = part.share.spans
        if end <= position:
            continue
        token, k = text[max(start, position) : end], rank_class(part.share.details["rank"])
        word = token.lstrip()
        yield text[position:start] + token[: len(token) - len(word)], None
        yield (word, _COLOURS[k]) if _colour() else (f"{'[' * k}{word}{']' * k}", None)
        position = end
    if position < len(text):
        yield " …", None


def _legend() -> str:
    if not _colour():
        return "[rank 11 to 100], [[101 to 1000]], [[[beyond 1000]]]."
    return "green = rank 11 to 100, yellow = 101 to 1000, magenta = beyond 1000."


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
