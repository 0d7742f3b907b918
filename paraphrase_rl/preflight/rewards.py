"""Rewards and detectors: whether the total can be learned from, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from paraphrase_rl.errors import PrlError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import RewardRole, RewardSpec
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.schema import RewardTermSettings

TERMS = Rule(
    "PRL035",
    "ok",
    "rewards",
    "The total reward is the mean of these terms, weighted by these numbers. Each lies in [0, 1], higher is better, "
    "and an invalid output gets a total of 0. The published running z-scores had no bounds: an output that could not "
    "be parsed (-1) earned more than a bad rewrite (-3).",
)
NOTHING_TO_LEARN = Rule(
    "PRL036",
    "error",
    "rewards",
    "No term of the total reward has a weight above 0, so that every rollout earns the same.",
    "give at least one reward a weight above 0",
)
FEW_TERMS = Rule(
    "PRL037",
    "warning",
    "rewards",
    "Fewer than three terms with a weight: a policy soon finds outputs that satisfy one or two terms and are no "
    "rewrites. The recipe asks for three to five, never one.",
    "add reward terms; `prl plugins rewards` lists them",
)
NO_GATE = Rule(
    "PRL038",
    "warning",
    "rewards",
    "No reward is a gate, which makes the total of an invalid output 0: an empty answer, a copy or a refusal can "
    "earn the other terms.",
    "add a reward of role validity",
)
NO_MEANING = Rule(
    "PRL039",
    "warning",
    "rewards",
    "No reward depends on the meaning of the source: a fluent text about something else earns as much as a "
    "rewrite.",
    "add a reward of role meaning",
)
NO_GROUPS = Rule(
    "PRL040",
    "note",
    "rewards",
    "A reward applies only to texts with a group of writers. No training text has one, so the reward is left out "
    "of the total.",
    "give the texts a column group, or remove the reward",
)
NO_ENSEMBLE = Rule(
    "PRL041",
    "error",
    "detectors",
    "Every detector of the ensemble has weight 0, so that there is no P(AI).",
    "give at least one detector a weight above 0",
)
WHITE_BOX = Rule(
    "PRL042",
    "note",
    "detectors",
    "A detector scores with the policy's own model and so knows the policy's habits better than an outsider "
    "would. What evades it may not evade a detector on another model, and the reverse.",
    "evaluate with held-out detectors on a model of another family too",
)
INCOMPLETE_CONDITION = Rule(
    "PRL043",
    "error",
    "rewards",
    "A conditional total pays for evasion in proportion to the meaning kept: it needs a reward of each of these "
    "roles.",
    "add one with a weight above 0, or set rewards_combine: mean",
)
NO_EVASION = Rule(
    "PRL044",
    "warning",
    "rewards",
    "No reward with a weight pays for evasion: the policy learns to paraphrase, and detectors do not matter.",
    "add a reward of role evasion",
)
FLOOR = Rule(
    "PRL045",
    "warning",
    "rewards",
    "The reward for the meaning pays nothing for values that acceptance allows. The published code did so: no "
    "credit below 0.90, while its acceptance asks for 0.88.",
    "lower the reward's floor below acceptance.meaning",
)
SATURATION = Rule(
    "PRL046",
    "warning",
    "rewards",
    "The reward for the meaning pays nothing more from a value on that is too low for acceptance.",
    "raise the reward's saturation to acceptance.meaning or above",
)
NO_FLUENCY = Rule(
    "PRL047",
    "warning",
    "rewards",
    "No reward with a weight depends on the fluency of the rewrite. Similarity alone hides damage: published "
    "policies keep it at 0.90 while perplexity grows 5.6-fold and marks for quality fall from 3.8 to 2.5 of 5.",
    "add a reward of role fluency",
)
PAID_BELOW_THRESHOLD = Rule(
    "PRL048",
    "note",
    "rewards",
    "The evasion reward goes on rising below the threshold of a detector, where nothing is flagged any more, and "
    "so pays for damage: the deepest escapes write worst (r = .52 in a published run).",
    "set its saturation below 1, or its option shape to threshold",
)
NO_VOTE = Rule(
    "PRL049",
    "note",
    "dead key",
    "A weight of 0: the reward is recorded and takes no part in the total. Or ensemble.combine with a single "
    "detector, which has nothing to combine.",
)


def check(case: Case) -> Iterator[Finding]:
    """Check that the rewards have a positive weight, protect the meaning, and include a gate."""
    recipe, registry = case.recipe, case.registry
    has_groups = case.corpus is None or any(document.group for document in case.prompts("train"))
    weights: dict[str, float] = {}
    roles: set[RewardRole] = set()
    for entry in recipe.rewards:
        try:
            spec = registry.spec("rewards", entry.name)
        except PrlError:
            continue  # reported by the check of the components
        if spec.needs_groups and not has_groups:
            said = f"{entry.name} is switched off, its weight is dropped: no training text has a group"
            yield NO_GROUPS.found(said, key=f"rewards.{entry.name}")
            continue
        weights[entry.name] = spec.default_weight if entry.weight is None else entry.weight
        if spec.gate or weights[entry.name] > 0:
            roles.add(spec.role)
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    if not positive:
        yield NOTHING_TO_LEARN.found(
            "no reward has a positive weight: there is nothing to learn", key="rewards"
        )
    else:
        shown = ", ".join(f"{name} {weight:g}" for name, weight in positive.items())
        if len(positive) < 3:
            yield FEW_TERMS.found(f"{shown}; fewer than three terms are easy to exploit", key="rewards")
        else:
            yield TERMS.found(shown, key="rewards")
    yield from _total(case, weights, roles)
    if "validity" not in roles:
        add = _of_role(registry, "validity")
        said = "no gate: an invalid output can earn the other rewards"
        yield NO_GATE.found(said, key="rewards", remedy=f"add {add}")
    if "meaning" not in roles:
        yield NO_MEANING.found(
            "nothing keeps the meaning", key="rewards", remedy=f"add {_of_role(registry, 'meaning')}"
        )
    if all(detector.weight == 0 for detector in recipe.detectors):
        yield NO_ENSEMBLE.found("every detector has weight 0: the ensemble is empty", key="detectors")
    yield from _detectors(case)


def _total(case: Case, weights: Mapping[str, float], roles: AbstractSet[RewardRole]) -> Iterator[Finding]:
    """What the terms pay for, and from which value to which."""
    recipe, registry = case.recipe, case.registry
    if recipe.rewards_combine == "conditional" and (lacking := sorted({"meaning", "evasion"} - roles)):
        said = f"rewards_combine: conditional needs a reward of role {' and one of role '.join(lacking)}"
        yield INCOMPLETE_CONDITION.found(said, key="rewards_combine")
    wanted: tuple[tuple[RewardRole, Rule], ...] = (("evasion", NO_EVASION), ("fluency", NO_FLUENCY))
    for role, rule in wanted:
        if role not in roles and weights:
            names = _of_role(registry, role)
            yield rule.found(f"no reward of role {role} has a weight", key="rewards", remedy=f"add {names}")
    for entry in recipe.rewards:
        key = f"rewards.{entry.name}"
        if entry.name not in weights:
            continue
        spec = registry.spec("rewards", entry.name)
        if not weights[entry.name]:
            if not spec.gate:
                yield NO_VOTE.found(f"{entry.name} has weight 0", key=f"{key}.weight")
        elif spec.role == "meaning" and spec.models:
            yield from _bounds(entry, recipe.acceptance.meaning)
        elif spec.role == "evasion" and entry.saturation == 1.0 and _pays_by_probability(case, entry):
            yield PAID_BELOW_THRESHOLD.found(
                f"{entry.name} rises down to a P(AI) of 0", key=f"{key}.saturation"
            )


def _bounds(entry: RewardTermSettings, wanted: float) -> Iterator[Finding]:
    """Compare the values that a reward for the meaning pays for with the bound of acceptance."""
    key = f"rewards.{entry.name}"
    if entry.floor >= wanted:
        said = f"{entry.name} pays nothing below {entry.floor:g}, acceptance.meaning is {wanted:g}"
        yield FLOOR.found(said, key=f"{key}.floor")
    if entry.saturation < wanted:
        said = (
            f"{entry.name} pays nothing more from {entry.saturation:g} on, acceptance.meaning is {wanted:g}"
        )
        yield SATURATION.found(said, key=f"{key}.saturation")


def _pays_by_probability(case: Case, entry: RewardTermSettings) -> bool:
    try:
        options = case.registry.options("rewards", entry.name, entry.options)
    except PrlError:
        return False  # reported by the check of the components
    return getattr(options, "shape", "probability") == "probability"


def _detectors(case: Case) -> Iterator[Finding]:
    recipe = case.recipe
    for detector in recipe.detectors:
        try:
            models = case.registry.models("detectors", detector.name, detector.options)
        except PrlError:
            continue  # reported by the check of the components
        if recipe.model in models:
            said = f"{detector.name} scores with {recipe.model}, the policy's own model"
            yield WHITE_BOX.found(said, key=f"detectors.{detector.name}")
    voting = [detector for detector in recipe.detectors if detector.weight != 0]
    if len(voting) == 1 and case.is_chosen("ensemble.combine"):
        yield NO_VOTE.found(
            f"only {voting[0].name} has a vote: there is nothing to combine", key="ensemble.combine"
        )


def _of_role(registry: Registry, role: RewardRole) -> str:
    """Names of the installed rewards of a role, as advice."""
    specs = (entry.spec for entry in registry.entries("rewards"))
    names = [spec.name for spec in specs if isinstance(spec, RewardSpec) and spec.role == role]
    return " or ".join(names) or f"a reward of role {role}; none is installed"
