"""Rewriter: the policy that a run trained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from paraphrase_rl.plugin import Context, Options, RewriterSpec, UsageError, hookimpl
from paraphrase_rl_plugins.rewriters._sampled import Defaults, load_policy, sampled
from paraphrase_rl_plugins.rewriters._texts import AllAtOnce

NAME = "policy"


class PolicyOptions(Options):
    """Options of ``policy``. Model, prompt, sampling and backend are those of the run, but for what is given here."""

    run: Path | None = Field(None, description="directory of the run; null = the run that is being evaluated")
    checkpoint: int | Literal["final", "last"] = Field(
        "last", description="a step; final = the final one of a completed run; last = the newest one"
    )
    temperature: float | None = Field(
        None,
        gt=0,
        description="sampling temperature; null = that of training; a colder policy keeps more and evades less",
    )
    backend_options: dict[str, Any] = Field(
        default_factory=dict, description="options of the run's backend; each replaces the run's own value"
    )


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="the policy that a run trained, with the prompt and sampling of training",
            factory=build,
            needs_run=True,
            options=PolicyOptions,
            extra="trl",
            modules=("transformers",),
            cost="one sampled completion per rewrite",
        )
    ]


def build(options: PolicyOptions, context: Context) -> AllAtOnce:
    """Build the rewriter; loads the model with its adapter.

    Raises:
        UsageError: no run is given.
        RunError: there is no such run, or it does not have this checkpoint.
    """
    from paraphrase_rl.plugin import adapter_of, checkpoint_row

    run = options.run or context.run
    if run is None:
        raise UsageError("the rewriter policy needs a run", "give a run: --run RUN, or the option run")
    of_run = Defaults.of(run)
    adapter = adapter_of(run, checkpoint_row(run, options.checkpoint))
    policy = load_policy(
        of_run.backend,
        {**of_run.backend_options, **options.backend_options},
        of_run.model,
        adapter,
        context,
        thinking=of_run.prompt.thinking,
    )
    sampling = of_run.sampling
    if options.temperature is not None:
        sampling = sampling.model_copy(update={"temperature": options.temperature})
    return sampled(NAME, policy, of_run.prompt, sampling)
