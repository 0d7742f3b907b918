"""The verbs score, score_stream and score_file."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from paraphrase_rl.api.common import path_of
from paraphrase_rl.api.score_rows import columns_of, mappings_of, score_rows
from paraphrase_rl.api.text_results import ScoreResult, ScoreRow, ScoreSummary
from paraphrase_rl.api.text_scoring import EngineName, Scoring
from paraphrase_rl.progress import OnProgress

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, Detectors
    from paraphrase_rl.api.saved_calibration import SavedCalibration
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.data.forms import Form
    from paraphrase_rl.data.reading import Texts
    from paraphrase_rl.detection.engines import Engine
    from paraphrase_rl.formats import LineFormat
    from paraphrase_rl.plugin.registry import Registry


def score(
    texts: Texts,
    *,
    detectors: Detectors | None = None,
    calibration: SavedCalibration | None = None,
    fpr: float | None = None,
    force: bool = False,
    column: str | None = None,
    input_format: Form | None = None,
    bad_rows: BadRows = "refuse",
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> ScoreResult:
    """Score texts: raw score, P(AI), and verdict at a false positive rate, by detector and for their ensemble.

    Args:
        texts: N texts: a string, a list of strings or Documents, a :class:`pathlib.Path` of a file or folder, a file
            open for bytes, a data frame or ``datasets.Dataset`` with ``column``. A ``str`` is always a text, never a
            path.
        detectors: names, names with options, or what :func:`detector` returned; ``None`` = those of the calibration,
            else those of the default recipe.
        calibration: what :func:`calibrate` returned or saved, or a run that has one; ``none`` = raw scores. ``None`` =
            the default file of `prl calibrate`, else the calibration that comes with the package, for detectors with
            the options and models it was made with. The texts are cut as those of the calibration were.
        fpr: false positive rate of the verdicts, in (0, 1), a rate that was calibrated; ``None`` = the target rate.
        force: give a verdict on texts that are unlike those of the calibration, too; the rates do not hold for them.
        column: name of the text column of a table; ``None`` = ``text``.
        input_format: format of the files: ``text``, ``csv``, ``jsonl``, ``json``, ``parquet`` or ``arrow``; ``None`` =
            by their names and contents.
        bad_rows: ``refuse`` or ``skip`` rows without a usable text: empty, not a string, not valid Unicode.
        device: torch device.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        N times D rows for D detectors, and N more for the ensemble if two or more are calibrated. A text that
        cannot be read has one row, with ``failure``.

    Raises:
        UsageError, DataError: ``texts`` cannot be read as texts.
        CalibrationError: there is no such calibration or rate, or a detector has changed since.
        PluginError, RecipeError, MissingDependencyError, ModelError: a detector cannot be built.

    Example:
        >>> found = prl.score(["The council voted on the new bridge."], detectors="tfidf")
        >>> found.rows[0].detector, found.rows[0].verdict
        ('tfidf', None)
    """
    if isinstance(texts, Iterator):
        texts = list(texts)
    stream = score_stream(
        texts,
        detectors=detectors,
        calibration=calibration,
        fpr=fpr,
        force=force,
        column=column,
        input_format=input_format,
        bad_rows=bad_rows,
        device=device,
        progress=progress,
        registry=registry,
    )
    rows = tuple(stream)
    done = stream.summary
    return ScoreResult(
        rows,
        done.notes,
        n_texts=done.n_texts,
        left_out=done.left_out,
        calibration=done.calibration,
        texts=done.texts,
        target_fpr=done.target_fpr,
        explanation=done.explanation,
    )


def score_stream(
    texts: Texts,
    *,
    detectors: Detectors | None = None,
    calibration: SavedCalibration | None = None,
    fpr: float | None = None,
    force: bool = False,
    column: str | None = None,
    input_format: Form | None = None,
    bad_rows: BadRows = "refuse",
    device: str | None = None,
    workers: int = 1,
    engine: EngineName = "local",
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> ScoreStream:
    """Score any number of texts, and give out the rows as they come; memory does not grow with the texts.

    Files are read twice: rows that cannot be used are refused before the first text is scored. An iterator is read
    once, a bounded number of texts ahead of the rows.

    Args:
        texts: see :func:`score`; or an iterator of texts.
        detectors: see :func:`score`.
        calibration: see :func:`score`.
        fpr: see :func:`score`.
        force: see :func:`score`.
        column: see :func:`score`.
        input_format: see :func:`score`.
        bad_rows: see :func:`score`; of an iterator, a bad row is met when it comes.
        device: see :func:`score`.
        workers: number of processes on this machine, each with detectors of its own; of ``ray``, of replicas (1 = one
            for each GPU, or CPU, of the cluster). The rows are the same whatever their number.
        engine: ``local``, or ``ray``: Ray Data, on one machine or a cluster.
        progress: called with each progress report.
        registry: components to choose from; only without workers.

    Returns:
        An iterator of the rows that :func:`score` returns, with their ``columns``; at the end, it has a ``summary``.

    Raises:
        UsageError, DataError: ``texts`` cannot be read as texts.
        CalibrationError: there is no such calibration or rate, or a detector has changed since.
        PluginError, RecipeError, MissingDependencyError, ModelError: a detector cannot be built.
        RunError: a worker process ended, such as for want of memory.

    Example:
        >>> with prl.score_stream(iter(["The council voted.", "It rained."]), detectors="tfidf") as rows:
        ...     ids = [row.id for row in rows]
        >>> ids, rows.summary.n_texts
        (['text-1', 'text-2'], 2)
    """
    scoring = Scoring(
        texts,
        detectors=detectors,
        calibration=calibration,
        fpr=fpr,
        force=force,
        column=column,
        input_format=input_format,
        bad_rows=bad_rows,
        device=device,
        workers=workers,
        engine=engine,
        progress=progress,
        registry=registry,
    )
    return ScoreStream(scoring)


def score_file(
    texts: Texts,
    out: AnyPath,
    *,
    format: LineFormat | None = None,
    wide: bool = False,
    detectors: Detectors | None = None,
    calibration: SavedCalibration | None = None,
    fpr: float | None = None,
    force: bool = False,
    column: str | None = None,
    input_format: Form | None = None,
    bad_rows: BadRows = "refuse",
    device: str | None = None,
    workers: int = 1,
    engine: EngineName = "local",
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> ScoreSummary:
    """Score any number of texts into a file; a second call continues where the first one was stopped.

    The rows are in the order of the texts. Next to the file stands ``OUT.resume``, which says what it holds, and has
    the scores of every text by a digest of the canonical text. If texts were added, removed or moved since, the
    rows from the first difference on are written again, and only texts that were never scored are scored.

    Args:
        texts: see :func:`score_stream`.
        out: the file.
        format: ``jsonl`` or ``csv``; ``None`` = by the name of the file.
        wide: one row a text, with columns of each detector, instead of one row a text and detector.
        detectors: see :func:`score`.
        calibration: see :func:`score`.
        fpr: see :func:`score`.
        force: see :func:`score`.
        column: see :func:`score`.
        input_format: see :func:`score`.
        bad_rows: see :func:`score`.
        device: see :func:`score`.
        workers: see :func:`score_stream`.
        engine: see :func:`score_stream`.
        progress: called with each progress report.
        registry: components to choose from; only without workers.

    Returns:
        Counts by detector; the rows are in the file.

    Raises:
        UsageError: ``out`` has no known format, is no file of this function, or was made with other settings.
        UsageError, DataError: ``texts`` cannot be read as texts.
        CalibrationError: there is no such calibration or rate, or a detector has changed since.
        PluginError, RecipeError, MissingDependencyError, ModelError: a detector cannot be built.
        RunError: the file cannot be written, another process writes it, or a worker process ended.

    Example:
        >>> done = prl.score_file(["The council voted.", "It rained."], "scores.csv", detectors="tfidf")
        >>> done.n_texts, done.n_before
        (2, 0)
        >>> prl.score_file(["The council voted.", "It rained."], "scores.csv", detectors="tfidf").n_before
        2
    """
    from paraphrase_rl.api.score_file import format_of, write_scores

    path = path_of(out, "out")
    form = format_of(path, format)
    scoring = Scoring(
        texts,
        detectors=detectors,
        calibration=calibration,
        fpr=fpr,
        force=force,
        column=column,
        input_format=input_format,
        bad_rows=bad_rows,
        device=device,
        workers=workers,
        engine=engine,
        progress=progress,
        registry=registry,
    )
    before = write_scores(scoring, path, form, wide)
    return scoring.summary(path=path, n_before=before)


class ScoreStream(Iterator[ScoreRow]):
    """Rows of scores as they come; a context manager that ends the work when it is left.

    Attributes:
        detectors: detectors with a row for each text, in order.
    """

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._engine = scoring.start()
        self._texts = self._scored(self._engine)
        self._rows = (row for chunk in self._texts for rows in chunk for row in rows)
        self.detectors = scoring.names

    @property
    def summary(self) -> ScoreSummary:
        """Return the counts of the rows that are ready so far, with notes."""
        return self._scoring.summary()

    def columns(self, wide: bool = False) -> list[str]:
        """Return the names of the columns of :meth:`blocks`, in order."""
        return columns_of(self.detectors, self._scoring.source_columns, wide)

    def blocks(self, wide: bool = False) -> Iterator[list[Mapping[str, object]]]:
        """Yield the rows as mappings, those that are ready together in one list.

        Args:
            wide: one row a text, with columns such as ``tfidf_score`` for each detector.
        """
        for chunk in self._texts:
            yield list(mappings_of(chunk, wide))

    def __next__(self) -> ScoreRow:
        return next(self._rows)

    def __enter__(self) -> ScoreStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the work; rows that were not given out are lost."""
        self._texts.close()

    def _scored(self, engine: Engine) -> Generator[list[list[ScoreRow]], None, None]:
        scoring = self._scoring
        try:
            for chunk, decisions in scoring.decided(engine, scoring.chunks(scoring.items())):
                yield [
                    score_rows(item, of_text) for item, of_text in zip(chunk.items, decisions, strict=True)
                ]
        finally:
            engine.close()
