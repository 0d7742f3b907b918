"""Record the healthy and the sick runs that the monitors are tested on.

    python -m tests.training.recordings.record                       # all runs of the tiny model
    python -m tests.training.recordings.record drift stale-sampler   # some of them
    python -m tests.training.recordings.record quickstart=RUN        # the metrics of a real run, by its directory

Each recording is a real training: rollouts, rewards, KLs and updates of the real loop, on a model of 40,000 random
parameters, with one fault really put into it. Two sicknesses are beyond so small a model, which cannot read: for
``copying`` and ``reasoning`` its sampler is replaced with a script that rewrites real texts by leaving words out and
shuffling the rest, and that copies its source or thinks aloud in a share of rollouts that grows by 5 % a step; the gate
that sees it is the real one. ``scripted`` is the same without the fault.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from paraphrase_rl_plugins.backends._sampler import Sampled
from paraphrase_rl_plugins.backends._trainer import RecipeTrainer
from paraphrase_rl_plugins.datasets.starter import Starter
from paraphrase_rl_plugins.rewards.output_format import FormatOptions, OutputFormat

from paraphrase_rl.files import read_jsonl, write_text
from paraphrase_rl.plugin.specs import Context, NoOptions
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.reader import terms_of_run
from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.types import Document, RewardBatch, Terms
from tests.tiny_model import save_tiny_model
from tests.training.runs import backend, documents, recipe

HERE = Path(__file__).parent
STEPS = 30
KEPT = (
    "reward_mean",
    "reward_std",
    "kl_sample_train",
    "kl_post_train",
    "kl_reference",
    "frac_constant_groups",
)
DETAILS = ("_no_copy", "_no_reasoning")

Reward = Callable[[RewardBatch], Terms]


def each(rate: Callable[[str, str], float]) -> Reward:
    """A reward that rates each rewrite by itself, given the source and the rewrite."""
    return lambda batch: Terms(
        np.array(
            [rate(source.text, text) for source, text in zip(batch.sources, batch.rewrites, strict=True)]
        )
    )


def share(text: str, kept: Callable[[str], bool]) -> float:
    return sum(map(kept, text)) / max(1, len(text))


def letters(_: str, text: str) -> float:
    return share(text, lambda c: c.isascii() and c.isalpha())


def common(source: str, text: str) -> float:
    """Share of the source's words that are still there."""
    words = set(source.lower().split())
    return len(words & set(text.lower().split())) / len(words)


def missing(source: str, text: str) -> float:
    """Three times the share of words left out: what the scripted rewrites are paid for."""
    return min(1.0, 3 * max(0.0, 1 - len(text.split()) / len(source.split())))


def stories() -> list[Document]:
    found = [d for d in Starter(NoOptions(), Context()).documents() if d.label == "ai" and d.split == "train"]
    return [Document(id=d.id, text=excerpt(d.text, 40), label="ai") for d in found[:12]]


EVASION = WeightedReward(name="letters", reward=each(letters), weight=3.0, role="evasion", stem="detector")
TOY = (
    EVASION,
    WeightedReward(
        name="calm",
        reward=each(lambda s, t: 1 - 0.5 * share(t, str.isdigit)),
        weight=1.0,
        role="meaning",
        stem="semantic",
    ),
    WeightedReward(
        name="some",
        reward=each(lambda s, t: float(bool(t.strip()))),
        weight=0.5,
        role="validity",
        stem="format",
    ),
)
HACKED = (
    EVASION,
    WeightedReward(
        name="signs", reward=each(lambda s, t: 1 - letters(s, t)), weight=0.0, role="meaning", stem="semantic"
    ),
)
READ = (
    WeightedReward(name="shorter", reward=each(missing), weight=3.0, role="evasion", stem="detector"),
    WeightedReward(name="words", reward=each(common), weight=1.0, role="meaning", stem="semantic"),
    WeightedReward(
        name="format", reward=OutputFormat(FormatOptions()), weight=0.5, role="validity", stem="format"
    ),
)


def scripted(sick: Callable[[str, str], str]) -> Callable[..., list[Sampled]]:
    """A sampler that shuffles the words of its source; ``sick`` makes of source and rewrite what the fault makes."""

    def sample(trainer: Any, step: int, indices: Sequence[int], prompts: object) -> list[Sampled]:
        found = []
        for index in indices:
            for row in range(trainer.num_generations):
                rng = np.random.default_rng((*trainer.session.noise_key(step, index), row))
                source = trainer.session.train[index].text
                words = source.split()
                kept = rng.permutation(len(words))[: round(len(words) * rng.uniform(0.8, 1.0))]
                text = " ".join(words[i] for i in kept)
                if rng.random() < 0.05 * (step - 1):
                    text = sick(source, text)
                ids = trainer._tokenizer(text, add_special_tokens=False)["input_ids"]
                found.append(Sampled([*ids, trainer._tokenizer.eos_token_id], [], True))
        return found

    return sample


