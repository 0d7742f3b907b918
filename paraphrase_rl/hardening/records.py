"""Results of a hardening, as saved in its ``results.json``.

The folder of a hardening holds:

``results.json``      this page's :class:`Hardening`
``calibration.json``  calibration of the hardened detector, for ``prl score --calibration``
``detector/``         the hardened detector
``before/``           the same detector, trained on the same texts without rewrites
``cache/``            rewrites made so far
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from pydantic import Field

from paraphrase_rl.evaluation.results import RewriterInfo
from paraphrase_rl.statistics.bootstrap import too_few_humans
from paraphrase_rl.statistics.records import (
    Estimate,
    FairnessGap,
    FalsePositives,
    Record,
    SavedRecord,
    at_rate,
)
from paraphrase_rl.tables import Tabular, Titled

Met = Literal["original", "seen", "unseen"]
"""Kind of test texts: not rewritten; rewritten as in the detector's training; rewritten in another way."""


class Detection(Record):
    """The share of AI texts that are flagged, by the detector before and after hardening, each at its own threshold."""

    target_fpr: float
    before: Estimate
    after: Estimate
    change: Estimate = Field(description="after minus before, on the same texts")


class Defence(Record):
    """Shares flagged by both detectors of the AI test texts after one rewriter."""

    rewriter: str
    met: Met
    points: tuple[Detection, ...] = ()
    auroc_before: Estimate = Field(description="against human test texts, never rewritten")
    auroc_after: Estimate
    auroc_change: Estimate
    texts: int = Field(ge=0, description="AI test texts")
    failed: int = Field(0, ge=0, description="of them, those without a rewrite or a score")
    failure: str | None = Field(None, description="the commonest reason")


class OnHumans(Record):
    """False positives of a detector on the human test texts, and the gaps between groups."""

    false_positives: tuple[FalsePositives, ...]
    fairness: tuple[FairnessGap, ...]


class TrainedOn(Record):
    """The texts of the train split that the hardened detector was trained on."""

    human: int
    ai: int
    rewrites: dict[str, int] = Field(description="rewrites of those AI texts, by rewriter")
    failed: dict[str, int] = Field(description="texts without one")
    left_out: int = Field(0, description="train texts with a pair or near duplicate in another split")


class Hardening(Tabular, SavedRecord):
    """Every table of a hardening. ``to_pandas()`` has a line for each kind of texts, at the target rate."""

    FILE = "results.json"
    MISSING = "holds no hardening"
    COMMAND = "prl harden DETECTOR"

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
    calibration_texts: int = Field(0, ge=0, description="human texts that thresholds were fixed on")
    trained_on: TrainedOn
    provenance_before: dict[str, str]
    provenance_after: dict[str, str]
    defence: tuple[Defence, ...]
    humans_before: OnHumans
    humans_after: OnHumans
    about_texts: tuple[str, ...] = Field(
        (), description="notes on the data set, and on texts of which only the beginning was read"
    )
    seconds: float
    versions: dict[str, str]

    @property
    def notes(self) -> list[str]:
        """List failures and limits, one line each."""
        taught, found = self.trained_on, []
        if taught.left_out:
            found.append(
                f"{taught.left_out} train texts are left out: a text of another split is of the same pair, or a near "
                "duplicate"
            )
        found += [
            f"{n} train texts could not be rewritten with {label}" for label, n in taught.failed.items() if n
        ]
        if self.calibration_texts and (why := too_few_humans(self.target_fpr, self.calibration_texts)):
            found.append(why)
        found += [
            f"{row.failed} of {row.texts} test texts of {row.rewriter} are left out: {row.failure}"
            for row in self.defence
            if row.failed
        ]
        return found + list(self.about_texts)

    def flat_rows(self) -> list[dict[str, object]]:
        """Return rows for AI texts by rewriter, human texts by rewriter and group, and gaps, at the target rate."""
        return [
            {
                "texts": line.texts,
                "met": line.met,
                "n": line.before.n,
                **_with_bounds("before", line.before),
                **_with_bounds("after", line.after),
                **_with_bounds("change", line.change),
                **_with_bounds("auroc_before", line.of_ai.auroc_before if line.of_ai else None),
                **_with_bounds("auroc_after", line.of_ai.auroc_after if line.of_ai else None),
                **_with_bounds("auroc_change", line.of_ai.auroc_change if line.of_ai else None),
            }
            for line in self._lines()
        ]

    def shown_rows(self) -> list[dict[str, object]]:
        """Return the shares flagged of :meth:`flat_rows` for display: numbers as text, with their intervals."""
        return [
            {
                "texts": f"{line.texts} ({line.met})",
                "n": line.before.n,
                "before": line.before.shown(),
                "after": line.after.shown(),
                "change": line.change.shown() if line.of_ai else None,
            }
            for line in self._lines()
        ]

    def shown_areas(self) -> list[dict[str, object]]:
        """Return the AUROC of AI texts by rewriter against the original human texts, for display."""
        return [
            {
                "texts": f"AI, {row.rewriter} ({row.met})",
                "AUROC before": row.auroc_before.shown(3),
                "after": row.auroc_after.shown(3),
                "change": row.auroc_change.shown(3),
            }
            for row in self.defence
        ]

    def _lines(self) -> Iterator[_Line]:
        for row in self.defence:
            for point in at_rate(row.points, self.target_fpr):
                yield _Line(f"AI, {row.rewriter}", row.met, point.before, point.after, point.change, row)
        met = {row.rewriter: row.met for row in self.defence}
        before, after = (
            _on_humans(table, self.target_fpr) for table in (self.humans_before, self.humans_after)
        )
        for (rewriter, texts, then), (_, _, now) in zip(before, after, strict=True):
            change = None if then.value is None or now.value is None else now.value - then.value
            yield _Line(texts, met[rewriter], then, now, Estimate(value=change, n=then.n))

    def _shown(self) -> Titled:
        at = f"false positive rate {self.target_fpr:g}"
        heading = f"Hardening of {self.detector}: share flagged before and after, {at}"
        return Titled(tuple(self.shown_rows()), notes=tuple(self.notes), heading=heading)


class _Line(NamedTuple):
    """Shares flagged of some texts; the change of human texts has no interval."""

    texts: str
    met: Met
    before: Estimate
    after: Estimate
    change: Estimate
    of_ai: Defence | None = None


def _on_humans(table: OnHumans, target_fpr: float) -> list[tuple[str, str, Estimate]]:
    """False positive rates and gaps, each behind its rewriter and what the table calls it."""
    return [
        (r.rewriter, f"human, {r.rewriter}, {r.group}{_cut(r.words)}", r.rate)
        for r in at_rate(table.false_positives, target_fpr)
        if r.threshold == "deployed"
    ] + [
        (
            g.rewriter,
            f"gap, {g.rewriter}, {g.group} - {g.reference}{_cut(g.words)}"
            + ("" if g.threshold == "deployed" else f", threshold of {g.reference}"),
            g.gap,
        )
        for g in at_rate(table.fairness, target_fpr)
    ]


def _cut(words: int | None) -> str:
    return "" if words is None else f", {words} words"


def _with_bounds(name: str, estimate: Estimate | None) -> dict[str, object]:
    value, low, high = (None, None, None) if estimate is None else (estimate.value, *estimate.interval)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
