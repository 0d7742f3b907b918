"""Rewards and detectors: whether the total can be learned from, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.errors import PrlError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import RewardRole, RewardSpec
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule

TERMS = Rule(
    "PRL035",
    "ok",
    "rewards",
    "The total reward is the mean of these terms, weighted by these numbers.",
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


def _of_role(registry: Registry, role: RewardRole) -> str:
    """Names of the installed rewards of a role, as advice."""
    specs = (entry.spec for entry in registry.entries("rewards"))
    names = [spec.name for spec in specs if isinstance(spec, RewardSpec) and spec.role == role]
    return " or ".join(names) or f"a reward of role {role}; none is installed"
