"""Texts row by row, rewritten or not, with every detector's score of each; and the tables of them on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paraphrase_rl.evaluation.panel import Panel
from paraphrase_rl.evaluation.results import ORIGINAL
from paraphrase_rl.evaluation.seen import mark_seen
from paraphrase_rl.statistics.bootstrap import Indices
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.types import Document, Failure, Rewrite, Rewrites, Scores


@dataclass(frozen=True, kw_only=True)
class Row:
    """One rewrite of one text, or the reason why there is no rewrite."""

    document: int
    sample: int
    rewrite: Rewrite | Failure


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of one rewriter's rewrites of some documents.

    Attributes:
        rewriter: its label.
        documents: N documents.
        rows: R rows, in the order of the documents.
        scores: scores of shape (R,) by detector; a row without a rewrite has a Failure that says why.
    """

    rewriter: str
    documents: Sequence[Document]
    rows: Sequence[Row]
    scores: Mapping[str, Scores]

    @property
    def positions(self) -> Indices:
        """Position of each row's document, shape (R,)."""
        return np.array([row.document for row in self.rows], dtype=np.int64)

    @property
    def rewritten(self) -> list[tuple[int, Document, Rewrite]]:
        """The rows that have a rewrite: position, source, rewrite."""
        return [
            (i, self.documents[row.document], row.rewrite)
            for i, row in enumerate(self.rows)
            if isinstance(row.rewrite, Rewrite)
        ]


def score_originals(
    documents: Sequence[Document], panel: Panel, what: str, words: int | None = None
) -> Scored:
    """Score documents, whole or cut to ``words`` words."""
    if words is not None:
        documents = [replace(d, text=excerpt(d.text, words)) for d in documents]
    return score_rewrites(ORIGINAL, documents, [[Rewrite(text=d.text)] for d in documents], 1, panel, what)


def score_rewrites(
    rewriter: str,
    documents: Sequence[Document],
    rewrites: Sequence[Rewrites],
    samples: int,
    panel: Panel,
    what: str,
) -> Scored:
    """Score the rewrites of some documents with every detector, but not of documents that it was trained on.

    Args:
        rewriter: its label.
        documents: N documents.
        rewrites: rewrites of each document, or the Failure that says why there are none.
        samples: number of rewrites that each document should have.
        panel: the detectors.
        what: description of the texts, for the progress report.
    """
    rows = [
        Row(document=i, sample=sample, rewrite=found if isinstance(found, Failure) else found[sample])
        for i, found in enumerate(rewrites)
        for sample in range(samples)
    ]
    made = [i for i, row in enumerate(rows) if isinstance(row.rewrite, Rewrite)]
    texts = [row.rewrite.text for row in rows if isinstance(row.rewrite, Rewrite)]
    missing = [
        Failure(index=i, owner=rewriter, kind="no-rewrite", message=row.rewrite.message)
        for i, row in enumerate(rows)
        if isinstance(row.rewrite, Failure)
    ]
    expanded = {
        name: _expanded(scores, made, missing, len(rows))
        for name, scores in panel.score(texts, f"score: {what}").items()
    }
    return Scored(
        rewriter=rewriter,
        documents=documents,
        rows=rows,
        scores=mark_seen(expanded, [row.document for row in rows], documents, panel.trainings),
    )


def _expanded(scores: Scores, made: Sequence[int], missing: Sequence[Failure], rows: int) -> Scores:
    """Scores of some rows as scores of all, with a Failure for each of the others."""
    values = np.full(rows, np.nan)
    values[list(made)] = scores.values
    failed = [replace(failure, index=made[failure.index]) for failure in scores.failures]
    failures = sorted([*failed, *missing], key=lambda failure: failure.index)
    cut = (replace(truncation, index=made[truncation.index]) for truncation in scores.truncated)
    return Scores(values, tuple(failures), tuple(cut))
