"""Trial: what one group of the base policy earns, what outputs that are no rewrites would, and seconds of a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from paraphrase_rl.preflight import signal
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.cost import hours_at
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.arithmetic import Workload
from paraphrase_rl.recipe.cost import bill

GROUP = Rule(
    "PRL120",
    "ok",
    "group",
    "One group of rollouts of the base policy, sampled as the first step would: their total rewards, and the "
    "share that passes every gate. Learning needs totals that differ within a group.",
)
NO_VARIANCE = Rule(
    "PRL121",
    "warning",
    "group",
    "All rollouts of the group earned the same. Such a group contributes nothing to the update; if most do, "
    "nothing is learned.",
    "raise sampling.temperature or training.group_size, or look at the rewards: one may be constant",
)
FEW_VALID = Rule(
    "PRL122",
    "warning",
    "group",
    "Fewer than half of the base policy's outputs pass every gate. The others earn 0, and the first steps teach "
    "the format instead of evasion.",
    "choose a model that follows instructions, change prompt.instruction, or raise sampling.max_tokens",
)
CHEATS = Rule(
    "PRL123",
    "ok",
    "cheats",
    "What outputs that are no rewrites would earn under this reward: a copy of the source, nothing, the prompt "
    "itself, and the source with look-alike letters. Each earns less than the base policy's rewrites.",
)
CHEAT_PAYS = Rule(
    "PRL124",
    "warning",
    "cheats",
    "An output that is no rewrite would earn as much as the base policy's rewrites: the policy will find it.",
    "add a gate or a reward that tells such an output from a rewrite, or raise its weight",
)
STEP = Rule(
    "PRL125",
    "ok",
    "seconds",
    "Seconds of a step, measured: the whole first step of a run in a temporary folder, with what sets it up left "
    "out. At a service it is charged, and leaves nothing there.",
)
PARTS = Rule(
    "PRL126",
    "note",
    "seconds",
    "Seconds of sampling and rating one group, measured. A step at the service was not taken: it is charged, and "
    "its price is not known, or is more than a trial may cost.",
    "give the price of the model with --prices FILE, or measure the first steps of a run",
)
STOPPED = Rule(
    "PRL129",
    "error",
    "trial",
    "The trial could not be carried out: the run would fail in the same way.",
    "correct what it names",
)
UNRATED = Rule(
    "PRL130",
    "warning",
    "group",
    "Some rollouts have no total, because a reward failed on them: they take no part in the update.",
    "see which reward fails; its plug-in may need a model or a longer text",
)
LIMIT = 1.0
"""Most that a trial may cost at a service, in the currency of its prices; one of the recipe costs some cents."""
_LOOKALIKES = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat:
    """An output that is no rewrite, and the total that it would earn; NaN if it has none."""

    name: str
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Measurements of one group.

    Attributes:
        source: id of the text that was rewritten.
        totals: total reward of each rollout, NaN if it has none.
        valid: whether each rollout passed every gate.
        failures: reasons why rollouts have no total.
        cheats: what outputs that are no rewrites would earn.
        seconds: wall seconds by part: ``sampling`` and ``rating`` of one group, and ``step`` where one was taken.
        why_no_step: why none was taken; empty if one was.
        peak_bytes: most memory that the step took on an accelerator; ``None`` if it was not measured.
        flagged: what the detectors flag before anything is rewritten, in one line; empty if unknown.
        little_to_evade: why there is little to evade; empty if there is enough.
    """

    source: str
    totals: Sequence[float]
    valid: Sequence[bool]
    failures: Sequence[str]
    cheats: Sequence[Cheat]
    seconds: Mapping[str, float]
    why_no_step: str
    peak_bytes: float | None
    flagged: str
    little_to_evade: str


def cheating_outputs(source: str, prompt: str) -> dict[str, str]:
    """Build outputs that are no rewrites of a source; ``prompt`` is what the policy is asked."""
    return {
        "a copy": source,
        "an empty answer": "",
        "an echo of the prompt": prompt,
        "look-alike letters": source.translate(_LOOKALIKES),
    }