def stale(trainer: Any, *arguments: Any) -> list[Sampled]:
    """The real sampler with the weights that it was started with: those of a run whose sampler is never told."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    trained = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_B" in name}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in trained:
                parameter.zero_()
    try:
        return SAMPLE(trainer, *arguments)
    finally:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in trained:
                    parameter.copy_(trained[name])


SAMPLE = RecipeTrainer._sample


@dataclass(frozen=True)
class Recorded:
    """A run to record: its fault, the rules that must find it, and what it is made with."""

    what: str
    finds: tuple[str, ...] = ()
    rate: float = 3e-4
    kl: float = 0.01
    terms: tuple[WeightedReward, ...] = TOY
    sample: Callable[..., list[Sampled]] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


RUNS = {
    "tiny": Recorded("a tiny model at a modest learning rate"),
    "scripted": Recorded(
        "rewrites of real texts by a script",
        rate=1e-5,
        terms=READ,
        sample=scripted(lambda source, text: text),
    ),
    "collapse": Recorded("a learning rate a thousand times too high", ("mode-collapse",), rate=0.3),
    "drift": Recorded("no KL penalty and a high learning rate", ("far-from-base",), rate=0.02, kl=0.0),
    "one-sided": Recorded(
        "a total that pays for one term alone", ("one-sided-gain",), rate=0.01, terms=HACKED
    ),
    "stale-sampler": Recorded(
        "a sampler that never gets the trained weights", ("sampler-mismatch",), rate=0.01, sample=stale
    ),
    "copying": Recorded(
        "a policy that copies its source more and more often",
        ("copying",),
        rate=1e-5,
        terms=READ,
        sample=scripted(lambda source, text: source),
    ),
    "reasoning": Recorded(
        "a policy that thinks aloud more and more often",
        ("reasoning-leaks",),
        rate=1e-5,
        terms=READ,
        sample=scripted(
            lambda source, text: f"Okay, let me think. The user wants a rewrite.\n</think>\n\n{text}"
        ),
    ),
}


REAL = {
    "quickstart": (
        "the quickstart on the packaged 135M model, with a learning rate for a dozen steps: its alarm is right",
        ("step-too-large",),
    ),
    "published-rate": ("the quickstart at the learning rate of the published recipe", ()),
}


@contextmanager
def fault(run: Recorded) -> Iterator[None]:
    if run.sample is None:
        yield
    else:
        with mock.patch.object(RecipeTrainer, "_sample", run.sample):
            yield


def train(run: Recorded, folder: Path) -> Path:
    """Train the run in a new folder."""
    texts = documents(12) if run.terms is not READ else stories()
    settings: Recipe = recipe(
        save_tiny_model(folder / "model"),
        training={
            "batch_size": 2,
            "group_size": 6,
            "epochs": 9,
            "max_steps": STEPS,
            "learning_rate": run.rate,
        },
        kl={"penalty_coef": run.kl},
        sampling={"max_tokens": 12 if run.terms is not READ else 512},
        checkpoints={"every": 1000, "keep": 1},
    )
    directory = RunDirectory.create(folder / "run")
    directory.begin("model: tiny\n", {})
    session = TrainingSession(
        recipe=settings,
        directory=directory,
        train=texts[:10],
        test=texts[10:],
        reward=ComposedReward(run.terms),
        report=reporter(None),
        observe=lambda folder, record: None,
    )
    try:
        with fault(run):
            backend().train(session)
    finally:
        directory.close()
    return directory.folder


def write(name: str, folder: Path, terms: Sequence[RewardTerm], what: str, finds: Sequence[str]) -> None:
    """Write what the monitors look at, to five digits."""
    rows = [row["metrics"] for row in read_jsonl(folder / "metrics.jsonl")]
    metrics = {term.metric for term in terms}
    columns = [key for key in rows[0] if key in KEPT or key in metrics or key.endswith(DETAILS)]
    table = [[None if row[key] is None else float(f"{row[key]:.5g}") for key in columns] for row in rows]
    head = {
        "what": what,
        "finds": list(finds),
        "terms": [{"name": t.name, "role": t.role, "metric": t.metric} for t in terms],
        "columns": columns,
    }
    lines = ",\n  ".join(json.dumps(row) for row in table)
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "rows": [\n  {lines}\n ]\n}}\n'
    write_text(HERE / f"{name}.json", text)


def main(asked: Sequence[str]) -> None:
    for name in asked or RUNS:
        name, equals, folder = name.partition("=")
        if equals:
            write(name, Path(folder), terms_of_run(Path(folder)), *REAL[name])
            continue
        run = RUNS[name]
        with tempfile.TemporaryDirectory() as scratch:
            write(name, train(run, Path(scratch)), [t.term for t in run.terms], run.what, run.finds)


if __name__ == "__main__":
    main(sys.argv[1:])
