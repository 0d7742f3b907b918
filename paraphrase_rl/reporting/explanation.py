"""The explanation of a text's scores as HTML: the text with its tokens marked, and the parts that weigh most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup, escape

from paraphrase_rl.detection.explaining import (
    RANK_CLASSES,
    ExplainedScore,
    Part,
    rank_class,
    token_views,
)
from paraphrase_rl.reporting.html import asset, environment, policy
from paraphrase_rl.types import Failure

STRONGEST = 12
"""Number of parts listed on either side."""
_WEAK = 0.1
"""Marks of n-grams: characters whose push is below this fraction of the largest have none."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text with one mark and one line of details."""

    text: str
    css: str = ""
    title: str = ""


def explanation_page(text: str, scores: Sequence[ExplainedScore], notes: Sequence[str]) -> str:
    """Write a whole HTML page; it refers to nothing outside itself, and its content security policy forbids it."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy([asset("explanation.css"), _BODY]))}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<title>{escape(_heading(scores))}</title>\n<link rel="icon" href="data:,">\n<style>{_BODY}</style>\n'
        f"</head>\n<body>\n<main>{explanation_fragment(text, scores, notes)}</main>\n</body>\n</html>\n"
    )


_BODY = "body{margin:0}"


def explanation_fragment(text: str, scores: Sequence[ExplainedScore], notes: Sequence[str]) -> str:
    """Write the part of the page that a notebook shows."""
    page = environment().get_template("explanation.html.j2")
    found = [score for score in scores if not isinstance(score.explanation, Failure)]
    inner = page.render(
        style=Markup(asset("explanation.css")),
        heading=_heading(scores),
        scores=[_shown(score) for score in scores],
        views=[
            *(_token_view(text, group) for group in token_views(found)),
            *(_ngram_view(text, score) for score in found if not score.tokens() and _has_places(score)),
        ],
        notes=list(notes),
    )
    return f'<div class="prl-explain">{inner}</div>'


def _has_places(score: ExplainedScore) -> bool:
    """Whether any part stands somewhere in the text: statistics of the whole text do not."""
    return any(part.share.spans for part in score.parts)


def _heading(scores: Sequence[ExplainedScore]) -> str:
    flagged = [score.decision.detector for score in scores if score.decision.flagged]
    if flagged:
        return f"Flagged by {', '.join(flagged)}"
    judged = any(score.decision.flagged is not None for score in scores)
    return "Flagged by no detector" if judged else "Scores of a text"


def _shown(score: ExplainedScore) -> dict[str, object]:
    decision, found = score.decision, score.explanation
    row: dict[str, object] = {
        "name": decision.detector,
        "score": "–",
        "threshold": "–" if decision.threshold is None else f"{decision.threshold:.4g}",
        "verdict": "–" if decision.flagged is None else "flagged" if decision.flagged else "not flagged",
        "p_ai": "–" if decision.p_ai is None else f"{decision.p_ai:.2f}",
        "strongest": (),
    }
    if isinstance(found, Failure):
        return row | {"verdict": found.message}
    detail = "rank" if score.tokens() else "places" if _has_places(score) else "value"
    neutral = "the share of a token at the threshold" if decision.threshold is not None else "the mean share"
    return row | {
        "score": f"{found.score:.4g}",
        "sum": f"Push of a token = its share less {neutral}."
        if found.is_mean
        else f"Shares and the base, {found.base:.4g}, add up to the score.",
        "strongest": [
            {
                "caption": caption,
                "detail": detail,
                "rows": [_row(p) for p in score.strongest(STRONGEST, towards_ai=ai)],
            }
            for caption, ai in (("towards AI", True), ("towards human", False))
        ],
    }


def _row(part: Part) -> dict[str, str]:
    details = part.share.details
    detail = str(len(part.share.spans))
    if "rank" in details:
        detail = f"{int(details['rank'])}"
    elif "value" in details:
        detail = f"{details['value']:.4g}"
    return {
        "part": part.share.text.strip() or repr(part.share.text)[1:-1],
        "push": f"{part.push:+.4f}",
        "detail": detail,
    }


def _token_view(text: str, scores: Sequence[ExplainedScore]) -> dict[str, object]:
    names = ", ".join(score.decision.detector for score in scores)
    bounds = ("", *RANK_CLASSES)
    legend = [{"css": "r0", "mark": "plain", "said": f"among the model's {RANK_CLASSES[0]} likeliest tokens"}]
    legend += [
        {"css": f"r{k}", "mark": mark, "said": f"rank {bounds[k] + 1} to {RANK_CLASSES[k]}"}  # type: ignore[operator]
        for k, mark in ((1, "dotted"), (2, "dashed"))
    ]
    legend.append({"css": "r3", "mark": "double", "said": f"beyond rank {RANK_CLASSES[-1]}"})
    return {
        "heading": f"Tokens, as {names} see{'s' if len(scores) == 1 else ''} them",
        "legend": legend,
        "hint": "Hover over a token for its rank, log p, the entropy before it, and its push on each score.",
        "pieces": list(_token_pieces(text, scores)),
    }


def _token_pieces(text: str, scores: Sequence[ExplainedScore]) -> Iterator[Piece]:
    position = 0
    for parts in zip(*(score.parts for score in scores), strict=True):
        share = parts[0].share
        ((start, end),) = share.spans
        blanks = len(text[start:end]) - len(text[start:end].lstrip())
        start += blanks if start + blanks < end else 0
        if start > position:
            yield Piece(text[position:start])
        if end > max(start, position):
            rank = int(share.details["rank"])
            details = [
                f"rank {rank}",
                f"log p {share.details['logprob']:.2f}",
                f"entropy {share.details['entropy']:.2f}",
                *(f"{s.decision.detector} {p.push:+.4f}" for s, p in zip(scores, parts, strict=True)),
            ]
            css = f"r{rank_class(rank)}" if rank_class(rank) else ""
            yield Piece(text[max(start, position) : end], css, ", ".join(details))
        position = max(position, end)
    if position < len(text):
        yield Piece(text[position:], "unread", "not read: beyond the detector's limit")


def _ngram_view(text: str, score: ExplainedScore) -> dict[str, object]:
    return {
        "heading": f"N-grams, as {score.decision.detector} weighs them",
        "legend": [
            {"css": "ai", "mark": "solid", "said": "towards AI"},
            {"css": "person", "mark": "dotted", "said": "towards human"},
        ],
        "hint": "The share of an n-gram is spread evenly over its characters at all of its places.",
        "pieces": list(_ngram_pieces(text, score)),
    }


def _ngram_pieces(text: str, score: ExplainedScore) -> Iterator[Piece]:
    pushes = [0.0] * len(text)
    for part in score.parts:
        characters = sum(end - start for start, end in part.share.spans)
        for start, end in part.share.spans:
            for i in range(start, end):
                pushes[i] += part.push / characters
    largest = max(map(abs, pushes), default=0.0)
    read = score.explanation.read if not isinstance(score.explanation, Failure) else len(text)

    def css(i: int) -> str:
        if i >= read:
            return "unread"
        if abs(pushes[i]) <= _WEAK * largest:
            return ""
        return "ai" if pushes[i] > 0 else "person"

    for kind, places in groupby(range(len(text)), css):
        stretch = list(places)
        yield Piece(text[stretch[0] : stretch[-1] + 1], kind)
