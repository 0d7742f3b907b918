"""Choice of the quality metrics of an evaluation (by the recipe and the installed plug-ins), and calls to them.

Each metric is computed on its own, none replaced by another. NaN with a Failure: the metric could not be computed.
NaN without a Failure: the metric does not apply (a source without numbers has none to preserve); its mean is over the
rewrites that it applies to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from paraphrase_rl.errors import PluginError, PrlError
from paraphrase_rl.evaluation.results import MetricInfo
from paraphrase_rl.plugin.isolation import Origin
from paraphrase_rl.plugin.protocols import Metric
from paraphrase_rl.plugin.registry import Entry, Registry
from paraphrase_rl.plugin.specs import Context, MetricRole, MetricSpec, Options
from paraphrase_rl.recipe.schema import Component, Recipe
from paraphrase_rl.types import Document, Failure, FloatArray, Measurements, RewardBatch, Rewrite

ROLES: Sequence[str] = get_args(MetricRole)
"""Roles of metrics, in the order of the tables."""


@dataclass(frozen=True, kw_only=True)
class ChosenMetric:
    """A metric that an evaluation measures.

    Attributes:
        spec: spec of the metric.
        entry: entry of the metric in the registry.
        name: name in the registry: its own, or ``distribution/name`` if its own name means another metric.
        options: validated options.
        given: options as :meth:`paraphrase_rl.plugin.registry.Registry.build` takes them.
        asked_for: True if the recipe names the metric, so that it must work.
    """

    spec: MetricSpec
    entry: Entry
    name: str
    options: Options
    given: Mapping[str, object]
    asked_for: bool

    @property
    def column(self) -> str:
        """Name of the metric in the results."""
        return self.name.replace("-", "_")

    def info(self) -> MetricInfo:
        """Description of the metric in the results."""
        return MetricInfo(
            name=self.column,
            role=self.spec.role,
            summary=self.spec.summary,
            better=self.spec.better,
            options=self.options.model_dump(mode="json"),
        )

    def identity(self) -> Sequence[object]:
        """Everything other than the texts that the metric's values depend on."""
        return [self.entry.full_name, self.entry.plugin.version, self.info().options]


def choose_metrics(recipe: Recipe, registry: Registry) -> list[ChosenMetric]:
    """Choose the metrics of a recipe, in the order of their roles: all installed ones whose required options are known.

    Options come from the recipe's ``metrics``, else from its rewards of the same role, see
    :class:`paraphrase_rl.plugin.specs.MetricSpec`. Among metrics of the same role, those that the recipe names come
    first, then those of the distribution that has the recipe's reward of that role: the first metric of role
    ``meaning`` is compared with the bound of acceptance.

    Raises:
        PluginError: the recipe names an unknown reward or metric.
        RecipeError: an unknown, ill-typed or missing option.
    """
    entries = registry.entries("metrics")
    named = {registry.get("metrics", c.name).full_name: c.options for c in recipe.metrics}
    rewards = functools.partial(_rewards, recipe, registry)
    found = []
    for entry in entries:
        spec = entry.spec
        assert isinstance(spec, MetricSpec)
        given = _from_rewards(spec, rewards(spec.role), registry) if spec.options.model_fields else {}
        given |= named.get(entry.full_name, {})
        required = {name for name, field in spec.options.model_fields.items() if field.is_required()}
        if entry.full_name not in named and not required <= given.keys():
            continue
        namesakes = [other for other in entries if other.spec.name == spec.name]
        namesakes = [other for other in namesakes if other.plugin.bundled] or namesakes
        name = spec.name if namesakes == [entry] else entry.full_name
        found.append(
            ChosenMetric(
                spec=spec,
                entry=entry,
                name=name,
                options=registry.options("metrics", name, given),
                given=given,
                asked_for=entry.full_name in named,
            )
        )
    several = {m.spec.role for m in found if sum(other.spec.role == m.spec.role for other in found) > 1}

    def place(metric: ChosenMetric) -> tuple[int, bool, bool]:
        role = metric.spec.role
        at_home = role in several and any(
            registry.get("rewards", reward.name).plugin.distribution == metric.entry.plugin.distribution
            for reward in rewards(role)
        )
        return ROLES.index(role), not metric.asked_for, not at_home

    return sorted(found, key=place)


def _rewards(recipe: Recipe, registry: Registry, role: str) -> list[Component]:
    return [c for c in recipe.rewards if registry.spec("rewards", c.name).role == role]


def _from_rewards(spec: MetricSpec, rewards: Sequence[Component], registry: Registry) -> dict[str, object]:
    """Options of a metric that the recipe's rewards of its role have."""
    if not rewards:
        return {}
    options = registry.options("rewards", rewards[0].name, rewards[0].options)
    theirs, ours = type(options).model_fields, spec.options.model_fields
    found: dict[str, object] = {
        name: getattr(options, name)
        for name in ours.keys() & theirs.keys()
        if ours[name].annotation == theirs[name].annotation
    }
    if "rewards" in ours:
        found["rewards"] = [{"name": reward.name, "options": reward.options} for reward in rewards]
    return found


