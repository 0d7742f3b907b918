"""The quality of the rewrites of an evaluation: measured chunk by chunk, saved in the cache, averaged by document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from paraphrase_rl import __version__
from paraphrase_rl.errors import PrlError, one_line
from paraphrase_rl.evaluation.cache import Cache, Key
from paraphrase_rl.evaluation.plan import Plan
from paraphrase_rl.evaluation.quality import ChosenMetric, QualityMeasures, build_quality, choose_metrics
from paraphrase_rl.evaluation.results import Quality
from paraphrase_rl.evaluation.scores import Scored
from paraphrase_rl.files import sha256_text
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.statistics.bootstrap import Resamples, estimate_mean
from paraphrase_rl.types import Document, Rewrite

CHUNK = 64

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Measured:
    """The metrics of one rewrite.

    Attributes:
        metrics: values by name, ``None`` if a metric is not known or does not apply; empty if there is no rewrite.
        failed: names of the metrics that could not be computed.
    """

    metrics: Metrics = field(default_factory=dict)
    failed: frozenset[str] = frozenset()


@dataclass
class Measurer:
    """Measures rewrites; the metrics are built when the first rewrite is not in the cache.

    Attributes:
        plan: plan of the evaluation, which says the metrics.
        registry: where the metrics come from.
        context: context that the metrics are built with.
        cache: metrics of rewrites measured before.
        report: function that shows one line of progress.
        notes: why something could not be measured.
    """

    plan: Plan
    registry: Registry
    context: Context
    cache: Cache
    report: Report
    notes: list[str] = field(default_factory=list)
    _built: QualityMeasures | None = None

    @cached_property
    def metrics(self) -> Sequence[ChosenMetric]:
        """Metrics of the recipe, in the order of the tables.

        Raises:
            PrlError: the recipe names an unknown metric, or gives it wrong options.
        """
        return choose_metrics(self.plan.recipe, self.registry)

    def measure(self, scored: Scored) -> list[Measured]:
        """Measure each row of a rewriter; a row without a rewrite has no metrics."""
        rows = scored.rewritten
        found = self._remembered(
            scored.rewriter, [source for _, source, _ in rows], [made for _, _, made in rows]
        )
        measured = [Measured() for _ in scored.rows]
        for (i, _, _), one in zip(rows, found, strict=True):
            measured[i] = one
        return measured

    def _remembered(
        self, label: str, sources: Sequence[Document], rewrites: Sequence[Rewrite]
    ) -> list[Measured]:
        """The metrics of each rewrite. Those without a failure are remembered."""
        pairs = list(zip(sources, rewrites, strict=True))
        ids = [(source.text, rewrite.text, rewrite.finished) for source, rewrite in pairs]
        first = {one: i for i, one in reversed(list(enumerate(ids)))}
        saved = self.cache.get([self._key(*pairs[i]) for i in first.values()])
        found = {
            one: Measured(metrics) for one, metrics in zip(first, saved, strict=True) if metrics is not None
        }
        missing = sorted(i for one, i in first.items() if one not in found)
        if rewrites:
            self.report(f"quality: {label}: {len(ids)} rewrites, {len(first) - len(missing)} cached")
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            try:
                rows = self._measure([sources[i] for i in chunk], [rewrites[i] for i in chunk])
            except PrlError as error:
                self._note(f"quality of {label} is not measured: {error.one_line}")
                break
            except Exception as error:
                self._note(f"quality of {label} is not measured: {one_line(error)}")
                break
            measured = list(zip(chunk, rows, strict=True))
            found |= {ids[i]: row for i, row in measured}
            self.cache.add((self._key(*pairs[i]), row.metrics) for i, row in measured if not row.failed)
        return [found.get(one, Measured()) for one in ids]

    def build(self) -> QualityMeasures:
        """Build the metrics, once.

        Raises:
            PrlError: a metric that the recipe asks for cannot be used.
        """
        if self._built is None:
            self._built = build_quality(self.metrics, self.registry, self.context)
        return self._built

    def _key(self, source: Document, rewrite: Rewrite) -> Key:
        return (
            __version__,
            [metric.identity() for metric in self.metrics],
            self.plan.recipe.prompt.instruction,
            sha256_text(source.text),
            sha256_text(rewrite.text),
            rewrite.finished,
        )

    def _measure(self, sources: Sequence[Document], rewrites: Sequence[Rewrite]) -> list[Measured]:
        table, failures = self.build()(sources, rewrites, self.plan.recipe.prompt.instruction)
        failed: defaultdict[int, set[str]] = defaultdict(set)
        for failure in failures:
            failed[failure.index].add(failure.owner)
        for owner in dict.fromkeys(failure.owner for failure in failures):
            reasons = Counter(failure.message for failure in failures if failure.owner == owner)
            self._note(f"{owner} could not be measured for some rewrites: {reasons.most_common(1)[0][0]}")
        return [
            Measured(
                {
                    name: float(values[i]) if np.isfinite(values[i]) else None
                    for name, values in table.items()
                },
                frozenset(failed[i]),
            )
            for i in range(len(rewrites))
        ]

    def _note(self, message: str) -> None:
        if message not in self.notes:
            self.notes.append(message)


def mean_quality_rows(scored: Scored, measured: Sequence[Measured], drawn: Resamples) -> list[Quality]:
    """Compute the mean of each metric with its interval, resampling documents.

    A metric that does not apply to a rewrite (numbers preserved of a text without numbers) is left out of its mean and
    is no failure.

    Args:
        scored: R rewrites of N texts by one rewriter.
        measured: metrics of each rewrite.
        drawn: draws of the texts.
    """
    names = list(dict.fromkeys(name for row in measured for name in row.metrics))
    values = {
        name: np.array([row.metrics.get(name) for row in measured], dtype=np.float64)  # None becomes NaN
        for name in names
    }
    return [
        Quality(
            rewriter=scored.rewriter,
            metric=name,
            estimate=estimate_mean(values[name], drawn.rows(scored.positions)),
            failed=sum(name not in row.metrics or name in row.failed for row in measured),
        )
        for name in names
    ]
