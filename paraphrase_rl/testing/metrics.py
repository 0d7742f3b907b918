"""The contract of a metric, as tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from paraphrase_rl.testing.base import ODD_TEXTS, Contract, check_failures
from paraphrase_rl.testing.rewards import SOURCE
from paraphrase_rl.types import Document, FloatArray, Measurements, RewardBatch

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import Metric
    from paraphrase_rl.plugin.specs import MetricSpec


class MetricContract(Contract):
    """Base of the tests of a metric: inherit, and define :meth:`make`, :attr:`spec` and :attr:`rewrites`.

    Attributes:
        spec: spec of the metric under test.
        rewrites: at least two rewrites of :attr:`source` that have different values, the better one first if the spec
            says which is better.
        source: document that was rewritten.
    """

    spec: ClassVar[MetricSpec]
    rewrites: ClassVar[Sequence[str]] = ()
    source: ClassVar[Document] = Document(id="source", text=SOURCE, label="ai")

    def metric(self) -> Metric:
        """The metric under test."""
        metric: Metric = self.component()
        return metric

    def batch(self, rewrites: Sequence[str]) -> RewardBatch:
        """Rewrites of :attr:`source`, all finished."""
        return RewardBatch(
            sources=[replace(self.source, id=f"source-{i}") for i in range(len(rewrites))],
            rewrites=list(rewrites),
            finished=[True] * len(rewrites),
            instruction="Paraphrase the following text.",
        )

    def measure(self, batch: RewardBatch) -> Measurements:
        """Call the metric and check the form of its result."""
        found = self.metric()(batch)
        assert isinstance(found, Measurements), f"returned {type(found).__name__}, not Measurements"
        assert self.spec.name in found.values, f"{self.spec.name} is not among {sorted(found.values)}"
        for name, values in found.values.items():
            assert values.shape == (len(batch),), f"{name}: shape {values.shape} for {len(batch)} rewrites"
        low, high = self.spec.range
        known = found.values[self.spec.name]
        known = known[~np.isnan(known)]
        assert ((known >= low) & (known <= high)).all(), f"values outside {self.spec.range}: {known}"
        check_failures(found.failures, len(batch))
        return found

    def values(self, batch: RewardBatch) -> FloatArray:
        """Return the values of the metric under test, without those computed together with it."""
        return self.measure(batch).values[self.spec.name]

    def everything(self) -> RewardBatch:
        """All of :attr:`rewrites` in one batch."""
        assert len(self.rewrites) > 1, "give `rewrites`: two or more with different values, the better first"
        return self.batch(self.rewrites)

    def test_ordinary_rewrites_have_values(self) -> None:
        found = self.measure(self.everything())
        assert not found.failures, f"could not measure an ordinary rewrite: {found.failures[0].message}"
        assert not np.isnan(found.values[self.spec.name]).any(), "does not apply to an ordinary rewrite"

    def test_the_direction_is_what_the_spec_says(self) -> None:
        values = self.values(self.everything())
        steps = np.diff(values)
        if self.spec.better is None:
            assert steps.any(), "all rewrites have the same value"
        else:
            falls = steps if self.spec.better == "higher" else -steps
            assert (falls < 0).all(), (
                f"better is {self.spec.better}, and the values, best first, are {values}"
            )

    def test_a_value_depends_on_its_own_rewrite(self) -> None:
        batch = self.everything()
        together = self.values(batch)
        alone = np.concatenate([self.values(batch.subset([i])) for i in range(len(batch))])
        self.agree(alone, together, "each rewrite alone")
        order = list(reversed(range(len(batch))))
        self.agree(self.values(batch.subset(order))[::-1], together, "rewrites in reverse")
        self.values(self.batch([self.rewrites[-1]] * 4))
        self.agree(self.values(batch), together, "the same batch later")

    def test_no_rewrites(self) -> None:
        found = self.measure(self.batch([]))
        assert found.failures == ()

    def test_odd_rewrites_do_not_crash(self) -> None:
        self.measure(self.batch(ODD_TEXTS))
