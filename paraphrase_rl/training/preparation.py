"""Preparation of a training: what is given, what is calibrated and copied, and what a resumed run may have changed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.data.spread import spread
from paraphrase_rl.detection.ensemble import CalibratedEnsemble, load_ensemble
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.known_signal import keep_signal, signal_key
from paraphrase_rl.detection.signal import carries_the_signal, nothing_to_evade, signals
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.detection.trainable import keep_fitted
from paraphrase_rl.errors import RunError
from paraphrase_rl.files import expanded
from paraphrase_rl.models.precision import Precision, decide
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Report
from paraphrase_rl.recipe.loading import LoadedRecipe, dump_recipe, plain
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.backend import ChosenBackend
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.runs.manifest import manifest
from paraphrase_rl.runs.reader import manifest_of
from paraphrase_rl.training.changes import INITIAL, Initial, initial_in
from paraphrase_rl.training.processes import is_first
from paraphrase_rl.training.prompt_order import prompt_order
from paraphrase_rl.training.reward import ComposedReward, build_reward
from paraphrase_rl.training.session import TrainingSession
from paraphrase_rl.training.warmup import WarmupSession
from paraphrase_rl.training.warmup_pairs import PairMaker
from paraphrase_rl.training.warmup_texts import given_pairs, own_texts
from paraphrase_rl.types import Document


@dataclass(frozen=True, kw_only=True)
class Start:
    """Inputs for starting or resuming a training.

    Attributes:
        loaded: the recipe; for a resumed run, the run's own.
        folder: the run directory.
        resume: whether the directory holds a run to continue.
        changed: recipe keys whose values are others than when the resumed run began.
        initial: weights of another run to begin with.
        backend: backend to train on.
        device: torch device of the detectors, the rewards, and a local backend.
        max_cost: the most that the run may cost, in the currency of the prices; ``None`` = any sum.
        prices: a price table to use instead of the backend's own.
        report: function that shows one line of progress, with the number of steps done after each step.
        stop_requested: called after each step; if it returns True, the run stops with a checkpoint.
    """

    loaded: LoadedRecipe
    folder: Path
    resume: bool
    backend: ChosenBackend
    device: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    initial: Initial | None = None
    max_cost: float | None = None
    prices: Path | None = None
    report: Report
    stop_requested: Callable[[], bool]


def calibrated(
    recipe: Recipe, registry: Registry, corpus: Corpus, context: Context, report: Report
) -> CalibratedEnsemble:
    """Calibrate the detectors of a recipe on the calibration split of its texts; what they flag is kept for checks.

    Args:
        context: device and precision of the detectors.

    Raises:
        PrlError: a detector cannot be built, or there are too few texts.
    """
    names = ", ".join(detector.name for detector in recipe.detectors)
    report(f"calibrating {names} on held-out texts of {corpus.source}")
    ensemble = calibrate(
        [build_detector(registry, context, d.name, d.options, d.weight) for d in recipe.detectors],
        corpus.select(split="calibration"),
        usual_rates(recipe.calibration.target_fpr),
        source=corpus.source,
        excerpt_words=recipe.data.excerpt_words,
        combine=recipe.ensemble.combine,
        precision=context.precision,
    )
    listed = [(detector.name, detector.options, detector.weight) for detector in recipe.detectors]
    keep_signal(signal_key(registry, listed, corpus.digest, recipe.calibration.target_fpr), ensemble)
    return ensemble


def precision_of(start: Start) -> Precision | None:
    """Decide on the precision of a run; a resumed one keeps its own, ``None`` if it is older than the choice.

    Raises:
        RunError: the manifest of the run is damaged.
        UsageError: the recipe's precision cannot be had on the device.
    """
    if not start.resume:
        return decide(start.loaded.recipe.precision, start.device)
    found = manifest_of(start.folder).get("precision")
    if found is not None and found not in get_args(Precision):
        raise RunError(
            f"{start.folder} began in an unknown precision, {found!r:.40}", "restore its manifest.json"
        )
    return cast("Precision | None", found)


def prepare(
    start: Start, registry: Registry, corpus: Corpus, directory: RunDirectory, context: Context
) -> TrainingSession:
    """Begin the directory of a run, or rewind it to its last checkpoint; return its session, ready to start.

    Args:
        context: device and precision of detectors and rewards.

    Raises:
        RunError: the data or a model has changed since the run began, or its files are damaged.
        PrlError: a detector or a reward cannot be built, or there are too few texts.
    """
    recipe, folder, checkpoint = start.loaded.recipe, start.folder, None
    facts = manifest(
        recipe,
        registry,
        corpus,
        backend=start.backend.name,
        options=start.backend.options,
        device=start.device,
        precision=context.precision,
    )
    facts["recipe"] = plain(recipe)
    if start.initial is not None:
        facts["from"] = start.initial.facts()
    if start.resume:
        _check_same_inputs(folder, facts)
        ensemble = load_ensemble(folder / "calibration.json", registry, context)
        checkpoint = directory.checkpoints.last()
    else:
        ensemble = calibrated(recipe, registry, corpus, context, start.report)
    train = list(corpus.select(split="train", label="ai"))
    context = replace(context, ensemble=ensemble)
    reward = build_reward(recipe, registry, context, any(d.group for d in train))
    signal = signals(ensemble)
    told = [carries_the_signal(signal), nothing_to_evade(signal)]
    for note in (*ensemble.warnings(), *filter(None, told), *reward.notes):
        start.report(f"note: {note}")
    if start.resume:
        for damaged in directory.checkpoints.passed_over:
            start.report(f"note: a damaged checkpoint is not used: {damaged}")
        steps = len(prompt_order(len(train), recipe.training))
        if start.changed:
            _change(start, directory, steps)
        directory.rewind(checkpoint[0] if checkpoint else -1, steps)
        for damaged in directory.checkpoints.passed_over:
            directory.event("damaged", checkpoint=damaged)
        begun = "from its warm-up" if directory.has_warmup else "from its beginning"
        where = f"after step {checkpoint[0]}" if checkpoint else begun
        start.report(f"resuming {folder} {where}")
    else:
        if directory.writes:
            kept = keep_fitted(ensemble, registry, folder / "detectors", directory.start.keep_folder)
            kept.to_file(folder / "calibration.json", directory.start.keep)
            if start.initial is not None and isinstance(start.initial.place, Path):
                directory.start.keep_folder(
                    start.initial.place, folder / INITIAL, set(facts["from"]["sha256"])
                )
        directory.begin(dump_recipe(start.loaded), facts)
    return TrainingSession(
        recipe=recipe,
        directory=directory,
        train=train,
        test=_evaluated(recipe, corpus, directory, rewound=checkpoint is None and not directory.has_warmup),
        reward=reward,
        report=start.report,
        observe=registry.plugins.on_step_end,
        stop_requested=start.stop_requested,
        resume_from=checkpoint,
        start_from=_start_from(start),
        warmup=_warmup(start, corpus, directory, reward),
    )


def _evaluated(recipe: Recipe, corpus: Corpus, directory: RunDirectory, *, rewound: bool) -> list[Document]:
    """Texts of the evaluations of a run: those of its first one, which another version may have chosen differently.

    Args:
        rewound: whether the run begins, or begins again: then no evaluation of it stays, though another process may
            not have removed it yet.
    """
    test = corpus.select(split="test", label="ai")
    for row in [] if rewound else directory.rows("evaluations.jsonl", ("prompts",))[:1]:
        same = [document for document in test if document.id in row["prompts"]]
        if len(same) == len(row["prompts"]):  # files that were moved give their texts other ids
            return same
    return spread(test, recipe.evaluation.prompts)


def _warmup(
    start: Start, corpus: Corpus, directory: RunDirectory, reward: ComposedReward
) -> WarmupSession | None:
    """The warm-up of a recipe that has one, on texts of the train split."""
    recipe = start.loaded.recipe
    settings = recipe.warmup
    if settings.method is None:
        return None
    pairs = PairMaker(
        recipe=recipe,
        directory=directory,
        texts=own_texts(corpus, recipe),
        given=lambda: given_pairs(expanded(settings.path or ""), corpus, settings.texts),
        reward=reward,
        report=start.report,
        stop_requested=start.stop_requested,
    )
    return WarmupSession(
        recipe=recipe,
        directory=directory,
        pairs=pairs,
        report=start.report,
        stop_requested=start.stop_requested,
    )


def _start_from(start: Start) -> Path | str | None:
    if not is_first() and not start.resume:  # the first process is still writing the directory
        return None if start.initial is None else start.initial.place
    return initial_in(start.folder)


def is_done(start: Start, corpus: Corpus, directory: RunDirectory) -> bool:
    """Check the changes of a run that has begun; if it has all its steps, carry them out and return True.

    Raises:
        RunError: the run has done more steps than it would have, or has no checkpoint to do more from.
    """
    steps = len(prompt_order(len(corpus.select(split="train", label="ai")), start.loaded.recipe.training))
    if directory.last_step > steps:
        raise RunError(
            f"{start.folder} has done {directory.last_step} steps, more than the {steps} of the changed recipe",
            "choose no fewer steps than it has done",
        )
    if not directory.finished:
        return False
    last = directory.checkpoints.last()
    if last is None and directory.last_step < steps:
        raise RunError(
            f"{start.folder} is complete and has no checkpoint with the optimizer's state to do more steps from",
            f"start a new run from its weights: prl train --from {shlex.quote(str(start.folder))}",
        )
    if directory.last_step < steps:
        return False
    _change(start, directory, steps)
    start.report(f"{start.folder} is already complete")
    return True


def _change(start: Start, directory: RunDirectory, steps: int) -> None:
    facts = {**manifest_of(start.folder), "recipe": plain(start.loaded.recipe)}
    directory.change(dump_recipe(start.loaded), facts, steps=steps, keys=dict(start.changed))
    start.report(f"note: changed in this run: {', '.join(sorted(start.changed))}")


def _check_same_inputs(folder: Path, now: dict[str, Any]) -> None:
    """Refuse texts or models that changed since the run began: its numbers would mean something else."""
    then = manifest_of(folder, ["data", "models"])
    if then["data"].get("digest") != now["data"]["digest"]:
        raise RunError(
            f"the data of {folder} has changed since the run began",
            "restore the same texts, or start a new run",
        )
    for reference, revision in now["models"].items():
        if then["models"].get(reference) != revision:
            raise RunError(
                f"model {reference} has changed since {folder} began",
                "restore the same model, or start a new run",
            )
