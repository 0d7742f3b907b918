"""What a recipe will do, need and cost, and what in it cannot mean what its author thought; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from paraphrase_rl.errors import PrlError
from paraphrase_rl.recipe.arithmetic import (
    Workload,
    auto_learning_rate,
    kept_checkpoints,
    largest_advantage,
    total_steps,
)
from paraphrase_rl.recipe.components import component_models, components
from paraphrase_rl.recipe.loading import DEFAULT, LoadedRecipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.registry import Kind, Registry
from paraphrase_rl.types import Label

if TYPE_CHECKING:
    from paraphrase_rl.data.documents import Corpus

LABELS: tuple[Label, Label] = ("human", "ai")
Level = Literal["ok", "note", "warning", "error"]
TOKENS_PER_WORD = 1.4
"""Of English prose with a vocabulary of 50,000 or more, rounded up; to see whether texts fit, not to bill."""


@dataclass(frozen=True)
class Check:
    """One finding. An error stops the run before it starts; the other levels are for the reader."""

    name: str
    level: Level
    message: str


def preflight(
    loaded: LoadedRecipe,
    registry: Registry,
    corpus: Corpus | None = None,
    backend: str | None = None,
    model_info: ModelInfo | None = None,
    seconds_per_step: float | None = None,
) -> list[Check]:
    """Check a recipe.

    Args:
        corpus: the recipe's data; without it nothing is said about steps and texts.
        backend: the backend it will run on; without it nothing is said about keys that a backend ignores.
        model_info: of the policy; read from its ``config.json`` where that is on this machine.
        seconds_per_step: as measured, for an estimate in hours.
    """
    recipe = loaded.recipe
    checks = [*_components(recipe, registry, backend), *_models(recipe, registry)]
    if model_info is None:
        model_info = find_model(recipe.model).info
    checks += [*_learning_rate(recipe, model_info), *_sampling(recipe), *_advantages(recipe)]
    checks += _rewards(recipe, registry, corpus)
    if backend is not None:
        checks += [*_ignored(loaded, registry, backend), *_runs_on(recipe, registry, backend)]
    if corpus is not None:
        checks += [*_schedule(recipe, corpus, seconds_per_step), *_data(recipe, corpus)]
    return checks


def _components(recipe: Recipe, registry: Registry, backend: str | None) -> Iterator[Check]:
    """Every component is known, its options valid and what it needs installed."""
    wanted: list[tuple[Kind, str, dict[str, object]]] = [
        (kind, component.name, component.options) for kind, component in components(recipe)
    ]
    if backend is not None:
        wanted.append(("backends", backend, {}))
    failed = False
    for kind, name, options in wanted:
        try:
            registry.options(kind, name, options)
            registry.require(kind, name)
        except PrlError as error:
            failed = True
            yield Check(name, "error", error.one_line)
    if not failed:
        yield Check("components", "ok", f"{', '.join(name for _, name, _ in wanted)}: known and installed")


def _models(recipe: Recipe, registry: Registry) -> Iterator[Check]:
    users: dict[str, list[str]] = {recipe.model: ["policy"]}
    for kind, component in components(recipe):
        try:
            models = component_models(kind, component.name, component.options, registry)
        except PrlError:
            continue  # told by _components
        for model in models:
            users.setdefault(model, []).append(component.name)
    for reference, who in users.items():
        found = find_model(reference)
        yield Check("model", found.level, f"{reference} ({', '.join(who)}): {found.message}")


def _learning_rate(recipe: Recipe, model: ModelInfo | None) -> Iterator[Check]:
    rate = recipe.training.learning_rate
    if model is None:
        said = "the formula needs the model's config.json, which is not on this machine"
        yield Check("learning rate", "note", f"{rate}; {said}")
        return
    of = f"hidden size {model.hidden_size}, {model.model_type}"
    try:
        formula = auto_learning_rate(model.hidden_size, model.model_type)
    except PrlError as error:
        level: Level = "error" if rate == "auto" else "note"
        yield Check("learning rate", level, f"{rate}; {error.message} ({of}); {error.hint}")
        return
    basis = "fitted on supervised runs, RL wants less"
    if rate == "auto":
        yield Check("learning rate", "note", f"auto = {formula:.3g} by the formula ({of}); {basis}")
    elif float(rate) > formula:
        yield Check(
            "learning rate",
            "warning",
            f"{rate:g} is above the formula's {formula:.3g} ({of}), itself {basis}",
        )
    else:
        yield Check(
            "learning rate",
            "ok",
            f"{rate:g}, applied as written; the formula gives {formula:.3g} ({of}), {basis}",
        )


def _sampling(recipe: Recipe) -> Iterator[Check]:
    top_p = recipe.sampling.top_p
    if top_p < 1:
        yield Check(
            "top_p",
            "note",
            f"{top_p:g} samples from a truncated distribution while log-probabilities are of the full one; the "
            "importance ratios and the KL are off by that much, little at 0.95",
        )


def _advantages(recipe: Recipe) -> Iterator[Check]:
    grpo, group = recipe.grpo, recipe.training.group_size
    bound = largest_advantage(group, grpo.normalize_advantages)
    if grpo.advantage_clip >= bound:
        yield Check(
            "advantage clip",
            "note",
            f"{grpo.advantage_clip:g} never binds: at group size {group} no advantage exceeds {bound:.2f}",
        )
    else:
        yield Check("advantage clip", "ok", f"{grpo.advantage_clip:g} binds: advantages reach {bound:.2f}")


def _rewards(recipe: Recipe, registry: Registry, corpus: Corpus | None) -> Iterator[Check]:
    """The total must have something to reward, something to protect the meaning, and a gate."""
    has_groups = corpus is None or any(d.group for d in corpus.select(split="train", label="ai"))
    weights: dict[str, float] = {}
    gate = False
    for entry in recipe.rewards:
        try:
            spec = registry.spec("rewards", entry.name)
        except PrlError:
            continue  # told by _components
        if spec.needs_groups and not has_groups:
            yield Check(
                f"reward {entry.name}", "note", "off, its weight dropped: no text to train on says its group"
            )
            continue
        weights[entry.name] = spec.default_weight if entry.weight is None else entry.weight
        gate = gate or spec.gate
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    if not positive:
        yield Check("rewards", "error", "no reward has a positive weight: there is nothing to learn")
    else:
        shown = ", ".join(f"{name} {weight:g}" for name, weight in positive.items())
        few = len(positive) < 3
        yield Check(
            "rewards",
            "warning" if few else "ok",
            f"{shown}" + ("; fewer than three terms are easily gamed" if few else ""),
        )
    if not gate:
        yield Check("rewards", "warning", "no gate: an invalid output can earn the other terms (add format)")
    if "semantic-similarity" not in positive:
        yield Check("rewards", "warning", "nothing keeps the meaning (add semantic-similarity)")
    if all(detector.weight == 0 for detector in recipe.detectors):
        yield Check("detectors", "error", "every detector has weight 0: the ensemble is empty")


def _ignored(loaded: LoadedRecipe, registry: Registry, backend: str) -> Iterator[Check]:
    try:
        ignores = registry.spec("backends", backend).ignores
    except PrlError:
        return  # told by _components
    for key, instead in ignores.items():
        chosen = any(
            origin != DEFAULT for known, origin in loaded.origins.items() if f"{known}.".startswith(f"{key}.")
        )
        yield Check(key, "warning" if chosen else "note", f"reaches nothing on {backend}: {instead}")


def _runs_on(recipe: Recipe, registry: Registry, backend: str) -> Iterator[Check]:
    """What the backend itself has to say about this recipe."""
    try:
        check = registry.spec("backends", backend).check
        notes = check(recipe) if check is not None else {}
    except PrlError as error:
        yield Check(backend, "error", error.one_line)
        return
    for key, does in notes.items():
        yield Check(key, "note", f"on {backend}: {does}")


def _schedule(recipe: Recipe, corpus: Corpus, seconds_per_step: float | None) -> Iterator[Check]:
    training, prompts = recipe.training, len(corpus.select(split="train", label="ai"))
    steps = total_steps(prompts, training)
    if not steps:
        yield Check(
            "steps",
            "error",
            f"{prompts} AI texts in the train split, fewer than training.batch_size {training.batch_size}: no step",
        )
        return
    dropped = prompts % training.batch_size
    yield Check(
        "steps",
        "ok",
        f"{steps:,} = floor({prompts:,} / {training.batch_size}) x {training.epochs} epochs"
        + (f", stopped by max_steps {training.max_steps}" if steps == training.max_steps else "")
        + (
            f"; the incomplete last batch of an epoch ({dropped} of its prompts) is dropped"
            if dropped
            else ""
        ),
    )
    work = Workload.of(steps, training, recipe.evaluation, len(corpus.select(split="test", label="ai")))
    a_step = training.batch_size * training.group_size
    yield Check("rollouts", "ok", f"{a_step} a step, {work.rollouts:,} in all")
    yield Check(
        "evaluations",
        "ok",
        f"{work.evaluations} (every {recipe.evaluation.every} steps), and one before and after; "
        f"{work.evaluation_rollouts:,} rewrites",
    )
    kept = kept_checkpoints(steps, recipe.checkpoints)
    on_disk = f"steps {', '.join(map(str, kept))} and the final one" if kept else "the final one only"
    yield Check("checkpoints", "ok", f"on disk at the end: {on_disk}")
    tokens = (work.rollouts + work.evaluation_rollouts) * recipe.sampling.max_tokens
    message = f"at most {tokens / 1e6:,.1f} million tokens sampled"
    if seconds_per_step is not None:
        message += f", {steps * seconds_per_step / 3600:.1f} hours at {seconds_per_step:g} s a step"
    yield Check("cost", "ok", message)


def _data(recipe: Recipe, corpus: Corpus) -> Iterator[Check]:
    test = corpus.select(split="test", label="ai")
    if not test:
        yield Check("data", "error", "no AI texts in the test split: nothing to evaluate on")
    elif len(test) < recipe.evaluation.prompts:
        yield Check(
            "data", "note", f"evaluation.prompts {recipe.evaluation.prompts}: there are only {len(test)}"
        )
    human, ai = (len(corpus.select(split="calibration", label=label)) for label in LABELS)
    target = recipe.calibration.target_fpr
    if human < 2 or not ai:
        message = (
            f"{human} human and {ai} AI texts in the calibration split: P(AI) needs two and one at least"
        )
        yield Check("data", "error", message)
    elif human * target < 1:
        yield Check(
            "data",
            "warning",
            f"{human} human texts to calibrate on resolve no false positive rate below 1/{human}; "
            f"calibration.target_fpr is {target:g}",
        )
    limit = recipe.sampling.max_tokens / TOKENS_PER_WORD
    train = corpus.select(split="train", label="ai")
    long = sum(len(d.text.split()) > limit for d in train)
    if long:
        yield Check(
            "data",
            "warning",
            f"{long} of {len(train)} texts to train on are longer than sampling.max_tokens "
            f"{recipe.sampling.max_tokens} (at {TOKENS_PER_WORD} tokens a word): rewrites will be cut, and invalid",
        )
    yield from (Check("data", "warning", line) for line in corpus.audit.warnings)
    yield from (Check("data", "note", line) for line in corpus.audit.notes)
