"""Runs on a tiny model with a reward that needs no model, for tests of the loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.types import Document, RewardBatch, Terms

WORDS = "the of and to in is that for it as was with be by on not he his but at are this have".split()  # noqa: SIM905


class Vowels:
    """Share of vowels: cheap, varied, and what a byte-level model can learn."""

    def __call__(self, batch: RewardBatch) -> Terms:
        shares = [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in batch.rewrites]
        return Terms(np.array(shares))


def recipe(model: Path, **changes: object) -> Recipe:
    """A short run: 2 prompts x 3 rollouts a step."""
    return Recipe.model_validate(
        {
            "model": str(model),
            "lora": {"rank": 4, "alpha": 8},
            "training": {"batch_size": 2, "group_size": 3, "epochs": 2, "seed": 5, "learning_rate": 0.01},
            "sampling": {"max_tokens": 12},
            "prompt": {"system": "s", "instruction": "i"},
            "evaluation": {"every": 1000, "prompts": 4},
            "checkpoints": {"every": 2, "keep": 2},
            "kl": {"penalty_coef": 0.1},
            **changes,
        }
    )


def documents(n: int) -> list[Document]:
    """Texts of different lengths."""
    rng = np.random.default_rng(0)
    return [
        Document(id=f"t{i}", text=" ".join(rng.choice(WORDS, size=rng.integers(3, 9))), label="ai")
        for i in range(n)
    ]


def training_run(
    folder: Path, settings: Recipe, *, prompts: int = 8, resume: bool = False, **changes: object
) -> TrainingSession:
    """A run in a new directory, or the rest of the one that is there."""
    directory = RunDirectory.resume(folder) if resume else RunDirectory.create(folder)
    if not resume:
        directory.begin("model: tiny\n", {})
    checkpoint = directory.checkpoints.last() if resume else None
    if resume:
        directory.rewind(checkpoint[0] if checkpoint else -1)
    return TrainingSession(
        recipe=settings,
        directory=directory,
        train=documents(prompts),
        test=documents(prompts + 4)[prompts:],
        reward=ComposedReward([WeightedReward(name="vowels", reward=Vowels(), weight=1.0)]),
        observe=lambda folder, record: None,
        **{"report": reporter(None), "resume_from": checkpoint, **changes},
    )


def backend(precision=None, **options: object):
    """The trl backend on CPU, in a precision; ``None`` = fp32."""
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    return TrlBackend(TrlOptions(**options), Context(precision=precision))
