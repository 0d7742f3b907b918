"""Policy as a rewriter, with defaults from the run for its prompt and sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paraphrase_rl.plugin import (
    DEFAULT_LANGUAGE_MODEL,
    Backend,
    Context,
    Policy,
    Prompt,
    Recipe,
    Rewrite,
    Rewrites,
    Sampling,
)
from paraphrase_rl_plugins.rewriters._texts import AllAtOnce, noise_key

DEFAULT_BACKEND = "trl"
OF_RUN = "null = the run's, else the recipe's default"
"""End of the description of an option whose default comes from the run's recipe."""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Default values of options that are null: those of a run's recipe and backend, else those of a new run."""

    model: str = DEFAULT_LANGUAGE_MODEL
    prompt: Prompt = field(default_factory=Prompt)
    sampling: Sampling = field(default_factory=Sampling)
    backend: str = DEFAULT_BACKEND
    backend_options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path | None) -> Defaults:
        """Take defaults from a run; without one, the packaged model and the defaults of the recipe's schema.

        Raises:
            RunError: there is no run.
        """
        if run is None:
            return cls()
        from paraphrase_rl.plugin import manifest_of, recipe_of_run

        recipe: Recipe = recipe_of_run(run)
        began = manifest_of(run, ["backend"])
        return cls(
            model=recipe.model,
            prompt=recipe.prompt,
            sampling=recipe.sampling,
            backend=began["backend"],
            backend_options=began.get("backend_options", {}),
        )


def with_given(section: Any, **given: object) -> Any:
    """Replace values in a section of a recipe; ``None`` leaves one as it is."""
    return section.model_copy(update={key: value for key, value in given.items() if value is not None})


def sampled(owner: str, policy: Policy, prompt: Prompt, sampling: Sampling) -> AllAtOnce:
    """Build a rewriter that samples from a policy with the prompt used in training.

    The randomness of a text depends on the seed and the text alone. Its rewrites depend on the other texts of the call
    only through the rounding of a batch, which changes about one token in a million.
    """

    def rewrite(texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
        groups = policy.sample(
            [prompt.messages(text) for text in texts],
            n=n,
            keys=[noise_key(seed, text) for text in texts],
            sampling=sampling,
        )
        return [[Rewrite(text=one.text, finished=one.finished) for one in group] for group in groups]

    return AllAtOnce(owner, rewrite)


def load_policy(
    backend: str,
    options: Mapping[str, Any],
    model: str,
    adapter: Path | str | None,
    context: Context,
    *,
    thinking: bool,
) -> Policy:
    """Load a model on a backend, with a trained adapter or without.

    Args:
        thinking: whether it thinks before it rewrites.

    Raises:
        PrlError: there is no such backend, or it cannot load the model.
    """
    built: Backend = context.components().build("backends", backend, options, context)
    return built.policy(model, adapter, thinking=thinking)
