"""Criteria of acceptance measured in the run itself: two KLs with a bound each, no collapse, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paraphrase_rl.acceptance.criteria import Case, VerdictLine, at_least, at_most
from paraphrase_rl.recipe.arithmetic import kept_checkpoints
from paraphrase_rl.runs.ledger import damage_of, ledger
from paraphrase_rl.runs.reader import History
from paraphrase_rl.statistics.records import Estimate
from paraphrase_rl.types import FloatArray

_BY_DIGEST, _BY_LENGTH = "complete, as their digests show", "complete, as far as names and lengths show"
WINDOW = 5
"""Number of steps that means are taken over: of the reward, and of the KLs at the end."""


def kl_sample_train(case: Case) -> VerdictLine:
    """Check the mismatch between the sampler's and the trainer's log-probabilities, which shows numerical faults."""
    return _final_kl(case, "kl_sample_train", case.acceptance.kl_sample_train, "sampler against trainer")


def kl_reference(case: Case) -> VerdictLine:
    """Check the distance of the policy from the one that the KL penalty holds on to: the base model's, or warmed up."""
    bound = case.acceptance.kl_reference
    if case.history.recipe.kl.reference == "warmup":
        return _final_kl(case, "kl_reference", bound, "policy against the one after the warm-up", "kl_warmup")
    return _final_kl(case, "kl_reference", bound, "policy against base model")


def _final_kl(
    case: Case, criterion: str, bound: float, what: str, measured: str | None = None
) -> VerdictLine:
    """Mean over the last steps, by its size: a mean of log-probability differences can be negative too."""
    metric = measured or criterion
    last = np.abs(case.history.series(metric, case.step)[-WINDOW:])
    if not last.size or np.isnan(last).any():
        return at_most(criterion, bound, None, f"metrics.jsonl lacks {metric} at the last steps{_but(case)}")
    if not case.whole:
        return at_most(criterion, bound, None, f"{last.mean():.3g} so far, which is not final{_but(case)}")
    return at_most(
        criterion,
        bound,
        Estimate(value=float(last.mean()), n=last.size),
        f"{what}, nats per token: mean size over steps {case.step - last.size + 1} to {case.step}, "
        f"{last.min():.2g} to {last.max():.2g}",
    )


def reward_drop(case: Case) -> VerdictLine:
    """Check the largest fall of the mean reward, over a window of steps, below the best such mean before."""
    name, bound = "reward_drop", case.acceptance.reward_drop
    rewards = case.history.series("reward_mean", case.step)
    found = largest_drop(rewards)
    if found is None:
        return at_most(
            name,
            bound,
            None,
            f"needs {WINDOW + 1} steps with a reward; there are {_count(rewards)}{_but(case)}",
        )
    drop, step = found
    note = f"largest fall of the mean reward over {WINDOW} steps below its best value before; at step {step}"
    if drop == 0.0:
        note = f"the mean reward over {WINDOW} steps never fell below its best value before"
    return _throughout(case, at_most(name, bound, Estimate(value=drop, n=_count(rewards)), note), rewards)


def reward_std(case: Case) -> VerdictLine:
    """Check the smallest standard deviation of the rewards of a batch."""
    name, bound = "reward_std", case.acceptance.reward_std
    deviations = case.history.series("reward_std", case.step)
    if not _count(deviations):
        return at_least(name, bound, None, f"metrics.jsonl has no {name}{_but(case)}")
    lowest, step = float(np.nanmin(deviations)), int(np.nanargmin(deviations)) + 1
    below = int((deviations < bound).sum())
    note = f"lowest at step {step}" + (f"; {below} of {case.step} steps are below" if below else "")
    return _throughout(
        case, at_least(name, bound, Estimate(value=lowest, n=_count(deviations)), note), deviations
    )


