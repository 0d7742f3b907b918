"""Scores in a file that a second call continues."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

from paraphrase_rl.api.resumable_file import DIGEST, Held, ResumableFile
from paraphrase_rl.api.score_rows import columns_of, mappings_of, score_rows
from paraphrase_rl.api.text_scoring import Chunk, Scoring
from paraphrase_rl.data.items import Item
from paraphrase_rl.detection.decision import Decision
from paraphrase_rl.detection.engines import Engine
from paraphrase_rl.errors import UsageError
from paraphrase_rl.files import sha256_text
from paraphrase_rl.formats import LineFormat, RowFormat, row_format
from paraphrase_rl.text.canonical import RULE
from paraphrase_rl.types import Failure, Truncation


def format_of(path: Path, given: LineFormat | None) -> LineFormat:
    """Return the format that was given, or else that of the file's name.

    Raises:
        UsageError: there is no such format.
    """
    known: tuple[LineFormat, ...] = get_args(LineFormat)
    name = given if given is not None else path.suffix.lower().removeprefix(".")
    for form in known:
        if name == form:
            return form
    raise UsageError(
        f"{path}: scores cannot be written to a file as {name!r:.20}",
        f"name the file with .jsonl or .csv, or give the format: {' or '.join(known)}",
    )


def write_scores(scoring: Scoring, path: Path, form: LineFormat, wide: bool) -> int:
    """Score texts into a file, beginning behind those that it holds.

    Returns:
        Number of texts that an earlier call had scored.

    Raises:
        PrlError: see :func:`paraphrase_rl.api.scoring.score_file`.
    """
    columns = columns_of(scoring.names, scoring.source_columns, wide)
    rows = row_format(form, columns)
    engine = scoring.start()
    try:
        settings = _settings(scoring, engine.provenance())
        settings |= {"format": form, "wide": wide, "columns": columns if form == "csv" else None}
        with ResumableFile(path, settings, rows.header()) as file:
            return _Continued(scoring, file, rows, wide).write(engine)
    finally:
        engine.close()


def _settings(scoring: Scoring, provenance: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    """All that a score and a verdict depend on besides the text."""
    used = scoring.settings
    saved = used.saved.calibrations if used.saved is not None else ()
    options = {c.detector: c.options for c in saved if c.detector in used.calibrated}
    return {
        "detectors": list(scoring.names),
        "calibration": None if used.saved is None else sha256_text(used.saved.model_dump_json()),
        "options": {**options, **used.uncalibrated},
        "models": provenance,
        "target_fpr": used.target_fpr,
        "force": used.force,
        "excerpt_words": scoring.excerpt_words,
        "canonical_text": RULE,
    }


class _Continued:
    """Writing of a file of scores from where it ends."""

    def __init__(self, scoring: Scoring, file: ResumableFile, rows: RowFormat, wide: bool) -> None:
        self._scoring, self._file, self._rows, self._wide = scoring, file, rows, wide
        self._before = 0

    def write(self, engine: Engine) -> int:
        """Write the rows of all texts that the file does not hold; returns how many texts were known before."""
        scoring = self._scoring
        chunks = map(self._recognised, scoring.chunks(self._behind(scoring.items())))
        for chunk, decisions in scoring.decided(engine, chunks):
            self._file.append(self._lines(chunk.items, decisions), _held(chunk.items, decisions))
        return self._before

    def _behind(self, items: Iterator[Item]) -> Iterator[Item]:
        """The texts behind those that the file holds; its parts from the first difference on are cut off."""
        for count, part in enumerate(self._file.parts):
            some = list(islice(items, part.n))
            held = self._file.read(part)
            if len(some) < part.n or _digests(some) != held.texts or _checksums(some) != held.rows:
                self._file.cut(count)
                return chain(some, items)
            self._before += part.n
            self._scoring.count(some, [self._unpacked(result) for result in held.results])
        return items

    def _recognised(self, chunk: Chunk) -> Chunk:
        """The chunk with the decisions on texts that were in a part that was cut off."""
        if not self._file.was_cut:
            return chunk
        digests = _digests(chunk.items)
        found = self._file.known([digests[i : i + DIGEST] for i in range(0, len(digests), DIGEST)])
        if any(result is not None for result in found):
            chunk.known = [[] if result is None else self._unpacked(result) for result in found]
            self._before += sum(map(bool, chunk.known))
        return chunk

    def _lines(self, items: Sequence[Item], decisions: Sequence[Sequence[Decision]]) -> str:
        return self._rows.lines(mappings_of(map(score_rows, items, decisions), self._wide))

    def _unpacked(self, results: Sequence[Sequence[Any]]) -> list[Decision]:
        return [_decision(name, *result) for name, result in zip(self._scoring.names, results, strict=True)]


def _digests(items: Sequence[Item]) -> bytes:
    """Digests of the canonical texts, one behind the other."""
    return b"".join(
        hashlib.blake2b(item.text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()
        for item in items
    )


def _checksums(items: Sequence[Item]) -> bytes:
    """Checksums of ids and further columns, one behind the other."""
    shown = (repr((item.id, item.columns)).encode("utf-8", "surrogatepass") for item in items)
    return struct.pack(f"<{len(items)}I", *map(zlib.crc32, shown))


def _held(items: Sequence[Item], decisions: Sequence[Sequence[Decision]]) -> Held:
    return Held(_digests(items), _checksums(items), [list(map(_packed, of_text)) for of_text in decisions])


def _packed(decision: Decision) -> list[Any]:
    """What cannot be computed again without scoring, as values of JSON."""
    found: list[Any] = [decision.score, decision.p_ai, decision.threshold, decision.flagged]
    failure, cut = decision.failure, decision.truncated
    if failure is not None or cut is not None or decision.no_verdict is not None:
        found.append(None if failure is None else [failure.owner, failure.kind, failure.message])
        found.append(None if cut is None else [cut.read, cut.total, cut.unit])
        found.append(decision.no_verdict)
    return found


def _decision(
    detector: str,
    score: float | None,
    p_ai: float | None,
    threshold: float | None,
    flagged: bool | None,
    failure: Sequence[str] | None = None,
    cut: Sequence[Any] | None = None,
    no_verdict: str | None = None,
) -> Decision:
    """The decision that was packed."""
    known = None
    if failure is not None:
        known = Failure(index=0, owner=failure[0], kind=failure[1], message=failure[2])
    read = None if cut is None else Truncation(index=0, read=cut[0], total=cut[1], unit=cut[2])
    return Decision(
        index=0,
        detector=detector,
        score=score,
        p_ai=p_ai,
        threshold=threshold,
        flagged=flagged,
        failure=known,
        truncated=read,
        no_verdict=no_verdict,
    )