def with_metric_options(recipe: Recipe, registry: Registry, role: MetricRole, **options: Any) -> Recipe:
    """Return the recipe with options set for the metrics of a role that take them; the recipe then names these metrics.

    Raises:
        PluginError: there is no metric of that role.
        RecipeError: an unknown or ill-typed option.
    """
    entries = registry.entries("metrics")
    of_role = [e for e in entries if isinstance(e.spec, MetricSpec) and e.spec.role == role]
    if not of_role:
        raise PluginError(f"no metric of the role {role} is installed", "see: prl plugins metrics")
    takers = [e for e in of_role if options.keys() <= e.spec.options.model_fields.keys()] or of_role[:1]
    added = [Component(name=entry.full_name, options=options) for entry in takers]
    for component in added:
        registry.options("metrics", component.name, component.options)
    names = {component.name for component in added}
    kept = [c for c in recipe.metrics if registry.get("metrics", c.name).full_name not in names]
    return recipe.model_copy(update={"metrics": [*kept, *added]})


Call = Callable[[RewardBatch], Measurements]


@dataclass(frozen=True)
class Part:
    """Metrics that one component computes together; ``columns`` gives their names in the results."""

    origin: Origin
    call: Call
    specs: Mapping[str, MetricSpec]
    columns: Mapping[str, str]


class QualityMeasures:
    """All metrics that an evaluation measures.

    Attributes:
        names: columns of the metrics, in the order of the tables.
    """

    def __init__(self, parts: Sequence[Part], names: Sequence[str]) -> None:
        self._parts = tuple(parts)
        self.names = tuple(names)

    def __call__(
        self, sources: Sequence[Document], rewrites: Sequence[Rewrite], instruction: str
    ) -> tuple[dict[str, FloatArray], list[Failure]]:
        """Measure N rewrites.

        Args:
            sources: shape (N,), the document each rewrite was made from.
            rewrites: shape (N,).
            instruction: what the rewriter was told; empty where it was told nothing.

        Returns:
            Values of shape (N,) by column, and a Failure (owner = the column) for each that could not be computed. A
            value does not depend on the other rewrites of the call (to 1e-4).
        """
        batch = RewardBatch(
            sources=sources,
            rewrites=[rewrite.text for rewrite in rewrites],
            finished=[rewrite.finished for rewrite in rewrites],
            instruction=instruction,
        )
        values: dict[str, FloatArray] = {}
        failures: list[Failure] = []
        for part in self._parts:
            measured = _measured(part, batch)
            values |= {column: measured.values[name] for name, column in part.columns.items()}
            failures += [
                replace(f, owner=part.columns[f.owner]) for f in measured.failures if f.owner in part.columns
            ]
        return {name: values[name] for name in self.names}, failures


def build_quality(chosen: Sequence[ChosenMetric], registry: Registry, context: Context) -> QualityMeasures:
    """Build metrics; metrics of one plug-in with the same factory and equal options are built once.

    A metric that cannot be computed here (a missing package or model) has a Failure for each rewrite.

    Args:
        chosen: metrics chosen by :func:`choose_metrics`.
        registry: registry that builds them.
        context: context for their factories.

    Raises:
        PrlError: a metric that the recipe names cannot be built.
    """
    together: dict[tuple[object, ...], list[ChosenMetric]] = {}
    for metric in chosen:
        options = metric.options.model_dump_json()
        together.setdefault((metric.entry.plugin.name, metric.spec.factory, options), []).append(metric)
    parts = [
        Part(
            metrics[0].entry.origin(metrics[0].name),
            _built(metrics, registry, context),
            {metric.spec.name: metric.spec for metric in metrics},
            {metric.spec.name: metric.column for metric in metrics},
        )
        for metrics in together.values()
    ]
    return QualityMeasures(parts, [metric.column for metric in chosen])


def _built(metrics: Sequence[ChosenMetric], registry: Registry, context: Context) -> Call:
    first = metrics[0]
    try:
        built: Metric = registry.build("metrics", first.name, first.given, context)
    except PrlError as error:
        if any(metric.asked_for for metric in metrics):
            raise
        why = error.one_line
        return lambda batch: _failed([m.spec.name for m in metrics], len(batch), "unavailable", why)
    return built


def _measured(part: Part, batch: RewardBatch) -> Measurements:
    """A component's answer; what it has to say about the whole call costs its own metrics, for every rewrite."""
    try:
        return _checked(part, part.call(batch))
    except PrlError as error:
        return _failed(list(part.specs), len(batch), "unavailable", error.one_line)


def _checked(part: Part, answer: Measurements) -> Measurements:
    """The metrics that are wanted of an answer.

    Raises:
        PluginError: one is missing, or outside the range that its spec states.
    """
    for name, spec in part.specs.items():
        if name not in answer.values:
            raise part.origin.broken(f"returned {', '.join(answer.values) or 'nothing'}, and no {name}")
        values, (low, high) = answer.values[name], spec.range
        if ((values < low) | (values > high)).any():
            raise part.origin.broken(f"returned {name} outside its range of {low:g} to {high:g}")
    wanted = {name: answer.values[name] for name in part.specs}
    return Measurements(wanted, tuple(f for f in answer.failures if f.owner in wanted))


def _failed(names: Sequence[str], n: int, kind: str, message: str) -> Measurements:
    """The same failure for all metrics of N rewrites."""
    return Measurements(
        {name: np.full(n, np.nan) for name in names},
        tuple(Failure(index=i, owner=name, kind=kind, message=message) for name in names for i in range(n)),
    )