def frac_unrewarded(case: Case) -> VerdictLine:
    """Check the share of the run's rollouts that have no reward, because a component failed on them."""
    name, bound = "frac_unrewarded", case.acceptance.frac_unrewarded
    shares = case.history.series(name, case.step)
    if not _count(shares):
        return at_most(name, bound, None, f"metrics.jsonl has no {name}{_but(case)}")
    worst = int(np.nanargmax(shares))
    note = f"mean over the steps; most at step {worst + 1}, {shares[worst]:.2g}"
    found = at_most(name, bound, Estimate(value=float(np.nanmean(shares)), n=_count(shares)), note)
    return _throughout(case, found, shares)


def checkpoints(case: Case) -> VerdictLine:
    """Check that the last periodic checkpoints, the final one, and that of the verdict can be used."""
    name, history = "checkpoints", case.history
    if history.steps is None:
        return at_least(name, 1, None, "the run never started: events.jsonl has no start")
    periodic = kept_checkpoints(history.steps, history.recipe.checkpoints)
    wanted = [(step, False) for step in periodic] + [(history.steps, True)]
    if case.whole and case.step not in (*periodic, history.steps):
        wanted.append((case.step, False))
    rows = ledger(history.folder)
    problems = {key: _problem(history, rows, *key) for key in wanted}
    bad = "; ".join(f"{_title(key)}: {problem}" for key, problem in problems.items() if problem)
    there = [_title(key) for key, problem in problems.items() if not problem]
    if history.status != "completed":
        return at_least(name, len(wanted), None, f"so far: {', '.join(there) or 'none'}{_but(case)}")
    ends = sorted(c.expires for c in history.checkpoints if c.expires and c.damage is None)
    proved = all("sha256" in row or "reference" in row for row in rows)
    expiry = f"; the first expires {ends[0]:%Y-%m-%d}" if ends else ""
    return at_least(
        name,
        len(wanted),
        Estimate(value=float(len(there)), n=len(wanted)),
        bad or f"{', '.join(there)}: {_BY_DIGEST if proved else _BY_LENGTH}{expiry}",
    )


def largest_drop(rewards: FloatArray) -> tuple[float, int] | None:
    """Find the largest fall of the mean over ``WINDOW`` steps below the largest such mean before, and its step.

    Args:
        rewards: rewards of the steps 1 to T, shape (T,); steps without a reward (NaN) are skipped.

    Returns:
        The fall (0 if it never fell) and the step; ``None`` if there are not two windows.
    """
    steps = np.flatnonzero(np.isfinite(rewards))
    if steps.size <= WINDOW:
        return None
    means = np.convolve(rewards[steps], np.full(WINDOW, 1.0 / WINDOW), mode="valid")
    drops = np.maximum.accumulate(means) - means
    at = int(np.argmax(drops))
    return float(drops[at]), int(steps[at + WINDOW - 1]) + 1


def _throughout(case: Case, line: VerdictLine, values: FloatArray) -> VerdictLine:
    """A bound once broken stays broken; one that held is only known to hold when every step is known."""
    unknown = np.flatnonzero(np.isnan(values)) + 1
    if line.verdict == "fail" or (case.whole and not unknown.size):
        return line
    why = _but(case) if not case.whole else f"; {unknown.size} steps are not known, the first is {unknown[0]}"
    return line.model_copy(
        update={
            "value": None,
            "verdict": "not measured",
            "note": f"{line.value:.3g} so far, {line.note}{why}",
        }
    )


def _but(case: Case) -> str:
    return f"; {case.unfinished}" if case.unfinished else ""


def _problem(history: History, rows: Sequence[Mapping[str, Any]], step: int, final: bool) -> str | None:
    found = [c for c in history.checkpoints if c.step == step and c.final == final]
    if not found:
        return "not listed in checkpoints.jsonl"
    if all(c.damage is not None for c in found):
        return found[0].damage
    listed = [row for row in rows if row["step"] == step and (row["kind"] == "final") == final]
    return next((damage for row in listed if (damage := damage_of(history.folder, row))), None)


def _title(key: tuple[int, bool]) -> str:
    return f"final ({key[0]})" if key[1] else str(key[0])


def _count(values: FloatArray) -> int:
    return int(np.isfinite(values).sum())