def findings(trial: Trial, case: Case) -> Iterator[Finding]:
    """Judge what was measured."""
    known = [total for total in trial.totals if math.isfinite(total)]
    rewrites = [t for t, valid in zip(trial.totals, trial.valid, strict=True) if valid and math.isfinite(t)]
    yield from _group(trial, known)
    mean = sum(rewrites) / len(rewrites) if rewrites else math.inf
    paying = [cheat for cheat in trial.cheats if cheat.total >= mean - 1e-9]
    shown = ", ".join(f"{cheat.name} {_number(cheat.total)}" for cheat in trial.cheats)
    against = f"valid rewrites {mean:.3f}" if rewrites else "no valid rewrite"
    for cheat in paying:
        yield CHEAT_PAYS.found(f"{cheat.name} would earn {cheat.total:.3f}, {against}", key="rewards")
    if not paying:
        yield CHEATS.found(f"{shown}; {against}", key="rewards")
    yield from signal.told(trial.flagged, trial.little_to_evade)
    yield _seconds(trial, case)


def _group(trial: Trial, known: Sequence[float]) -> Iterator[Finding]:
    size, key = len(trial.totals), "training.group_size"
    if len(known) < size:
        said = f"{size - len(known)} of {size} rollouts have no total: {'; '.join(trial.failures[:2])}"
        yield UNRATED.found(said, key="rewards")
    if not known:
        return
    share = sum(trial.valid) / size
    mean = sum(known) / len(known)
    spread = math.sqrt(sum((total - mean) ** 2 for total in known) / len(known))
    told = f"mean {mean:.3f}, standard deviation {spread:.3f}, {share:.0%} valid"
    said = f"{size} rollouts of text {trial.source}: {told}"
    if max(known) == min(known):
        yield NO_VARIANCE.found(said, key=key)
    else:
        yield GROUP.found(said, key=key)
    if share < 0.5:
        yield FEW_VALID.found(f"{sum(trial.valid)} of {size} rollouts are valid", key="prompt")


def _seconds(trial: Trial, case: Case) -> Finding:
    parts = f"sampling {trial.seconds['sampling']:.1f}, rating {trial.seconds['rating']:.1f} for one group"
    if "step" not in trial.seconds:
        groups = case.recipe.training.batch_size
        said = f"{parts}; a step has {groups} groups, which a service samples together"
        return PARTS.found(f"{said}; none was taken: {trial.why_no_step}")
    hours = hours_at(case, trial.seconds["step"])
    peak = f", {trial.peak_bytes / 1e9:.1f} GB at the peak" if trial.peak_bytes is not None else ""
    spent = cost_of_trial(case)
    cost = f"; the trial cost at most {spent:.3f} {case.prices.currency}" if spent and case.prices else ""
    return STEP.found(
        f"{trial.seconds['step']:.1f} s per step, {hours:.1f} hours in all ({parts}){peak}{cost}"
    )


def cost_of_trial(case: Case) -> float | None:
    """Compute the most that a trial costs at a service: a group of rollouts, a step, two rewrites of a held-out text.

    Returns:
        The cost in the currency of the prices, 0 if nothing is charged; ``None`` if the model's price is not known.
    """
    if case.prices is None or not case.remote:
        return 0.0
    price, training = case.prices.models.get(case.recipe.model), case.recipe.training
    if price is None:
        return None
    step = training.batch_size * training.group_size
    work = Workload(steps=1, rollouts=step, evaluations=0, evaluation_rollouts=training.group_size + 2)
    counted = bill(case.recipe, work, case.prices.passes, case.prompts("train"), case.evaluated)
    return counted.most.cost(price)


def why_no_step(case: Case) -> str:
    """Return why a trial takes no step; empty if it takes one."""
    if not case.remote:
        return ""
    cost = cost_of_trial(case)
    if cost is None:
        return f"the price of {case.recipe.model} is not known"
    if cost > LIMIT:
        currency = case.prices.currency if case.prices is not None else ""
        return f"the trial could cost {cost:.2f} {currency}, more than {LIMIT:g}"
    return ""


def _number(total: float) -> str:
    return f"{total:.3f}" if math.isfinite(total) else "no total"
