"""One table of scores by text and detector: filled once, saved in the cache, used wherever detectors are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paraphrase_rl.detection.decision import truncation_note
from paraphrase_rl.detection.fitting import BuiltDetector
from paraphrase_rl.errors import PrlError
from paraphrase_rl.evaluation.cache import Cache, key_of
from paraphrase_rl.files import sha256_text
from paraphrase_rl.plugin.protocols import Detector
from paraphrase_rl.progress import Pace, Report
from paraphrase_rl.types import Failure, Scores, Truncation

_Cut = list[Any]
"""Score of a text of which only the beginning was read: the score, then read, total and unit of its truncation."""
_Known = float | _Cut | Failure

_VALUES = "scores/2"
"""Version of the saved values; those of an earlier one do not say what was cut off."""
CHUNK = 64
"""Number of texts scored by all detectors in turn, so that detectors with the same language model share its pass."""


class ScoreTable:
    """Scores of any texts by some detectors.

    A score is saved under its detector's name, options and models and the digest of its text, so that a text is scored
    once. A failure is remembered by this object only; the next table tries again.

    Args:
        detectors: the columns, names unique.
        cache: where scores are saved.
        report: function that shows one line of progress.
    """

    def __init__(self, detectors: Sequence[BuiltDetector], cache: Cache, report: Report) -> None:
        self._columns = [_Column(built, cache) for built in detectors]
        self._report = report

    @property
    def truncation_notes(self) -> list[str]:
        """Say for each detector of how many of the texts that it scored it read only the beginning, if of any."""
        return [note for column in self._columns if (note := truncation_note(column.name, *column.cut))]

    def score(self, texts: Sequence[str], what: str) -> dict[str, Scores]:
        """Score texts; if a call fails as a whole, each of its texts gets a Failure.

        Args:
            texts: N texts.
            what: description of the texts, for the progress report.

        Returns:
            Scores of shape (N,) by detector.
        """
        digests = [sha256_text(text) for text in texts]
        known = [column.known(digests) for column in self._columns]
        if texts:
            cells = len(texts) * len(known)
            saved = sum(digest in there for there in known for digest in digests)
            self._report(
                f"{what}: {len(texts)} texts x {len(known)} detectors, {saved} of {cells} scores cached"
            )
        pace = Pace(self._report)
        for done in range(CHUNK, len(texts) + CHUNK, CHUNK):
            chunk = dict(zip(digests[done - CHUNK : done], texts[done - CHUNK : done], strict=True))
            for column, there in zip(self._columns, known, strict=True):
                there |= column.score({k: text for k, text in chunk.items() if k not in there})
            pace.at(done, len(texts), f"{done} of {len(texts)} texts scored")
        return {
            column.name: _in_order([there[digest] for digest in digests])
            for column, there in zip(self._columns, known, strict=True)
        }


class _Column:
    """One detector's scores by the digest of a text."""

    def __init__(self, built: BuiltDetector, cache: Cache) -> None:
        self.name = built.name
        self._detector = built.detector
        self._identity = key_of(_VALUES, built.name, dict(built.options), dict(built.detector.provenance()))
        self._cache = cache
        self._failed: dict[str, Failure] = {}
        self._cut: dict[str, bool] = {}

    @property
    def cut(self) -> tuple[int, int]:
        """Numbers of texts: those of which only the beginning was read, and all that have a score."""
        return sum(self._cut.values()), len(self._cut)

    def known(self, digests: Sequence[str]) -> dict[str, _Known]:
        """What was computed before of these texts."""
        found: dict[str, _Known] = {d: self._failed[d] for d in digests if d in self._failed}
        saved = self._cache.get([(self._identity, digest) for digest in digests])
        there = {d: value for d, value in zip(digests, saved, strict=True) if value is not None}
        self._count(there)
        return found | there

    def score(self, texts: Mapping[str, str]) -> dict[str, _Known]:
        """Score texts, given by digest, and save what is known of them now."""
        if not texts:
            return {}
        scores = _scored(self.name, self._detector, list(texts.values()))
        digests = list(texts)
        failed = {digests[f.index]: replace(f, owner=self.name) for f in scores.failures}
        values: dict[str, float | _Cut] = {
            d: v for d, v in zip(digests, scores.values.tolist(), strict=True) if d not in failed
        }
        for cut in scores.truncated:
            if (digest := digests[cut.index]) in values:
                values[digest] = [values[digest], cut.read, cut.total, cut.unit]
        self._count(values)
        self._failed |= failed
        self._cache.add(((self._identity, digest), value) for digest, value in values.items())
        return {**values, **failed}

    def _count(self, values: Mapping[str, float | _Cut]) -> None:
        self._cut |= {digest: isinstance(value, list) for digest, value in values.items()}


def _in_order(found: Sequence[_Known]) -> Scores:
    values = [
        np.nan if isinstance(one, Failure) else one[0] if isinstance(one, list) else one for one in found
    ]
    failures = (replace(one, index=i) for i, one in enumerate(found) if isinstance(one, Failure))
    truncated = (
        Truncation(index=i, read=one[1], total=one[2], unit=one[3])
        for i, one in enumerate(found)
        if isinstance(one, list)
    )
    return Scores(np.array(values, dtype=np.float64), tuple(failures), tuple(truncated))


def _scored(name: str, detector: Detector, texts: Sequence[str]) -> Scores:
    try:
        return detector.score(texts)
    except PrlError as error:
        failure = Failure(index=0, owner=name, kind="failed", message=error.one_line)
    return Scores(np.full(len(texts), np.nan), tuple(replace(failure, index=i) for i in range(len(texts))))
