"""Checks of a recipe before it runs: what it does, needs and costs, and likely mistakes. Nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from paraphrase_rl.errors import PrlError
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import RewardRole, RewardSpec
from paraphrase_rl.recipe.arithmetic import (
    Workload,
    auto_learning_rate,
    kept_checkpoints,
    largest_advantage,
    total_steps,
)
from paraphrase_rl.recipe.cost import TOKENS_PER_WORD, Bill, Prices, bill
from paraphrase_rl.recipe.loading import DEFAULT, LoadedRecipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from paraphrase_rl.recipe.schema import CheckpointSettings, Recipe
from paraphrase_rl.types import Kind, Label, Split

if TYPE_CHECKING:
    from paraphrase_rl.data.documents import Corpus

LABELS: tuple[Label, Label] = ("human", "ai")
SPLITS: tuple[Split, Split] = ("train", "test")
Level = Literal["ok", "note", "warning", "error"]
MAX_COST = "max cost"
"""Name of the check on the cost limit."""
LOGGED_SECONDS = (30, 250)
"""Seconds per step, lowest and highest, in logs of published runs of the recipe; used if nothing was measured."""


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
    prices: Prices | None = None,
    max_cost: float | None = None,
) -> list[Check]:
    """Check a recipe.

    Args:
        corpus: the recipe's data; without it, steps and texts are not checked.
        backend: the backend it will run on; without it, keys that a backend ignores are not checked.
        model_info: facts about the policy's model; by default read from its ``config.json``, if that is on this
            machine.
        seconds_per_step: measured seconds per step, to estimate how long the run takes.
        prices: price table of the backend; without it, no cost in money is estimated.
        max_cost: limit of the cost; an error if the run could cost more, or if its cost cannot be estimated.
    """
    recipe = loaded.recipe
    remote = _is_remote(registry, backend)
    checks = [*_components(recipe, registry, backend), *_models(recipe, registry, remote)]
    if model_info is None:
        model_info = find_model(recipe.model).info
    checks += [*_learning_rate(recipe, model_info), *_sampling(recipe), *_advantages(recipe)]
    checks += _rewards(recipe, registry, corpus)
    if backend is not None:
        checks += [*_ignored(loaded, registry, backend), *_runs_on(recipe, registry, backend)]
    if corpus is not None:
        checks += _schedule(recipe, corpus, remote)
        if prices is None:
            checks += _effort(recipe, corpus, seconds_per_step)
        else:
            checks += _bill(recipe, corpus, prices, seconds_per_step)
        checks += _data(recipe, corpus)
    if max_cost is not None:
        checks.append(_within(max_cost, recipe, corpus, prices))
    return checks


def _components(recipe: Recipe, registry: Registry, backend: str | None) -> Iterator[Check]:
    """Check that every component is known, its options are valid and its packages are installed."""
    wanted: list[tuple[Kind, str, dict[str, object]]] = [
        (kind, component.name, component.options) for kind, component in recipe.components()
    ]
    if backend is not None:
        wanted.append(("backends", backend, {}))
    failed = False
    for kind, name, options in wanted:
        try:
            if kind != "backends":  # whose options are given with a run, not by its recipe
                registry.options(kind, name, options)
            registry.require(kind, name)
        except PrlError as error:
            failed = True
            yield Check(name, "error", error.one_line)
    if not failed:
        yield Check("components", "ok", f"{', '.join(name for _, name, _ in wanted)}: known and installed")


def _is_remote(registry: Registry, backend: str | None) -> bool:
    try:
        return backend is not None and registry.spec("backends", backend).remote
    except PrlError:
        return False  # reported by _components


def _models(recipe: Recipe, registry: Registry, remote: bool) -> Iterator[Check]:
    users: dict[str, list[str]] = {recipe.model: ["policy"]}
    for kind, component in recipe.components():
        try:
            models = registry.models(kind, component.name, component.options)
        except PrlError:
            continue  # reported by _components
        for model in models:
            users.setdefault(model, []).append(component.name)
    for reference, who in users.items():
        found = find_model(reference, weights=not remote or who != ["policy"])
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
    basis = "a formula fitted on supervised runs; RL needs less"
    if rate == "auto":
        yield Check("learning rate", "note", f"auto = {formula:.3g} ({of}) by {basis}")
    elif float(rate) > formula:
        yield Check(
            "learning rate",
            "warning",
            f"{rate:g} is above {formula:.3g} ({of}), which comes from {basis}",
        )
    else:
        yield Check(
            "learning rate",
            "ok",
            f"{rate:g}, applied exactly as written; {formula:.3g} ({of}) comes from {basis}",
        )


def _sampling(recipe: Recipe) -> Iterator[Check]:
    top_p = recipe.sampling.top_p
    if top_p < 1:
        yield Check(
            "top_p",
            "note",
            f"{top_p:g} samples from a truncated distribution, but log-probabilities are those of the full one; "
            "importance ratios and KL are biased by the difference, which is small at 0.95",
        )


def _advantages(recipe: Recipe) -> Iterator[Check]:
    grpo, group = recipe.grpo, recipe.training.group_size
    bound = largest_advantage(group, grpo.normalize_advantages)
    if grpo.advantage_clip >= bound:
        yield Check(
            "advantage clip",
            "note",
            f"{grpo.advantage_clip:g} has no effect: at group size {group} no advantage exceeds {bound:.2f}",
        )
    else:
        yield Check(
            "advantage clip", "ok", f"{grpo.advantage_clip:g} clips some advantages, which reach {bound:.2f}"
        )


def _rewards(recipe: Recipe, registry: Registry, corpus: Corpus | None) -> Iterator[Check]:
    """Check that the rewards have a positive weight, protect the meaning, and include a gate."""
    has_groups = corpus is None or any(d.group for d in corpus.select(split="train", label="ai"))
    weights: dict[str, float] = {}
    roles: set[RewardRole] = set()
    for entry in recipe.rewards:
        try:
            spec = registry.spec("rewards", entry.name)
        except PrlError:
            continue  # reported by _components
        if spec.needs_groups and not has_groups:
            yield Check(
                f"reward {entry.name}",
                "note",
                "switched off, its weight is dropped: no training text has a group",
            )
            continue
        weights[entry.name] = spec.default_weight if entry.weight is None else entry.weight
        if spec.gate or weights[entry.name] > 0:
            roles.add(spec.role)
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    if not positive:
        yield Check("rewards", "error", "no reward has a positive weight: there is nothing to learn")
    else:
        shown = ", ".join(f"{name} {weight:g}" for name, weight in positive.items())
        few = len(positive) < 3
        yield Check(
            "rewards",
            "warning" if few else "ok",
            f"{shown}" + ("; fewer than three terms are easy to exploit" if few else ""),
        )
    if "validity" not in roles:
        add = _of_role(registry, "validity")
        yield Check(
            "rewards", "warning", f"no gate: an invalid output can earn the other rewards (add {add})"
        )
    if "meaning" not in roles:
        add = _of_role(registry, "meaning")
        yield Check("rewards", "warning", f"nothing keeps the meaning (add {add})")
    if all(detector.weight == 0 for detector in recipe.detectors):
        yield Check("detectors", "error", "every detector has weight 0: the ensemble is empty")


def _of_role(registry: Registry, role: RewardRole) -> str:
    """Names of the installed rewards of a role, as advice."""
    specs = (entry.spec for entry in registry.entries("rewards"))
    names = [spec.name for spec in specs if isinstance(spec, RewardSpec) and spec.role == role]
    return " or ".join(names) or f"a reward of role {role}; none is installed"


def _ignored(loaded: LoadedRecipe, registry: Registry, backend: str) -> Iterator[Check]:
    try:
        ignores = registry.spec("backends", backend).ignores
    except PrlError:
        return  # reported by _components
    for key, instead in ignores.items():
        chosen = any(
            origin != DEFAULT for known, origin in loaded.origins.items() if f"{known}.".startswith(f"{key}.")
        )
        yield Check(key, "warning" if chosen else "note", f"has no effect on {backend}: {instead}")


def _runs_on(recipe: Recipe, registry: Registry, backend: str) -> Iterator[Check]:
    """Notes of the backend about this recipe."""
    try:
        check = registry.spec("backends", backend).check
        notes = check(recipe) if check is not None else {}
    except PrlError as error:
        yield Check(backend, "error", error.one_line)
        return
    for key, does in notes.items():
        yield Check(key, "note", f"on {backend}: {does}")


def _schedule(recipe: Recipe, corpus: Corpus, remote: bool) -> Iterator[Check]:
    training, prompts = recipe.training, len(corpus.select(split="train", label="ai"))
    steps = total_steps(prompts, training)
    if not steps:
        yield Check(
            "steps",
            "error",
            f"{prompts} AI texts in the train split, fewer than training.batch_size {training.batch_size}",
        )
        return
    dropped = prompts % training.batch_size
    yield Check(
        "steps",
        "ok",
        f"{steps:,} = floor({prompts:,} / {training.batch_size}) x {training.epochs} epochs"
        + (f", limited by max_steps {training.max_steps}" if steps == training.max_steps else "")
        + (
            f"; the incomplete last batch of an epoch ({dropped} of its prompts) is dropped"
            if dropped
            else ""
        ),
    )
    work = _work(recipe, corpus)
    a_step = training.batch_size * training.group_size
    yield Check("rollouts", "ok", f"{a_step} per step, {work.rollouts:,} in all")
    yield Check(
        "evaluations",
        "ok",
        f"{work.evaluations} (every {recipe.evaluation.every} steps), and one before and after; "
        f"{work.evaluation_rollouts:,} rewrites",
    )
    yield Check("checkpoints", "ok", _checkpoints(steps, recipe.checkpoints, remote))


def _checkpoints(steps: int, settings: CheckpointSettings, remote: bool) -> str:
    """Checkpoints that will exist at the end, and where."""
    if remote:
        periodic = f"{steps // settings.every} (every {settings.every} steps)"
        return f"at the service, none on disk: {periodic} and the final one; prl export downloads one"
    kept = kept_checkpoints(steps, settings)
    which = f"steps {', '.join(map(str, kept))} and the final one" if kept else "the final one only"
    return f"on disk at the end: {which}"


def _effort(recipe: Recipe, corpus: Corpus, seconds_per_step: float | None) -> Iterator[Check]:
    """Tokens and hours of a run where nothing is charged."""
    work = _work(recipe, corpus)
    tokens = (work.rollouts + work.evaluation_rollouts) * recipe.sampling.max_tokens
    message = f"at most {tokens / 1e6:,.1f} million tokens sampled"
    if seconds_per_step is not None:
        message += f", {work.steps * seconds_per_step / 3600:.1f} hours at {seconds_per_step:g} s per step"
    if work.steps:
        yield Check("cost", "ok", message)


def _work(recipe: Recipe, corpus: Corpus) -> Workload:
    train, test = (len(corpus.select(split=split, label="ai")) for split in SPLITS)
    return Workload.of(total_steps(train, recipe.training), recipe.training, recipe.evaluation, test)


def _billed(recipe: Recipe, corpus: Corpus, prices: Prices) -> Bill:
    train, test = (corpus.select(split=split, label="ai") for split in SPLITS)
    return bill(recipe, _work(recipe, corpus), prices.passes, train, test)


def _bill(recipe: Recipe, corpus: Corpus, prices: Prices, seconds_per_step: float | None) -> Iterator[Check]:
    """Tokens, hours and cost, each with the assumptions behind it."""
    counted = _billed(recipe, corpus, prices)
    for name, of_kind in (("in", "prefill"), ("out", "sample"), ("trained", "train")):
        expected, most = getattr(counted.expected, of_kind) / 1e6, getattr(counted.most, of_kind) / 1e6
        yield Check(
            f"tokens {name}", "ok", f"{expected:,.1f} million expected, at most {most:,.1f} ({of_kind})"
        )
    steps = _work(recipe, corpus).steps
    if seconds_per_step is not None:
        hours = f"{steps * seconds_per_step / 3600:.1f} at {seconds_per_step:g} s per step"
    else:
        low, high = (steps * seconds / 3600 for seconds in LOGGED_SECONDS)
        hours = (
            f"{low:.0f} to {high:.0f}, at the {LOGGED_SECONDS[0]} to {LOGGED_SECONDS[1]} s per step of published "
            "runs; measure a few steps and give --seconds-per-step"
        )
    yield Check("hours", "ok", hours)
    price = prices.models.get(recipe.model)
    if price is None:
        known = suggestion(recipe.model, prices.models)
        yield Check("price", "warning", f"no price is known for {recipe.model}; {known}")
        return
    yield Check(
        "price",
        "warning" if price.note else "ok",
        f"{price.prefill:g} in, {price.sample:g} out, {price.train:g} trained, {prices.currency} per million tokens of "
        f"{recipe.model} on {price.date} ({price.source})" + (f"; {price.note}" if price.note else ""),
    )
    yield Check(
        "cost",
        "ok",
        f"{counted.expected.cost(price):,.2f} {prices.currency} expected, at most {counted.most.cost(price):,.2f}",
    )
    yield Check(
        "assumptions",
        "note",
        f"a rewrite is expected to be as long as its source, and is at most {recipe.sampling.max_tokens} tokens; "
        f"{TOKENS_PER_WORD} tokens per word; {prices.assumptions}",
    )


def _within(limit: float, recipe: Recipe, corpus: Corpus | None, prices: Prices | None) -> Check:
    """Check the highest possible cost of a run against the limit."""
    price = prices.models.get(recipe.model) if prices is not None else None
    if prices is None or price is None or corpus is None:
        why = "its data" if corpus is None else f"a price of {recipe.model} (give one with --prices FILE)"
        return Check(MAX_COST, "error", f"cannot check the cost limit of {limit:g}: that needs {why}")
    most = _billed(recipe, corpus, prices).most.cost(price)
    said = f"at most {most:,.2f} {prices.currency}, {limit:,.2f} allowed"
    if most <= limit:
        return Check(MAX_COST, "ok", said)
    less = "lower training.max_steps, training.epochs or sampling.max_tokens, or raise the limit"
    return Check(MAX_COST, "error", f"{said}: {less}")


def _data(recipe: Recipe, corpus: Corpus) -> Iterator[Check]:
    test = corpus.select(split="test", label="ai")
    if not test:
        yield Check("data", "error", "no AI texts in the test split: nothing to evaluate on")
    elif len(test) < recipe.evaluation.prompts:
        yield Check(
            "data",
            "note",
            f"evaluation.prompts {recipe.evaluation.prompts}: the test split has only {len(test)} AI texts",
        )
    human, ai = (len(corpus.select(split="calibration", label=label)) for label in LABELS)
    target = recipe.calibration.target_fpr
    if human < 2 or not ai:
        message = f"{human} human and {ai} AI texts in the calibration split: P(AI) needs at least 2 and 1"
        yield Check("data", "error", message)
    elif human * target < 1:
        yield Check(
            "data",
            "warning",
            f"{human} human texts in the calibration split cannot show a false positive rate below 1/{human}; "
            f"calibration.target_fpr is {target:g}",
        )
    limit = recipe.sampling.max_tokens / TOKENS_PER_WORD
    train = corpus.select(split="train", label="ai")
    long = sum(len(d.text.split()) > limit for d in train)
    if long:
        yield Check(
            "data",
            "warning",
            f"{long} of {len(train)} training texts are longer than sampling.max_tokens "
            f"{recipe.sampling.max_tokens} (at {TOKENS_PER_WORD} tokens per word): "
            "their rewrites will be cut and invalid",
        )
    yield from (Check("data", "warning", line) for line in corpus.audit.warnings)
    yield from (Check("data", "note", line) for line in corpus.audit.notes)
