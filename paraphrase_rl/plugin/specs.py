"""Frozen records that plug-ins return from hooks: plain data plus a factory, so listing builds nothing.

A factory is called as ``factory(config, context)`` with the validated config model of the spec and a
:class:`Context`. It imports what it needs inside; ``extra`` and ``modules`` let the registry say which
``pip install`` is missing before the factory is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from paraphrase_rl.errors import PluginError
from paraphrase_rl.models.precision import Precision

if TYPE_CHECKING:
    import click

    from paraphrase_rl.models.shape import ModelShape
    from paraphrase_rl.plugin.estimates import Estimate, Load
    from paraphrase_rl.plugin.protocols import (
        Backend,
        Components,
        DatasetSource,
        Detector,
        Metric,
        ProbabilityModel,
        Reward,
        Rewriter,
    )
    from paraphrase_rl.recipe.schema import Recipe

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

RewardRole = Literal["evasion", "meaning", "validity", "fluency", "fairness", "other"]
"""Role of a reward: the purpose it serves. The core finds rewards by their role, never by name."""
MetricRole = Literal["meaning", "facts", "length", "fluency", "validity", "entailment", "judge", "other"]
"""Role of a metric: the property it measures. The core finds metrics by their role, never by name."""


class Options(BaseModel):
    """Base of every component's config model: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoOptions(Options):
    """Options of components that take none."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Context that a factory is given together with its options.

    Attributes:
        device: torch device for models, such as ``cpu`` or ``cuda``.
        ensemble: the recipe's calibrated detectors, for rewards that rate by them; ``None`` if there are none: a
            reward or rewriter that needs them must then raise an error.
        run: directory of the run that is evaluated, for rewriters that use a run.
        registry: registry in which a component finds other components that it uses; set by the registry that builds it.
        precision: precision of models' products; ``None`` = not decided: fp32 on a CPU, half precision on a GPU.
    """

    device: str = "cpu"
    ensemble: ProbabilityModel | None = None
    run: Path | None = None
    registry: Components | None = field(default=None, repr=False)
    precision: Precision | None = None

    def components(self) -> Components:
        """Return the registry that builds this component.

        Raises:
            PluginError: the component is built without one.
        """
        if self.registry is None:
            raise PluginError(
                "a component that uses others is built without a registry",
                "build it with Registry.build, or give its Context a registry",
            )
        return self.registry


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """Spec of a component: the fields that all kinds of component have.

    Attributes:
        name: kebab-case, unique among components of its kind in its distribution.
        summary: one line.
        factory: builds the component.
        options: config model, a subclass of :class:`Options`.
        extra: the extra of ``paraphrase-rl`` with the packages it needs, such as ``models``; third parties
            leave it empty and declare dependencies of their own.
        modules: top-level modules that must be importable before the factory is called.
        models: model references it loads by default.
        paper: where the method was published.
        licence: licence of the method's code or weights, if it differs from ours.
        cost: per text, in words, such as ``one language-model pass (shared)``.
    """

    name: str
    summary: str
    factory: Callable[[Any, Context], Any]
    options: type[Options] = NoOptions
    extra: str = ""
    modules: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    paper: str = ""
    licence: str = ""
    cost: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"component name {self.name!r} is not kebab-case (a-z, 0-9, single hyphens)")
        if not self.summary or "\n" in self.summary:
            raise ValueError(f"component {self.name!r} needs a summary of one line")


@dataclass(frozen=True, kw_only=True)
class DetectorSpec(ComponentSpec):
    """A detector.

    Attributes:
        family: ``zero-shot``, ``supervised`` …; transfer is reported family by family.
        direction: of the score as published. Scores returned are always higher = more likely AI: a detector
            published as ``lower`` negates its score.
        fit: for trainable detectors: ``fit(options, documents, folder) -> None`` trains on labelled documents
            and writes what the factory loads; no pickle. Its options have a field ``folder``: where to load
            from, ``None`` = :func:`paraphrase_rl.files.fitted_folder`.
    """

    factory: Callable[[Any, Context], Detector]
    family: str
    direction: Literal["higher", "lower"] = "higher"
    fit: Callable[[Any, Any, Path], None] | None = None


