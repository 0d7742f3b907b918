"""Results of the verbs about texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from paraphrase_rl.detection.calibration import CalibrationSet, percent
from paraphrase_rl.detection.calibration_rows import WORST, CalibrationRow
from paraphrase_rl.detection.calibration_texts import CalibrationTexts
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.tables import SHOWN_ROWS, SPREAD, Table, keys

Verdict = Literal["flagged", "not flagged"]
SCORE_COLUMNS = ("id", "detector", "score", "p_ai", "verdict", "failure", "truncated")


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """Result of one detector, or of the ensemble, for one text.

    Attributes:
        id: of the text.
        detector: its name, ``ensemble`` for the combination; ``None`` if there is no text to score.
        score: in the detector's own unit, higher = more likely AI; for the ensemble its P(AI).
        p_ai: P(AI) in [0, 1] at equal odds of human and AI; ``None`` without a calibration that tells them apart.
        threshold: a score strictly above it is flagged; ``None`` without a calibration.
        verdict: ``not flagged`` does not show that a text is human; ``None`` without a score or a calibration.
        failure: why there is no score, ``KIND: MESSAGE``.
        no_verdict: why there is neither P(AI) nor a verdict despite a calibration, ``KIND: MESSAGE``; the kinds are
            ``seen`` (the text or a near duplicate of it was in training or calibration), and, where the text is
            unlike those of the calibration, ``length``, ``script``, ``language`` and ``outside`` (style or tokens).
            With a verdict: it was forced.
        truncated: part of a text longer than the detector's limit that was read, such as ``512 of 3,010 tokens``;
            ``None`` if the whole text was.
        n_read: the same as a number, in the detector's unit; ``None`` if the whole text was read.
        n_total: length of the whole text in that unit; ``None`` too if it was not counted.
        input: the other columns of the text's row, unchanged; separate columns in a data frame and in files.
    """

    id: str
    detector: str | None = None
    score: float | None = None
    p_ai: float | None = None
    threshold: float | None = None
    verdict: Verdict | None = None
    failure: str | None = None
    no_verdict: str | None = None
    truncated: str | None = None
    n_read: int | None = None
    n_total: int | None = None
    input: Mapping[str, object] = field(default_factory=dict, metadata=SPREAD)


@dataclass(frozen=True, repr=False, kw_only=True)
class ScoreResult(Table[ScoreRow]):
    """Scores of texts: for each text the detectors in order, then their ensemble.

    Attributes:
        n_texts: texts that were scored.
        left_out: rows without a usable text that were left out.
        calibration: file of the calibration; ``None`` without a calibration, or if it is not in a file.
        texts: texts the calibration was fitted on; ``None`` without a calibration.
        target_fpr: false positive rate of the verdicts; ``None`` without a calibration.
        explanation: calibration used, and the share of its human texts that its thresholds flag, one line each.
    """

    columns: ClassVar[tuple[str, ...]] = SCORE_COLUMNS

    n_texts: int
    left_out: int = 0
    calibration: Path | None = None
    texts: CalibrationTexts | None = None
    target_fpr: float | None = None
    explanation: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        at = (
            ""
            if self.target_fpr is None
            else f", verdicts at a false positive rate of {percent(self.target_fpr)}"
        )
        return f"Scores of {'1 text' if self.n_texts == 1 else f'{self.n_texts} texts'}{at}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """The explanation, then the notes."""
        return (*self.explanation, *super().remarks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the texts that some detector could not score."""
        return tuple(dict.fromkeys(row.id for row in self.rows if row.failure is not None))

    @property
    def truncated(self) -> tuple[str, ...]:
        """Ids of the texts of which some detector read only the beginning."""
        return tuple(dict.fromkeys(row.id for row in self.rows if row.truncated is not None))


