"""What a hardening did, as kept in its ``results.json``.

The folder of a hardening holds:

``results.json``      this page's :class:`Hardening`
``calibration.json``  of the hardened detector; what ``prl score --calibration`` takes
``detector/``         the hardened detector
``before/``           the same detector, trained on the same texts without rewrites
``cache/``            rewrites made so far
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from paraphrase_rl.evaluation.results import RewriterInfo
from paraphrase_rl.statistics.records import (
    Estimate,
    FairnessGap,
    FalsePositives,
    Record,
    read_record,
    write_record,
)

Met = Literal["untouched", "seen", "unseen"]
"""How a detector met the rewrites it is tested on: none were made; it was trained on such; it was not."""


class Detection(Record):
    """The share of AI texts that are flagged, by the detector before and after hardening, each at its own threshold."""

    target_fpr: float
    before: Estimate
    after: Estimate
    change: Estimate = Field(description="after minus before, on the same texts")


class Defence(Record):
    """How the detector fares on the AI test texts as one rewriter left them."""

    rewriter: str
    met: Met
    points: tuple[Detection, ...] = ()
    auroc_before: Estimate = Field(description="against human test texts, never rewritten")
    auroc_after: Estimate
    auroc_change: Estimate
    texts: int = Field(ge=0, description="AI test texts")
    failed: int = Field(0, ge=0, description="of them, those without a rewrite or a score")
    failure: str | None = Field(None, description="the commonest reason")


class Accused(Record):
    """Whom the detector wrongly accuses."""

    false_positives: tuple[FalsePositives, ...]
    fairness: tuple[FairnessGap, ...]


class TrainedOn(Record):
    """The texts of the train split that the hardened detector was trained on."""

    human: int
    ai: int
    rewrites: dict[str, int] = Field(description="rewrites of those AI texts, by rewriter")
    failed: dict[str, int] = Field(description="texts without one")
    left_out: int = Field(0, description="train texts that belong to a pair with texts of another split")


class Hardening(Record):
    """Every table of a hardening."""

    format: Literal[1] = 1
    detector: str
    options: dict[str, Any]
    rewriters: tuple[RewriterInfo, ...]
    run: str | None
    source: str
    digest: str = Field(description="of the data set")
    excerpt_words: int | None
    seed: int
    resamples: int
    target_fpr: float
    trained_on: TrainedOn
    provenance_before: dict[str, str]
    provenance_after: dict[str, str]
    defence: tuple[Defence, ...]
    accused_before: Accused
    accused_after: Accused
    seconds: float
    versions: dict[str, str]

    def write(self, folder: Path) -> None:
        """Keep it, whole or not at all."""
        write_record(self, folder / "results.json")

    @classmethod
    def read(cls, folder: Path) -> Hardening:
        """What :meth:`write` wrote.

        Raises:
            EvaluationError: there is none, or it is damaged.
        """
        return read_record(cls, folder / "results.json", "holds no hardening", "prl harden DETECTOR")
