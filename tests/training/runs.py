"""Runs on a tiny model with a reward that needs no model, for tests of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from paraphrase_rl.files import read_jsonl
from paraphrase_rl.models.references import load_tokenizer
from paraphrase_rl.plugin.protocols import Policy
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.arithmetic import warmup_steps
from paraphrase_rl.recipe.schema import Recipe, Sampling
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.training.warmup import WarmupSession
from paraphrase_rl.training.warmup_pairs import WARMUP_KEY, PairMaker
from paraphrase_rl.types import Document, RewardBatch, Rollout, Terms

WORDS = "the of and to in is that for it as was with be by on not he his but at are this have".split()  # noqa: SIM905


class Vowels:
    """Share of vowels: cheap, varied, and what a byte-level model can learn."""

    def __call__(self, batch: RewardBatch) -> Terms:
        shares = [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in batch.rewrites]
        return Terms(np.array(shares))


class Ended:
    """1 for a rewrite that ends."""

    def __call__(self, batch: RewardBatch) -> Terms:
        return Terms(np.array(batch.finished, dtype=np.float64))


_VOWELS = WeightedReward(name="vowels", reward=Vowels(), weight=1.0)
VOWELS = ComposedReward([_VOWELS])
ENDED_VOWELS = ComposedReward(
    [WeightedReward(name="ended", reward=Ended(), weight=1.0, role="validity"), _VOWELS]
)
"""Vowels of a rewrite that ends, which is all that a warm-up can learn to write."""


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
        test=documents(prompts + 4)[prompts:][: settings.evaluation.prompts],
        observe=lambda folder, record: None,
        **{"report": reporter(None), "resume_from": checkpoint, "reward": VOWELS, **changes},
    )


def backend(precision=None, **options: object):
    """The trl backend on CPU, in a precision; ``None`` = fp32."""
    from paraphrase_rl_plugins.backends.trl_backend import TrlBackend, TrlOptions

    return TrlBackend(TrlOptions(**options), Context(precision=precision))


# ---- with a warm-up

PAIRS = [
    (" ".join(np.random.default_rng(i).choice(WORDS, 3 + i % 4)), " ".join(WORDS[i : i + 2 + i % 5]))
    for i in range(14)
]
OWN_PAIRS = {
    "method": "inverse-paraphrase",
    "path": None,
    "candidates": 4,
    "epochs": 1,
    "batch_size": 3,
    "min_length_ratio": 0.001,
    "max_length_ratio": 1000,
}
"""Keys of a warm-up whose pairs the policy makes, from 20 texts in three chunks: 11 of them for 4 steps."""


def warm_run(
    folder: Path,
    model: Path,
    *,
    resume: bool = False,
    stop_requested: Callable[[], bool] = lambda: False,
    warmup: Mapping[str, object] | None = None,
    texts: Sequence[Document] | None = None,
    reward: ComposedReward = VOWELS,
    **changes: object,
) -> TrainingSession:
    """A run with a warm-up on given pairs: 3 steps an epoch, 6 in all; then two steps of GRPO."""
    settings = recipe(
        model,
        **{
            "warmup": {
                "method": "pairs",
                "path": "given",
                "batch_size": 5,
                "learning_rate": 0.01,
                "checkpoint_every": 2,
                **(warmup or {}),
            },
            "kl": {"penalty_coef": 0.1, "reference": "warmup"},
            "training": {
                "batch_size": 2,
                "group_size": 3,
                "seed": 5,
                "learning_rate": 0.01,
                "max_steps": 2,
            },
            "sampling": {"max_tokens": 24},
            **changes,
        },
    )
    session = training_run(folder, settings, resume=resume, stop_requested=stop_requested, reward=reward)
    pairs = PairMaker(
        recipe=settings,
        directory=session.directory,
        texts=documents(20) if texts is None else texts,
        given=lambda: PAIRS,
        reward=session.reward,
        report=lambda *said: session.report(*said),
        stop_requested=stop_requested,
    )
    session.warmup = WarmupSession(
        recipe=settings,
        directory=session.directory,
        pairs=pairs,
        report=lambda *said: session.report(*said),
        stop_requested=stop_requested,
    )
    return session


OWN_BEST = {**OWN_PAIRS, "method": "best-of-n", "candidates": 16, "epochs": 2}
"""Keys of a warm-up on the policy's own rewrites, of which one in ten ends: a dozen pairs of 20 texts."""


def candidates(session: TrainingSession, policy: Policy, sampling: Sampling) -> list[list[Rollout]]:
    """Sample again the candidates of the 20 texts of a warm-up whose pairs the policy made."""
    settings = session.recipe
    return policy.sample(
        [settings.prompt.messages(text.text) for text in documents(20)],
        n=settings.warmup.candidates,
        keys=[(settings.training.seed, 0, WARMUP_KEY, index + 1) for index in range(20)],
        sampling=sampling,
    )


def check_own_best(session: TrainingSession, policy: Policy) -> None:
    """A warm-up was made of the policy's rewrites with most vowels, learned, and GRPO began from it.

    Args:
        policy: that of the beginning, which is sampled again.
    """
    settings = session.recipe
    expected = []
    for text, group in zip(documents(20), candidates(session, policy, settings.sampling), strict=True):
        ended = [one.text for one in group if one.finished]
        shares = [sum(one.count(c) for c in "aeiou") / max(1, len(one)) for one in ended]
        if ended:
            expected.append((text.text, ended[shares.index(max(shares))].strip()))
    pairs = [row for row in session.directory.rows("warmup_pairs.jsonl") if not row["why"]]
    assert [(row["source"], row["target"]) for row in pairs] == expected
    assert len(expected) > 5
    rows = session.directory.rows("warmup.jsonl")
    losses = [row["metrics"]["warmup_loss"] for row in rows if "metrics" in row]
    tokens, most = load_tokenizer(settings.model), settings.sampling.max_tokens
    whole = [row for row in pairs if len(tokens(row["target"], add_special_tokens=False)["input_ids"]) < most]
    assert len(losses) == warmup_steps(len(whole), 3, 2)
    half = len(losses) // 2
    assert np.mean(losses[half:]) < np.mean(losses[:half]), "the same pairs a second time"
    first = session.directory.rows("metrics.jsonl")[0]["metrics"]
    assert abs(first["kl_warmup"]) < 1e-4 < 0.01 < abs(first["kl_reference"])


def warmup_numbers(folder: Path) -> list[dict[str, float]]:
    """Metrics of every step of a warm-up and of the evaluation after it, without those that measure time."""
    timed = ("seconds_total", "tokens_per_second")
    return [
        {k: v for k, v in row.get("metrics", row.get("evaluation")).items() if k not in timed}
        for row in read_jsonl(folder / "warmup.jsonl")
    ]
