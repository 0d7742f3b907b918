"""Trial of a recipe: one group of the base policy, rated as a run would, and one step where it costs little."""

from __future__ import annotations

import gc
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.detection.signal import carries_the_signal, nothing_to_evade, signals
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.models.precision import decide
from paraphrase_rl.plugin.protocols import Backend
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.preflight.trial import Cheat, Trial, cheating_outputs
from paraphrase_rl.progress import Report, reporter
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.backend import ChosenBackend
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.training.preparation import calibrated
from paraphrase_rl.training.prompt_order import prompt_order
from paraphrase_rl.training.reward import ComposedReward, build_reward
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.types import Document, RewardBatch


def try_recipe(
    recipe: Recipe,
    registry: Registry,
    corpus: Corpus,
    on: ChosenBackend,
    *,
    device: str,
    report: Report,
    why_no_step: str = "",
) -> Trial:
    """Sample one group with the base policy, rate it and outputs that are no rewrites, and time it.

    The detectors are calibrated as at the start of a run. One step is taken, with its files in a temporary folder and
    without a warm-up.

    Args:
        why_no_step: why no step is to be taken, such as its cost; empty to take one.

    Raises:
        PrlError: what would keep a run from its first step.
    """
    train = list(corpus.select(split="train", label="ai"))
    context = Context(device=device, precision=decide(recipe.precision, device))
    backend = registry.build("backends", on.name, on.options, context)
    ensemble = calibrated(recipe, registry, corpus, context, report)
    context = replace(context, ensemble=ensemble)
    reward = build_reward(recipe, registry, context, any(document.group for document in train))
    index = prompt_order(len(train), recipe.training)[0][0]
    document = train[index]
    report(f"sampling {recipe.training.group_size} rollouts of text {document.id} with the base policy")
    policy: Any = backend.policy(recipe.model, None, thinking=recipe.prompt.thinking)
    started = time.perf_counter()
    [rollouts] = policy.sample(
        [recipe.prompt.messages(document.text)],
        n=recipe.training.group_size,
        keys=[(recipe.training.seed, 1, index)],
        sampling=recipe.sampling,
    )
    sampled = time.perf_counter()
    texts = [rollout.text for rollout in rollouts]
    outcome = reward(_batch(recipe, document, texts, [rollout.finished for rollout in rollouts]))
    seconds = {"sampling": sampled - started, "rating": time.perf_counter() - sampled}
    outputs = cheating_outputs(document.text, f"{recipe.prompt.instruction}\n\n{document.text}")
    earned = reward(_batch(recipe, document, list(outputs.values()), [True] * len(outputs)))
    del policy  # an accelerator may not hold a second copy of its weights
    gc.collect()
    peak = None
    if not why_no_step:
        report("taking one step in a temporary folder")
        seconds["step"], peak = _one_step(recipe, backend, corpus, reward, device)
    found = signals(ensemble)
    return Trial(
        source=document.id,
        totals=outcome.total.tolist(),
        valid=outcome.valid.tolist(),
        failures=[f"{failure.owner}: {failure.message}" for failure in outcome.failures],
        cheats=[
            Cheat(name=name, total=total) for name, total in zip(outputs, earned.total.tolist(), strict=True)
        ],
        seconds=seconds,
        why_no_step=why_no_step,
        peak_bytes=peak,
        flagged=carries_the_signal(found),
        little_to_evade=nothing_to_evade(found),
    )


class _TrialSession(TrainingSession):
    """Session of a step that is only measured: nothing of it is kept, at a service neither."""

    @property
    def is_complete(self) -> bool:
        return True

    def checkpoint_due(self, step: int) -> bool:  # noqa: ARG002
        return False


def _batch(recipe: Recipe, document: Document, rewrites: list[str], finished: list[bool]) -> RewardBatch:
    return RewardBatch(
        sources=[document] * len(rewrites),
        rewrites=rewrites,
        finished=finished,
        instruction=f"{recipe.prompt.system}\n{recipe.prompt.instruction}",
    )


def _one_step(
    recipe: Recipe, backend: Backend, corpus: Corpus, reward: ComposedReward, device: str
) -> tuple[float, float | None]:
    """Seconds of the first step and most bytes on an accelerator; a held-out text is rewritten before and after."""
    short = recipe.model_copy(
        update={
            "training": recipe.training.model_copy(update={"max_steps": 1}),
            "evaluation": recipe.evaluation.model_copy(update={"prompts": 1, "samples": 1}),
            "warmup": recipe.warmup.model_copy(update={"method": None}),
            "kl": recipe.kl.model_copy(update={"reference": "base"}),
        }
    )
    on_cuda = device.startswith("cuda")
    if on_cuda:
        import torch

        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(prefix="prl-try-") as folder:
        directory = RunDirectory.create(Path(folder) / "run")
        try:
            directory.begin("", {})
            session = _TrialSession(
                recipe=short,
                directory=directory,
                train=list(corpus.select(split="train", label="ai")),
                test=list(corpus.select(split="test", label="ai")),
                reward=reward,
                report=reporter(None),
                observe=lambda *_: None,
            )
            backend.train(session)
            [row] = read_jsonl(directory.folder / "metrics.jsonl")
        finally:
            directory.close()
    peak = float(torch.cuda.max_memory_allocated()) if on_cuda else None
    seconds = float(row["metrics"]["seconds_total"])
    return (seconds, peak) if math.isfinite(seconds) else (math.nan, peak)
