"""Texts that a calibration was fitted on, those that it holds for, and those of other kinds it was tried on."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from paraphrase_rl.detection.threshold import OperatingPoint
from paraphrase_rl.files import sha256_texts
from paraphrase_rl.text.language import is_english_prose
from paraphrase_rl.text.length import count_words
from paraphrase_rl.text.style import script
from paraphrase_rl.types import Document

_ENGLISH = 0.95


class Record(BaseModel):
    """Part of a calibration file: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Record):
    """Texts that a calibration holds for at most; others are outside."""

    least_words: int = Field(ge=0)
    most_words: int = Field(ge=1, description="after the cut to excerpts")
    scripts: tuple[str, ...] = Field(description="script of most letters of a text; empty = any")
    language: Literal["en"] | None = Field(description="en = English prose; None = not known")

    @classmethod
    def of(cls, texts: Sequence[str]) -> Limits:
        """Set limits that hold all of some texts: their lengths, scripts, and English if 95 % are English prose."""
        words = [count_words(text) for text in texts] or [0]
        english = sum(map(is_english_prose, texts)) >= _ENGLISH * max(len(texts), 1)
        return cls(
            least_words=min(words),
            most_words=max(1, *words),
            scripts=tuple(sorted({found for text in texts if (found := script(text)) is not None})),
            language="en" if texts and english else None,
        )

    def outside(self, text: str) -> str | None:
        """Say why a text lies outside of these limits; ``None`` for a text within them."""
        words = count_words(text)
        if not self.least_words <= words <= self.most_words:
            return f"length: {words} words, and the calibration holds for {self.least_words} to {self.most_words}"
        found = script(text)
        if self.scripts and found is not None and found not in self.scripts:
            return f"script: {found}, and the calibration holds for {', '.join(self.scripts)}"
        if self.language is not None and not is_english_prose(text):
            return "language: not English prose, and the calibration holds for nothing else"
        return None


class CalibrationTexts(Record):
    """Texts that a calibration was fitted on; it holds for texts like these."""

    source: str = Field(description="data set")
    split: str = "calibration"
    digest: str = Field(description="SHA-256 of the texts with their labels, in order")
    median_words: int = Field(ge=0, description="median length of the human texts")
    excerpt_words: int | None = Field(None, description="every text is an excerpt of at most so many words")
    limits: Limits = Field(description="texts that it holds for at most")
    left_out: int = Field(
        0, ge=0, description="texts of the split that were not used, because a detector was trained on them"
    )

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        *,
        source: str,
        excerpt_words: int | None = None,
        left_out: int = 0,
    ) -> CalibrationTexts:
        """Summarise the documents of a calibration in one record; the digest depends on their order."""
        lengths = array("L", (count_words(d.text) for d in documents if d.label == "human"))
        return cls(
            source=source,
            digest=sha256_texts(f"{d.label}\t{d.text}" for d in documents),
            median_words=round(median(lengths)) if lengths else 0,
            excerpt_words=excerpt_words,
            limits=Limits.of([d.text for d in documents if d.label is not None]),
            left_out=left_out,
        )

    def describe(self) -> str:
        """Describe the texts in a phrase, for messages."""
        cut = f", cut to at most {self.excerpt_words} words" if self.excerpt_words else ""
        return f"{self.source} ({self.split} split, median {self.median_words} words{cut})"


class Elsewhere(Record):
    """Human texts of another kind than those calibrated on, and how many of them the target threshold flags."""

    texts: str
    digest: str = Field(description="SHA-256 of the texts, in order")
    n_human: int = Field(ge=1)
    withheld: int = Field(ge=0, description="texts that are outside, and get no verdict")
    flagged: int = Field(ge=0, description="of the others")

    def describe(self) -> str:
        """Describe the counts in a phrase, for messages."""
        none = f" ({self.withheld} more are outside)" if self.withheld else ""
        return f"{self.flagged} of {self.n_human - self.withheld} {self.texts}{none}"


class Population(Record):
    """Human texts of one of several populations that a calibration was fitted on."""

    name: str = Field(description="data set")
    n_human: int = Field(ge=2)
    points: tuple[OperatingPoint, ...] = Field(
        min_length=1, description="thresholds of this population alone, for the rates of the calibration"
    )
    flagged: tuple[int, ...] = Field(description="texts above the deployed threshold of each rate")
