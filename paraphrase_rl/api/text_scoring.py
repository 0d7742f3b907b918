"""Scoring of texts chunk by chunk, which the verbs score, score_stream and score_file share."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from paraphrase_rl.api.common import check_rate, check_whole, registry_or_default
from paraphrase_rl.api.detector_choice import choose_detectors
from paraphrase_rl.api.text_results import DetectorCount, ScoreSummary
from paraphrase_rl.data.bad_rows import BadRowList, leave_out
from paraphrase_rl.data.items import Item
from paraphrase_rl.data.reading import bad_row, named_like_file, open_texts
from paraphrase_rl.detection.engines import Engine, InProcess, Processes
from paraphrase_rl.errors import CalibrationError, UsageError
from paraphrase_rl.progress import OnProgress, duration, per_second, reporter

if TYPE_CHECKING:
    from paraphrase_rl.api.common import Detectors
    from paraphrase_rl.api.saved_calibration import SavedCalibration
    from paraphrase_rl.data.bad_rows import BadRows
    from paraphrase_rl.data.forms import Form
    from paraphrase_rl.data.reading import Texts
    from paraphrase_rl.detection.calibration import Calibration
    from paraphrase_rl.detection.decision import Decision
    from paraphrase_rl.plugin.registry import Registry

EngineName = Literal["local", "ray"]
_CALIBRATE = (
    "the calibration of the package is for a first look: set thresholds on texts like yours with "
    "`prl calibrate --data FILE`"
)
AT_ONCE = {"fast": 1000, "cpu": 32, "accelerator": 1024}
"""Texts in a chunk: what is scored together, and written together. A language model on a CPU takes a second a text."""
_SHOWN_NAMES = 3


@dataclass
class Chunk:
    """Consecutive texts.

    Attributes:
        items: the texts.
        known: decisions on each that are known already; an empty list for a text to score.
    """

    items: list[Item]
    known: list[list[Decision]] = field(default_factory=list)

    @property
    def unknown(self) -> list[str]:
        """The texts to score."""
        if not self.known:
            return [item.text for item in self.items]
        return [item.text for item, known in zip(self.items, self.known, strict=True) if not known]

    def completed(self, decisions: Sequence[list[Decision]]) -> list[list[Decision]]:
        """Return the decisions on all texts, given those on the unknown ones."""
        fresh = iter(decisions)
        return [known or next(fresh) for known in self.known or [[]] * len(self.items)]


class Scoring:
    """Scoring that is prepared: texts are checked, detectors chosen; no text is scored yet.

    Args: those of :func:`paraphrase_rl.api.scoring.score_stream`.

    Attributes:
        names: detectors with a row for each text, in order.
        settings: of the scorer.
        used: calibrations used, if any.
        path: file of the calibration, if it is in one.
        excerpt_words: texts are cut as those of the calibration were.
        source_columns: further columns of the texts' rows, in order.
        n_texts: texts decided on so far; ``left_out``: rows without a usable text so far.
        counts: by detector, how many texts were flagged, failed and cut.
    """

    def __init__(
        self,
        texts: Texts,
        *,
        detectors: Detectors | None,
        calibration: SavedCalibration | None,
        fpr: float | None,
        force: bool,
        column: str | None,
        input_format: Form | None,
        bad_rows: BadRows,
        device: str | None,
        workers: int,
        engine: EngineName,
        progress: OnProgress | None,
        registry: Registry | None,
    ) -> None:
        check_whole(workers, "workers", 1)
        if engine not in ("local", "ray"):
            raise UsageError(f"engine cannot be {engine!r:.60}", "give 'local' or 'ray'")
        if registry is not None and (workers > 1 or engine != "local"):
            raise UsageError(
                "a registry cannot be given to other processes: they use the installed plug-ins",
                "leave out registry, or workers and engine",
            )
        shared = registry_or_default(registry)
        self._report = reporter(progress)
        self._bad_rows: BadRows = bad_rows
        self._workers, self._engine = workers, engine
        self._source = open_texts(texts, column, input_format, self._report)
        self._notes = leave_out(self._source.bad, self._source.n or 0, bad_rows)
        self.left_out = self._source.bad.n
        if fpr is not None:
            check_rate(fpr, "fpr")
        self._choice = choose_detectors(detectors, calibration, fpr, device, shared, bool(force))
        self.settings, self.path = self._choice.settings, self._choice.path
        self._registry = self._choice.registry
        if self._registry is not shared and (workers > 1 or engine != "local"):
            raise UsageError(
                "a detector made with prl.detector cannot be given to other processes",
                "put its function into a file, and name it: detectors='mine.py:function'",
            )
        if not self.settings.calibrated and fpr is not None:
            at = f" at {self.path}" if self.path is not None and not self._choice.packaged else ""
            raise CalibrationError(
                f"no calibration of {', '.join(self.settings.uncalibrated)}{at}: "
                "there is no threshold for this false positive rate",
                "calibrate these detectors (`prl calibrate`), or leave out --fpr (fpr=)",
            )
        self.used = self.settings.saved
        self.names = self.settings.names
        self.excerpt_words = self._choice.excerpt_words
        self.n_texts = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in self.names}
        self.n_failed = self.n_truncated = 0
        self._withheld: Counter[str] = Counter()
        self._like_files: list[str] = []
        self.source_columns = self._source.columns
        self.explanation = self._explanation()

    @property
    def total(self) -> int | None:
        """Number of texts to score; ``None`` if it is not known."""
        return None if self._source.n is None else self._source.n - self._source.bad.n

    @property
    def chunk_size(self) -> int:
        """Number of texts in a chunk."""
        specs = [self._registry.spec("detectors", name) for name in self._detectors]
        if not any("torch" in spec.modules for spec in specs):
            return AT_ONCE["fast"]
        return AT_ONCE["cpu" if self.settings.device == "cpu" else "accelerator"]

    @property
    def _detectors(self) -> tuple[str, ...]:
        return (*self.settings.calibrated, *self.settings.uncalibrated)

    def start(self) -> Engine:
        """Build the detectors, here or in other processes.

        Raises:
            PrlError: a detector cannot be built, or has changed since it was calibrated.
        """
        if self._engine == "ray":
            from paraphrase_rl.detection.ray_engine import RayData

            return RayData(self.settings, self._workers)
        if self._workers > 1:
            return Processes(self.settings, self._workers)
        return InProcess(self.settings, self._registry)

    def items(self) -> Iterator[Item]:
        """Yield the texts, cut as those of the calibration were; rows without a usable text are left out.

        Raises:
            DataError: a row has no usable text, and the policy is to refuse.
        """
        late, seen = BadRowList(), 0
        for item in self._source:
            seen += 1
            if item.problem:
                if self._source.n is None or self._bad_rows == "refuse":
                    late.add(bad_row(item))
                    leave_out(late, seen, self._bad_rows)
                continue
            if len(self._like_files) < _SHOWN_NAMES and named_like_file(item):
                self._like_files.append(item.text)
            yield item if self.excerpt_words is None else replace(item, text=self._choice.cut(item.text))
        self.left_out += late.n
        self._notes += leave_out(late, seen, self._bad_rows)

    def chunks(self, items: Iterator[Item]) -> Iterator[Chunk]:
        """Group texts into chunks."""
        size = self.chunk_size
        while some := list(islice(items, size)):
            yield Chunk(some)

    def decided(
        self, engine: Engine, chunks: Iterator[Chunk]
    ) -> Iterator[tuple[Chunk, list[list[Decision]]]]:
        """Yield each chunk with the decisions on its texts, in order, and count them."""
        waiting: deque[Chunk] = deque()

        def texts() -> Iterator[list[str]]:
            for chunk in chunks:
                waiting.append(chunk)
                yield chunk.unknown

        begun, before = time.monotonic(), self.n_texts
        for decisions in engine.run(texts()):
            chunk = waiting.popleft()
            completed = chunk.completed(decisions)
            self.count(chunk.items, completed)
            yield chunk, completed
            self._report(self._pace(self.n_texts - before, begun), self.n_texts, self.total)

    def count(self, items: Sequence[Item], decisions: Sequence[Sequence[Decision]]) -> None:
        """Add the decisions on some texts to the counts."""
        self.n_texts += len(items)
        for of_text in decisions:
            self.n_failed += any(decision.failure is not None for decision in of_text)
            self.n_truncated += any(decision.truncated is not None for decision in of_text)
            if why := next((d.no_verdict for d in reversed(of_text) if d.no_verdict is not None), None):
                self._withheld[why.partition(":")[0]] += 1
            for decision in of_text:
                counts = self.counts[decision.detector]
                counts["flagged"] += bool(decision.flagged)
                counts["failed"] += decision.failure is not None
                counts["truncated"] += decision.truncated is not None

    def _by_detector(self) -> tuple[DetectorCount, ...]:
        judged = self.settings.calibrated
        return tuple(
            DetectorCount(
                detector=name,
                n_texts=self.n_texts,
                n_flagged=counts["flagged"] if name in judged or name not in self._detectors else None,
                n_failed=counts["failed"],
                n_truncated=counts["truncated"],
            )
            for name, counts in self.counts.items()
        )

    def _all_notes(self) -> list[str]:
        from paraphrase_rl.detection.applicability import without_verdict_notes
        from paraphrase_rl.detection.decision import truncation_note

        notes = [*self._notes, *self._choice.notes]
        notes += [
            f"the text {name!r:.60} is the name of a file; give the file as pathlib.Path({name!r:.60})"
            for name in self._like_files
        ]
        if self.excerpt_words is not None:
            notes.append(self._choice.cut_note)
        notes += without_verdict_notes(self._withheld, self.n_texts, self.settings.force)
        for name, counts in self.counts.items():
            if name in self._detectors and (note := truncation_note(name, counts["truncated"], self.n_texts)):
                notes.append(f"{note}, see the column `truncated`")
        if self.used is not None:
            target = self.settings.target_fpr
            notes += [line for record in self._records for line in record.warnings(target)]
            if self._choice.packaged:
                notes.append(_CALIBRATE)
        if self.settings.uncalibrated:
            notes.append(
                f"no calibration of {', '.join(self.settings.uncalibrated)}: "
                "scores without verdicts; calibrate with `prl calibrate`"
            )
        return notes

    def summary(self, path: Path | None = None, n_before: int = 0) -> ScoreSummary:
        """Return the counts so far, with notes.

        Args:
            path: file of the rows, if they are in one.
            n_before: texts that an earlier call had finished.
        """
        record = self._records[0] if self.used is not None else None
        return ScoreSummary(
            self._by_detector(),
            tuple(self._all_notes()),
            n_texts=self.n_texts,
            n_failed=self.n_failed,
            n_truncated=self.n_truncated,
            n_before=n_before,
            left_out=self.left_out,
            path=path,
            calibration=self.path if record is not None else None,
            texts=record.texts if record is not None else None,
            target_fpr=record.point(self.settings.target_fpr).target_fpr if record is not None else None,
            explanation=self.explanation,
        )

    @property
    def _records(self) -> list[Calibration]:
        """Calibrations used, in the order of the names."""
        saved = self.settings.saved
        known = {c.detector: c for c in saved.records} if saved is not None else {}
        return [known[name] for name in self.names if name in known]

    def _explanation(self) -> tuple[str, ...]:
        if self.used is None:
            return ()
        first, target = self._records[0], self.settings.target_fpr
        lines = [
            f"calibration: {self._choice.origin}fitted on {first.texts.describe()}; "
            "its rates hold for texts drawn like these, and no others"
        ]
        for record in self._records:
            lines.append(record.describe(target))
            if record.elsewhere and record.point(target) == record.target:
                lines.append(record.describe_elsewhere())
        return tuple(lines)

    def _pace(self, done: int, begun: float) -> str:
        """How far the work is, and how fast it goes."""
        rate = done / max(time.monotonic() - begun, 1e-9)
        if self.total is None:
            return f"{self.n_texts:,} texts, {per_second(rate)}"
        left = duration((self.total - self.n_texts) / max(rate, 1e-9))
        return f"{self.n_texts:,} of {self.total:,} texts, {per_second(rate)}, {left} left"
