"""Every hook. A plug-in is a module with some of these functions, named in the entry-point group `paraphrase_rl`.

Hooks return specs and take no callbacks; a hook that is not implemented costs nothing. Arguments of observers may
grow: accept those you need, in any order, without defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from paraphrase_rl.plugin.specs import (
        BackendSpec,
        CommandSpec,
        DatasetSpec,
        DetectorSpec,
        MetricSpec,
        RewardSpec,
        RewriterSpec,
    )
    from paraphrase_rl.types import StepRecord

hookspec = pluggy.HookspecMarker("paraphrase_rl")
hookimpl = pluggy.HookimplMarker("paraphrase_rl")
"""Marks a plug-in's implementation of a hook."""


@hookspec
def register_detectors() -> Iterable[DetectorSpec]:  # type: ignore[empty-body]
    """Return specs of detectors, which score texts; higher = more likely AI.

    Example::

        @hookimpl
        def register_detectors():
            return [DetectorSpec(name="vowels", summary="Share of vowels", family="toy", factory=Vowels)]
    """


@hookspec
def register_rewards() -> Iterable[RewardSpec]:  # type: ignore[empty-body]
    """Return specs of reward terms, in [0, 1], higher is better.

    Example::

        @hookimpl
        def register_rewards():
            return [RewardSpec(name="brevity", summary="Shorter is better", factory=Brevity)]
    """


@hookspec
def register_rewriters() -> Iterable[RewriterSpec]:  # type: ignore[empty-body]
    """Return specs of rewriters: attacks, baselines and defences.

    Example::

        @hookimpl
        def register_rewriters():
            return [RewriterSpec(name="upper", summary="Upper case", factory=Upper)]
    """


@hookspec
def register_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Return specs of quality metrics of a rewrite against its source.

    Example::

        @hookimpl
        def register_metrics():
            return [
                MetricSpec(
                    name="vowel-shift",
                    summary="difference of the shares of vowels",
                    better="lower",
                    range=(0.0, 1.0),
                    factory=VowelShift,
                )
            ]
    """


@hookspec
def register_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Return specs of data sets, which are sources of documents.

    Example::

        @hookimpl
        def register_datasets():
            return [DatasetSpec(name="essays", summary="Our essays", factory=Essays)]
    """


@hookspec
def register_backends() -> Iterable[BackendSpec]:  # type: ignore[empty-body]
    """Return specs of training backends.

    Example::

        @hookimpl
        def register_backends():
            return [BackendSpec(name="cluster", summary="Our cluster", factory=Cluster)]
    """


@hookspec
def register_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Return specs of subcommands of ``prl``.

    Example::

        @hookimpl
        def register_commands():
            return [CommandSpec(name="hello", summary="Say hello", factory=lambda options, context: hello)]
    """


@hookspec
def on_run_start(folder: Path, recipe: Mapping[str, object]) -> None:
    """Called when a training run starts (or resumes) in ``folder`` with the complete ``recipe``.

    Example::

        @hookimpl
        def on_run_start(folder):
            print("watching", folder)
    """


@hookspec
def on_step_end(folder: Path, record: StepRecord) -> None:
    """Called when a step has ended; ``record`` is the row of the step in ``metrics.jsonl``.

    Example::

        @hookimpl
        def on_step_end(record):
            push(record.step, record.metrics["reward_mean"])
    """


@hookspec
def on_run_end(folder: Path, status: str) -> None:
    """Called when the run has ended; ``status`` is ``completed``, ``interrupted``, ``stopped`` or ``failed``.

    Example::

        @hookimpl
        def on_run_end(folder, status):
            notify(f"{folder}: {status}")
    """
