"""Evaluation within a training: the policy rewrites held-out texts, and the rewrites are rated as in training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paraphrase_rl.plugin.protocols import Policy
from paraphrase_rl.plugin.rated import RatedRollouts
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Rollout

EVALUATION_KEY = 1
"""Integer in noise keys that makes the noise of evaluations differ from that of training steps."""


@dataclass(frozen=True)
class HeldOut:
    """One evaluation.

    Attributes:
        row: its row of ``evaluations.jsonl``.
        rated: the rewrites with their rewards.
    """

    row: dict[str, Any]
    rated: RatedRollouts


def held_out(
    recipe: Recipe,
    test: Sequence[Document],
    policy: Policy,
    rate: Callable[[list[Document], Sequence[Rollout]], RatedRollouts],
    step: int,
) -> HeldOut:
    """Have a policy rewrite held-out texts, with the same noise each time.

    ``reward_se`` is the standard error of the mean over prompts (samples of one prompt averaged first).

    Args:
        test: held-out texts.
        rate: rates rollouts of documents.
        step: number of steps that the policy has been trained for.
    """
    settings = recipe.evaluation
    documents = list(test)
    started = time.perf_counter()
    groups = policy.sample(
        [recipe.prompt.messages(document.text) for document in documents],
        n=settings.samples,
        keys=[(recipe.training.seed, EVALUATION_KEY, 0, index) for index in range(len(documents))],
        sampling=recipe.sampling,
    )
    rated = rate(
        [document for document in documents for _ in range(settings.samples)],
        [rollout for group in groups for rollout in group],
    )
    totals = rated.outcome.total.reshape(len(documents), settings.samples)
    means = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in totals])
    known = means[np.isfinite(means)]
    metrics = rated.outcome.metrics() | token_counts(rated.rollouts)
    metrics["reward_se"] = float(known.std(ddof=1) / math.sqrt(known.size)) if known.size > 1 else math.nan
    row = {
        "step": step,
        "metrics": metrics,
        "prompts": {d.id: mean for d, mean in zip(documents, means.tolist(), strict=True)},
        "seconds": time.perf_counter() - started,
    }
    return HeldOut(row, rated)


def token_counts(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Count tokens: the prompt's once for each rollout, as a service charges them."""
    return {
        "prompt_tokens": float(sum(len(rollout.prompt_ids) for rollout in rollouts)),
        "completion_tokens": float(sum(len(rollout.completion_ids) for rollout in rollouts)),
    }


def sample_rows(rated: RatedRollouts, first: int | None = None) -> list[dict[str, object]]:
    """Return the rows of ``samples.jsonl`` of the first rollouts; ``None`` = of all."""
    outcome = rated.outcome
    return [
        {
            "id": rated.documents[row].id,
            "source": rated.documents[row].text,
            "rewrite": rollout.text,
            **({"thought": rollout.thought} if rollout.thought else {}),
            "finished": rollout.finished,
            "total": float(outcome.total[row]),
            "terms": {name: float(values[row]) for name, values in outcome.terms.items()},
            "details": {name: float(values[row]) for name, values in outcome.details.items()},
        }
        for row, rollout in enumerate(rated.rollouts[:first])
    ]
