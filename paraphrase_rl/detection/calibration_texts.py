"""Texts that a calibration was fitted on, those that it holds for, and those of other kinds it was tried on."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from paraphrase_rl.files import sha256_texts
from paraphrase_rl.text.language import is_english_prose
from paraphrase_rl.text.length import count_words
from paraphrase_rl.types import Document


class Record(BaseModel):
    """Part of a calibration file: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Record):
    """Texts that a calibration holds for at most; others get a score, and neither P(AI) nor a verdict."""

    least_words: int = Field(ge=1)
    most_words: int = Field(ge=1, description="after the cut to excerpts")
    language: Literal["en"] = "en"

    def outside(self, text: str) -> str | None:
        """Say why a text lies outside of these limits; ``None`` for a text within them."""
        words = count_words(text)
        if not self.least_words <= words <= self.most_words:
            return f"length: {words} words, and the calibration holds for {self.least_words} to {self.most_words}"
        if not is_english_prose(text):
            return "language: not English prose, and the calibration holds for nothing else"
        return None


class CalibrationTexts(Record):
    """Texts that a calibration was fitted on; it holds for texts like these."""

    source: str = Field(description="data set")
    split: str = "calibration"
    digest: str = Field(description="SHA-256 of the texts with their labels, in order")
    median_words: int = Field(ge=0, description="median length of the human texts")
    excerpt_words: int | None = Field(None, description="every text is an excerpt of at most so many words")
    limits: Limits | None = None
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
    flagged: int = Field(ge=0)

    def describe(self) -> str:
        """Describe the count in a phrase, for messages."""
        return f"{self.flagged} of {self.n_human} {self.texts}"
