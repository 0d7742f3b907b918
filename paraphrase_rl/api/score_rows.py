"""Rows of scores: one a text and detector, or one a text with columns of each detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paraphrase_rl.api.text_results import ScoreRow
from paraphrase_rl.tables import field_names, spread_name

if TYPE_CHECKING:
    from paraphrase_rl.data.items import Item
    from paraphrase_rl.detection.decision import Decision

_WIDE = tuple(name for name in field_names(ScoreRow) if name not in ("id", "detector"))
"""Fields of a row that a detector has columns for, where a text has one row."""


def score_rows(item: Item, decisions: Sequence[Decision]) -> list[ScoreRow]:
    """Return the rows of one text."""
    rows = []
    for decision in decisions:
        failure, cut = decision.failure, decision.truncated
        flagged = decision.flagged
        rows.append(
            ScoreRow(
                id=item.id,
                detector=decision.detector,
                score=decision.score,
                p_ai=decision.p_ai,
                threshold=decision.threshold,
                verdict=None if flagged is None else "flagged" if flagged else "not flagged",
                failure=f"{failure.kind}: {failure.message}" if failure is not None else None,
                no_verdict=decision.no_verdict,
                truncated=str(cut) if cut is not None else None,
                n_read=cut.read if cut is not None else None,
                n_total=cut.total if cut is not None else None,
                input=item.columns,
            )
        )
    return rows


def row_columns(further: Sequence[str]) -> list[str]:
    """Return the columns of rows, in order; ``further`` are those of the texts' rows."""
    own = field_names(ScoreRow)
    return list(dict.fromkeys([*own, *(spread_name(column, own) for column in further)]))


def wide_columns(detectors: Sequence[str], further: Sequence[str]) -> list[str]:
    """Return the columns of :func:`wide_row`, in order: the id, those of each detector, those of the texts' rows."""
    own = ["id", *(f"{name}_{field}" for name in detectors for field in _WIDE)]
    return list(dict.fromkeys([*own, *(spread_name(column, own) for column in further)]))


def wide_row(rows: Sequence[ScoreRow]) -> dict[str, object]:
    """Join the rows of one text, with columns such as ``tfidf_score`` for each detector."""
    found: dict[str, object] = {"id": rows[0].id}
    for row in rows:
        found |= {f"{row.detector}_{field}": getattr(row, field) for field in _WIDE}
    own = set(found)
    return found | {spread_name(key, own): value for key, value in rows[0].input.items()}
