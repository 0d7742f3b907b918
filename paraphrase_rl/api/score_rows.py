"""Rows of scores: one a text and detector, or one a text with columns of each detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from paraphrase_rl.api.text_results import ScoreRow
from paraphrase_rl.tables import field_names, record, spread_name

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


def columns_of(detectors: Sequence[str], further: Sequence[str], wide: bool) -> list[str]:
    """Return the columns of :func:`mappings_of`, in order.

    Args:
        detectors: detectors with a row for each text.
        further: columns of the texts' rows.
        wide: whether a text has one row; then the columns are its id, those of each detector, and ``further``.
    """
    own = (
        ("id", *(f"{name}_{field}" for name in detectors for field in _WIDE))
        if wide
        else field_names(ScoreRow)
    )
    return list(dict.fromkeys([*own, *(spread_name(column, own) for column in further)]))


def mappings_of(texts: Iterable[Sequence[ScoreRow]], wide: bool) -> Iterator[Mapping[str, object]]:
    """Yield the rows of texts as mappings of columns to values.

    Args:
        texts: the rows of each text.
        wide: one row a text, with columns such as ``tfidf_score`` for each detector.
    """
    for rows in texts:
        if wide:
            yield _wide_row(rows)
        else:
            yield from map(record, rows)


def _wide_row(rows: Sequence[ScoreRow]) -> dict[str, object]:
    """Join the rows of one text, with columns such as ``tfidf_score`` for each detector."""
    found: dict[str, object] = {"id": rows[0].id}
    for row in rows:
        found |= {f"{row.detector}_{field}": getattr(row, field) for field in _WIDE}
    own = set(found)
    return found | {spread_name(key, own): value for key, value in rows[0].input.items()}
