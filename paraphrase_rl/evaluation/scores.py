"""Texts row by row, rewritten or not, with every detector's score of each; and the tables of them on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paraphrase_rl.evaluation.detection_rates import Indices
from paraphrase_rl.evaluation.panel import Panel, known
from paraphrase_rl.evaluation.rewrite_quality import Measured
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.progress import Report
from paraphrase_rl.types import Document, Failure, Rewrite, Rewrites, Scores


@dataclass(frozen=True, kw_only=True)
class Row:
    """One rewrite of one text, or why there is none."""

    document: int
    sample: int
    rewrite: Rewrite | Failure


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one rewriter made of some documents.

    Attributes:
        rewriter: its label.
        documents: N of them.
        rows: R of them, in the order of the documents.
        scores: of shape (R,) by detector; a row without a rewrite has a Failure that says why.
    """

    rewriter: str
    documents: Sequence[Document]
    rows: Sequence[Row]
    scores: Mapping[str, Scores]

    @property
    def positions(self) -> Indices:
        """Shape (R,): which document each row is of."""
        return np.array([row.document for row in self.rows], dtype=np.int64)

    @property
    def rewritten(self) -> list[tuple[int, Document, Rewrite]]:
        """The rows that have a rewrite: position, source, rewrite."""
        return [
            (i, self.documents[row.document], row.rewrite)
            for i, row in enumerate(self.rows)
            if isinstance(row.rewrite, Rewrite)
        ]


def untouched(documents: Sequence[Document]) -> list[Rewrites]:
    """Each text as its own and only rewrite."""
    return [[Rewrite(text=d.text)] for d in documents]


def score(
    rewriter: str,
    documents: Sequence[Document],
    rewrites: Sequence[Rewrites],
    samples: int,
    panel: Panel,
    report: Report,
    what: str = "",
) -> Scored:
    """Score the rewrites of some documents with every detector.

    Args:
        rewriter: its label.
        documents: N of them.
        rewrites: of each, or why there are none.
        samples: how many there should be of each.
        panel: the detectors.
        report: shows a line.
        what: the texts, for that line; empty = the rewriter.
    """
    rows = [
        Row(document=i, sample=sample, rewrite=found if isinstance(found, Failure) else found[sample])
        for i, found in enumerate(rewrites)
        for sample in range(samples)
    ]
    made = [i for i, row in enumerate(rows) if isinstance(row.rewrite, Rewrite)]
    texts = [row.rewrite.text for row in rows if isinstance(row.rewrite, Rewrite)]
    members = [column.member.detector for column in panel.columns if column.member]
    if texts:
        report(
            f"score: {what or rewriter}: {len(texts)} texts x {len(members)} detectors, "
            f"{known(members, texts)} of {len(texts) * len(members)} scores cached"
        )
    missing = [
        Failure(index=i, owner=rewriter, kind="no-rewrite", message=row.rewrite.message)
        for i, row in enumerate(rows)
        if isinstance(row.rewrite, Failure)
    ]
    return Scored(
        rewriter=rewriter,
        documents=documents,
        rows=rows,
        scores={
            name: _expanded(scores, made, missing, len(rows))
            for name, scores in panel.scores(texts, report).items()
        },
    )


def _expanded(scores: Scores, made: Sequence[int], missing: Sequence[Failure], rows: int) -> Scores:
    """Scores of some rows as scores of all, with a Failure for each of the others."""
    values = np.full(rows, np.nan)
    values[list(made)] = scores.values
    failed = [replace(failure, index=made[failure.index]) for failure in scores.failures]
    return Scores(values, tuple(sorted([*failed, *missing], key=lambda failure: failure.index)))


def write_rows(
    folder: Path,
    clean: Sequence[Scored],
    attacked: Sequence[Scored],
    humans: Sequence[Scored],
    measured: Mapping[str, Sequence[Measured]],
) -> None:
    """Write ``documents.jsonl``, ``rewrites.jsonl``, ``scores.jsonl`` and ``quality.jsonl``, each whole.

    Args:
        folder: of the evaluation.
        clean: the texts untouched.
        attacked: AI texts by every rewriter.
        humans: human texts by every rewriter.
        measured: by rewriter, each of its rows of AI texts.
    """
    documents = [document for scored in clean for document in scored.documents]
    keys = ("id", "text", "label", "group", "domain", "pair")
    write_jsonl(folder / "documents.jsonl", ({key: getattr(d, key) for key in keys} for d in documents))
    write_jsonl(
        folder / "rewrites.jsonl", (row for scored in (*attacked, *humans) for row in _rewrite_rows(scored))
    )
    write_jsonl(
        folder / "scores.jsonl",
        (row for scored in (*clean, *attacked, *humans) for row in _score_rows(scored)),
    )
    write_jsonl(
        folder / "quality.jsonl",
        (
            {**_where(scored, i), "metrics": row.metrics}
            for scored in attacked
            for i, row in enumerate(measured.get(scored.rewriter, ()))
            if row.metrics
        ),
    )


def _where(scored: Scored, i: int) -> dict[str, object]:
    row = scored.rows[i]
    return {"rewriter": scored.rewriter, "id": scored.documents[row.document].id, "sample": row.sample}


def _rewrite_rows(scored: Scored) -> Iterator[dict[str, object]]:
    for i, row in enumerate(scored.rows):
        if isinstance(row.rewrite, Failure):
            yield {**_where(scored, i), "failure": _failure(row.rewrite)}
        else:
            yield {**_where(scored, i), "text": row.rewrite.text, "finished": row.rewrite.finished}


def _score_rows(scored: Scored) -> Iterator[dict[str, object]]:
    for detector, scores in scored.scores.items():
        failures = {failure.index: failure for failure in scores.failures}
        for i, value in enumerate(scores.values.tolist()):
            where = {"detector": detector, **_where(scored, i)}
            yield {**where, "failure": _failure(failures[i])} if i in failures else {**where, "score": value}


def _failure(failure: Failure) -> dict[str, str]:
    return {"kind": failure.kind, "message": failure.message}
