"""The texts, rewrites, scores and qualities of an evaluation as rows of JSON lines, next to its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paraphrase_rl.evaluation.rewrite_quality import Measured
from paraphrase_rl.evaluation.scores import Scored
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.types import Failure


def write_rows(
    folder: Path,
    originals: Sequence[Scored],
    attacked: Sequence[Scored],
    humans: Sequence[Scored],
    measured: Mapping[str, Sequence[Measured]],
) -> None:
    """Write ``documents.jsonl``, ``rewrites.jsonl``, ``scores.jsonl`` and ``quality.jsonl``, each whole.

    Args:
        folder: of the evaluation.
        originals: the texts as they are.
        attacked: AI texts by every rewriter.
        humans: human texts by every rewriter.
        measured: by rewriter, each of its rows of AI texts.
    """
    documents = [document for scored in originals for document in scored.documents]
    keys = ("id", "text", "label", "group", "domain", "pair")
    rewrites = (row for scored in (*attacked, *humans) for row in _rewrite_rows(scored))
    scores = (row for scored in (*originals, *attacked, *humans) for row in _score_rows(scored))
    quality = (
        {**_where(scored, i), "metrics": row.metrics}
        for scored in attacked
        for i, row in enumerate(measured.get(scored.rewriter, ()))
        if row.metrics
    )
    write_jsonl(folder / "documents.jsonl", ({key: getattr(d, key) for key in keys} for d in documents))
    write_jsonl(folder / "rewrites.jsonl", rewrites)
    write_jsonl(folder / "scores.jsonl", scores)
    write_jsonl(folder / "quality.jsonl", quality)


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
