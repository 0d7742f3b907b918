"""Monitors: rules of the recipe that can find nothing, or could not do what they are for."""

from __future__ import annotations

from collections.abc import Iterator

from paraphrase_rl.errors import PrlError
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.monitors import PUBLISHED, SPOKEN

NO_SUCH_ROLE = Rule(
    "PRL115",
    "warning",
    "monitor",
    "A monitor is about a role that no reward of the recipe has: it never looks at anything.",
    "add a reward of that role, or name another metric",
)
TOO_PATIENT = Rule(
    "PRL116",
    "warning",
    "monitor",
    "A monitor that acts has a patience beyond the steps of the run: it never acts.",
    "lower its patience",
)
NOTHING_TO_RESTORE = Rule(
    "PRL117",
    "warning",
    "monitor",
    "A roll-back restores the newest checkpoint from before the steps that the monitor looked at. In this run there "
    "never is one, so that the monitor stops it instead.",
    "lower checkpoints.every or the patience, or choose another action",
)


def check(case: Case) -> Iterator[Finding]:
    """Check the monitors that the recipe gives or changes; those about the length of the run if texts are known."""
    recipe = case.recipe
    roles = set()
    for reward in recipe.rewards:
        try:
            roles.add(case.registry.spec("rewards", reward.name).role)
        except PrlError:
            return  # the check of the components reports it
    steps = case.work.steps if case.corpus is not None else 0
    for name, monitor in recipe.monitors.items():
        if monitor is None or monitor == PUBLISHED.get(name):
            continue
        key, (kind, role, *_) = f"monitors.{name}", [*monitor.metric.split(":"), ""]
        if kind == "role" and role not in roles:
            yield NO_SUCH_ROLE.found(f"{key}: no reward of the recipe has the role {role}", key=key)
        elif not steps or monitor.action in SPOKEN:
            continue
        elif monitor.patience > steps:
            said = f"{key}: patience {monitor.patience} is beyond the {steps:,} steps of the run"
            yield TOO_PATIENT.found(said, key=f"{key}.patience")
        elif monitor.action == "roll-back" and recipe.checkpoints.every + monitor.patience >= steps:
            said = (
                f"{key}: with checkpoints.every {recipe.checkpoints.every:,} and patience {monitor.patience} there is "
                f"nothing to go back to in {steps:,} steps"
            )
            yield NOTHING_TO_RESTORE.found(said, key=f"{key}.action")