@dataclass(frozen=True, kw_only=True)
class DetectorCount:
    """Counts of texts by one detector, or by the ensemble.

    Attributes:
        detector: its name, ``ensemble`` for the combination.
        n_texts: texts.
        n_flagged: texts that are flagged; ``None`` without a calibration.
        n_failed: texts that could not be scored.
        n_truncated: texts of which it read only the beginning.
    """

    detector: str
    n_texts: int
    n_flagged: int | None = None
    n_failed: int = 0
    n_truncated: int = 0


@dataclass(frozen=True, repr=False, kw_only=True)
class ScoreSummary(Table[DetectorCount]):
    """Counts of texts by detector, whose rows are in a file or were given out one by one.

    Attributes:
        n_texts: texts that were scored.
        n_failed: texts that some detector could not score.
        n_truncated: texts of which some detector read only the beginning.
        n_before: texts among them that an earlier call had finished; their rows were not computed again.
        left_out: rows without a usable text that were left out.
        path: file of the rows; ``None`` if they are in no file.
        calibration: file of the calibration; ``None`` without a calibration, or if it is not in a file.
        texts: texts the calibration was fitted on; ``None`` without a calibration.
        target_fpr: false positive rate of the verdicts; ``None`` without a calibration.
        explanation: calibration used, and the share of its human texts that its thresholds flag, one line each.
    """

    n_texts: int
    n_failed: int = 0
    n_truncated: int = 0
    n_before: int = 0
    left_out: int = 0
    path: Path | None = None
    calibration: Path | None = None
    texts: CalibrationTexts | None = None
    target_fpr: float | None = None
    explanation: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        counted = "1 text" if self.n_texts == 1 else f"{self.n_texts:,} texts"
        return f"Scores of {counted}" + ("" if self.path is None else f" in {self.path}")

    @property
    def remarks(self) -> tuple[str, ...]:
        """The explanation, then the notes."""
        return (*self.explanation, *super().remarks)


@dataclass(frozen=True, repr=False, kw_only=True)
class CalibrationResult(Table[CalibrationRow]):
    """Calibration of detectors, to give to ``prl.score(..., calibration=...)``.

    Attributes:
        records: thresholds and P(AI) of each detector, as saved in a file.
        path: the file it is saved in, if any.
    """

    records: CalibrationSet
    path: Path | None = None

    @property
    def texts(self) -> CalibrationTexts:
        """Texts that the calibration was fitted on; the calibration holds for texts like these."""
        return self.records.calibrations[0].texts

    @property
    def title(self) -> str:
        """Texts that it was fitted on, and the rate of the thresholds."""
        target = percent(self.rows[0].target_fpr)
        return f"Calibration on {self.texts.describe()} for a false positive rate of {target}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Counts of the texts of each population that are flagged, where there are several, then the notes."""
        each = tuple(record.describe() for record in self.records.records if record.populations)
        return (*each, *super().remarks)

    def shown_rows(self) -> list[dict[str, object]]:
        """Return a row for each deployed threshold, for display: numbers as text, with their intervals."""
        return _with_values(
            {
                "detector": row.detector,
                "threshold": row.threshold,
                "FPR": _of_humans(row),
                "TPR": _shown(row.tpr_in_sample, row.tpr_low, row.tpr_high, row.n_ai),
                "AUROC": _shown(row.auroc_test, row.auroc_low, row.auroc_high, row.n_ai, 3),
                "human": row.n_human,
                "AI": row.n_ai or None,
            }
            for row in self.rows
            if row.population is None or row.population.startswith(WORST)
        )

    def population_rows(self) -> list[dict[str, object]]:
        """Return a row for each of several populations with the threshold that it would have alone, for display."""
        return [
            {
                "detector": row.detector,
                "population": row.population,
                "alone": row.threshold,
                "FPR alone": _of_humans(row),
                "above the deployed": f"{round(row.deployed_fpr * row.n_human)} of {row.n_human}",
            }
            for row in self.rows
            if row.deployed_fpr is not None and row.population and not row.population.startswith(WORST)
        ]

    def _shown(self) -> tuple[Sequence[Mapping[str, object]], Sequence[str], int]:
        rows = self.shown_rows()
        return rows[:SHOWN_ROWS], keys(rows), max(len(rows) - SHOWN_ROWS, 0)

    def save(self, path: str | Path) -> Path:
        """Write the calibration to a file, whole or not at all; a reader builds the detectors from their options.

        Returns:
            The path.

        Raises:
            RunError: the file cannot be written.
        """
        path = Path(path)
        self.records.write(path)
        return path


