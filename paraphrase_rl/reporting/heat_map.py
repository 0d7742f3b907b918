"""The heat map of a report: how many AI texts each detector flags after each rewriter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.evaluation.results import ORIGINAL, DetectorInfo, Point, Results, RewriterInfo

HEAT_LEVELS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One rewriter against one detector at the target false positive rate; ``level`` 0 to 5 is its shade."""

    point: Point | None
    failure: str | None
    failed: int
    texts: int

    @property
    def level(self) -> int | None:
        value = None if self.point is None else self.point.tpr_after.value
        return None if value is None else min(int(value * HEAT_LEVELS), HEAT_LEVELS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Rows are rewriters; columns are detectors, those of the ensemble first, held-out ones after."""

    detectors: Sequence[DetectorInfo]
    rows: Sequence[tuple[RewriterInfo, Sequence[HeatCell]]]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Return the headings over the columns, each with the number of columns below it."""
        seen = sum(d.trained_against for d in self.detectors)
        parts = [("trained against", seen), ("held out", len(self.detectors) - seen)]
        return [(name, count) for name, count in parts if count]

    @property
    def failures(self) -> list[str]:
        """List the failure messages, each once, with the rewriters and detectors concerned."""
        found: dict[str, list[str]] = defaultdict(list)
        for rewriter, cells in self.rows:
            if rewriter.failure:
                found[rewriter.failure].append(rewriter.label)
                continue
            for detector, cell in zip(self.detectors, cells, strict=True):
                if cell.failure and not detector.failure:
                    many = f" ({cell.failed} of {cell.texts})" if cell.failed else ""
                    found[cell.failure].append(f"{rewriter.label} × {detector.name}{many}")
        for detector in self.detectors:
            if detector.failure:
                found[detector.failure].append(detector.name)
        return [f"{', '.join(who)}: {why}" for why, who in found.items()]

    @property
    def without_power(self) -> list[str]:
        """List the detectors not known to flag the original AI texts more often than the target false positive rate."""
        clean = next((cells for rewriter, cells in self.rows if rewriter.label == ORIGINAL), ())
        return [
            detector.name
            for detector, cell in zip(self.detectors, clean, strict=bool(clean))
            if cell.point
            and cell.point.tpr_before.low is not None
            and cell.point.tpr_before.low <= cell.point.target_fpr
        ]


def detectors_in_order(results: Results) -> list[DetectorInfo]:
    """Return the detectors of the results: the ensemble first, then those trained against, then the others."""
    return sorted(results.detectors, key=lambda d: (not d.trained_against, d.name != COMBINED))


def family_name(detector: DetectorInfo) -> str:
    """Return the family of a detector; "taken together" for the ensemble."""
    return "taken together" if detector.name == COMBINED else detector.family


def heat_map(results: Results) -> HeatMap:
    """Build the heat map of an evaluation."""
    detectors = detectors_in_order(results)
    rows = []
    for rewriter in results.rewriters:
        cells = []
        for detector in detectors:
            cell = results.cell(rewriter.label, detector.name)
            absent = rewriter.failure or detector.failure or (None if cell else "not evaluated")
            cells.append(
                HeatCell(
                    point=results.point(rewriter.label, detector.name, results.about.target_fpr),
                    failure=cell.failure if cell else absent,
                    failed=cell.failed if cell else 0,
                    texts=cell.texts if cell else 0,
                )
            )
        rows.append((rewriter, cells))
    return HeatMap(detectors=detectors, rows=rows)