@dataclass(frozen=True, kw_only=True)
class RewardSpec(ComponentSpec):
    """A reward term in [0, 1], higher is better.

    Attributes:
        role: purpose of the reward. ``validity`` is a gate, see :attr:`gate`. Acceptance, monitors, curves and
            summaries find the rewards they show by role. Details of a term of role ``evasion`` that are called
            ``p_DETECTOR`` are P(AI).
        default_weight: weight in the total when the recipe gives none.
        needs_groups: True if the reward does not apply to texts without ``Document.group``: it is left out of the
            total if no text has a group.
        metric: stem of its names in ``metrics.jsonl`` (``STEM_reward``, ``STEM_rate`` for a gate); if empty, the name
            with underscores.
    """

    factory: Callable[[Any, Context], Reward]
    role: RewardRole = "other"
    default_weight: float = 1.0
    needs_groups: bool = False
    metric: str = ""

    @property
    def stem(self) -> str:
        """Beginning of the reward's names in ``metrics.jsonl``."""
        return self.metric or self.name.replace("-", "_")

    @property
    def metric_name(self) -> str:
        """Name of the reward in ``metrics.jsonl``: ``STEM_reward``, or ``STEM_rate`` for a gate."""
        return f"{self.stem}_{'rate' if self.gate else 'reward'}"

    @property
    def gate(self) -> bool:
        """True if a value of 0 makes the total 0, whatever the other terms are."""
        return self.role == "validity"


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ComponentSpec):
    """A quality metric of a rewrite against its source.

    Metrics of one plug-in that share a ``factory`` and have equal options are built once and measured in one call.

    Options that a recipe does not give are taken from its reward of the same role, where that has an option of the
    same name: a metric of role ``meaning`` with an option ``model`` measures with the model of the similarity reward.
    An option ``rewards`` is filled with all rewards of that role. A metric is measured only where all its required
    options are known. Options that change no value (a timeout) are declared with ``Field(exclude=True)``.

    Attributes:
        role: property that the metric measures; the core finds the metric to compare with a bound by role.
        better: ``higher`` or ``lower``; ``None`` if neither is (a rewrite may be longer, and must differ).
        range: smallest and largest value.
        needs: what it needs besides the texts, in words; empty = nothing.
    """

    factory: Callable[[Any, Context], Metric]
    role: MetricRole = "other"
    better: Literal["higher", "lower"] | None
    range: tuple[float, float]
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class RewriterSpec(ComponentSpec):
    """A rewriter: an attack, a baseline, or a defence.

    Attributes:
        needs_run: True if the rewriter is the policy of a run: the run in the Context, unless its option ``run``
            names another. Its option ``checkpoint`` chooses the step. Left out of an evaluation without a run.
        baseline: True if the rewriter returns the texts as they are, which every evaluation includes anyway.
    """

    factory: Callable[[Any, Context], Rewriter]
    needs_run: bool = False
    baseline: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ComponentSpec):
    """A source of documents."""

    factory: Callable[[Any, Context], DatasetSource]


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """Keys of a recipe that a backend ignores, or with which it does something of its own.

    Attributes:
        ignored: recipe keys (dotted) without effect, each with what happens instead.
        partly: recipe keys with which the backend does something of its own, each with what it does, in one line.
    """

    ignored: Mapping[str, str] = field(default_factory=dict)
    partly: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BackendSpec(ComponentSpec):
    """A training backend.

    Attributes:
        check: ``check(recipe, options, device)`` raises a :class:`paraphrase_rl.errors.PrlError` if the backend cannot
            run a recipe on a device with its options, and returns what it does with the recipe's keys there, for
            preflight to announce.
        served: ``served(options)`` asks a service which models it trains now: name -> context length in tokens, or
            ``None`` if it does not say; returns ``None`` if nothing is known of its models. If it raises a
            :class:`paraphrase_rl.errors.PrlError`, the price table is asked. ``None`` = any model can be trained.
        recipe: packaged recipe that a run takes if none is named.
        remote: True if the policy's weights are on another machine, so that only its tokenizer is needed here.
        warmup: True if it carries out the warm-up of a session (``session.warmup``); a recipe with a warm-up is refused
            on a backend that does not.
        starts_from: True if it begins with the adapter of another run (``session.start_from``); `prl train --from` is
            refused on a backend that does not.
        prices: price table of a service that charges by the token, see :mod:`paraphrase_rl.recipe.cost`;
            ``None`` if nothing is charged.
        estimate: ``estimate(recipe, shape, load)`` tells the memory and seconds of a step on this machine; ``None`` if
            it takes neither here.
    """

    factory: Callable[[Any, Context], Backend]
    check: Callable[[Recipe, Any, str], Treatment] | None = None
    served: Callable[[Any], Mapping[str, int | None] | None] | None = None
    recipe: str = "recipe"
    remote: bool = False
    warmup: bool = False
    starts_from: bool = False
    prices: Path | None = None
    estimate: Callable[[Recipe, ModelShape, Load], Estimate] | None = None


@dataclass(frozen=True, kw_only=True)
class CommandSpec(ComponentSpec):
    """A subcommand of ``prl``; ``factory`` returns the click command and is called only when it is used."""

    factory: Callable[[Any, Context], click.Command]