def _of_humans(row: CalibrationRow) -> str:
    return _shown(row.achieved_fpr, row.fpr_low, row.fpr_high, row.n_human, 3)


def _shown(value: float | None, low: float | None, high: float | None, n: int, digits: int = 2) -> str:
    return Estimate(value=value, low=low, high=high, n=n).shown(digits)


def _with_values(rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """The rows without the columns that none of them has a value in."""
    held = list(rows)
    filled = {key for row in held for key, value in row.items() if value not in (None, "-")}
    return [{key: value for key, value in row.items() if key in filled} for row in held]


@dataclass(frozen=True, kw_only=True)
class FitRow:
    """A detector that was trained.

    Attributes:
        detector: its name.
        folder: folder that it is loaded from.
        n_human: human texts it was trained on.
        n_ai: AI texts it was trained on.
    """

    detector: str
    folder: str
    n_human: int
    n_ai: int


@dataclass(frozen=True, repr=False, kw_only=True)
class FitResult(Table[FitRow]):
    """One row: the detector that was trained.

    Attributes:
        source: the data set.
        digest: SHA-256 of its texts, labels, groups and splits.
    """

    source: str
    digest: str

    @property
    def folder(self) -> Path:
        """Folder that the detector is loaded from."""
        return Path(self.rows[0].folder)

    @property
    def title(self) -> str:
        return f"Trained on the train split of {self.source}"


@dataclass(frozen=True, kw_only=True)
class RewriteRow:
    """One rewrite of a text, or why there is none.

    Attributes:
        id: of the text.
        sample: number of the rewrite, from 0; ``None`` without one.
        rewrite: the text as rewritten.
        finished: False if the rewrite was cut at the token limit.
        failure: why there is no rewrite, ``KIND: MESSAGE``.
        input: the other columns of the text's row, unchanged; separate columns in a data frame and in files.
    """

    id: str
    sample: int | None = None
    rewrite: str | None = None
    finished: bool | None = None
    failure: str | None = None
    input: Mapping[str, object] = field(default_factory=dict, metadata=SPREAD)


@dataclass(frozen=True, repr=False, kw_only=True)
class RewriteResult(Table[RewriteRow]):
    """Rewrites of texts, in the order of the texts.

    Attributes:
        rewriter: its name.
        options: as given.
        seed: seed of the rewriting; the same seed gives the same rewrites.
        run: the run whose policy, prompt and sampling were used, if any.
        calibration: of the detectors the rewriter could choose by, if any.
        n_texts: texts that were rewritten.
        left_out: rows without a usable text that were left out.
    """

    rewriter: str
    options: Mapping[str, object]
    seed: int
    columns: ClassVar[tuple[str, ...]] = ("id", "sample", "rewrite", "finished", "failure")

    n_texts: int
    left_out: int = 0
    run: Path | None = None
    calibration: Path | None = None

    @property
    def texts(self) -> list[str]:
        """The rewrites alone, without the texts that failed."""
        return [row.rewrite for row in self.rows if row.rewrite is not None]

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the texts without a rewrite."""
        return tuple(row.id for row in self.rows if row.failure is not None)

    @property
    def title(self) -> str:
        counted = "1 text" if self.n_texts == 1 else f"{self.n_texts} texts"
        return f"{counted} rewritten by {self.rewriter}, seed {self.seed}"
