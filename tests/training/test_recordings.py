"""Recorded runs: the healthy ones raise no alarm, and each sickness is found by the rule that is meant for it.

``tests/training/recordings/record.py`` makes the recordings and says what was done to each run.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from paraphrase_rl.runs.terms import RewardTerm
from paraphrase_rl.training.monitors import Monitors, rules_for

FOLDER = Path(__file__).parent / "recordings"
FIRST_ALARMS: Mapping[str, Mapping[str, int]] = {
    # healthy
    "tiny": {},
    "scripted": {},
    "published-rate": {},
    # the quickstart on the packaged 135M model, whose rate is chosen for a dozen steps: its alarm is right
    "quickstart": {"step-too-large": 5},
    # sick: the rule that is meant for the fault, then those that see its consequences
    "collapse": {"mode-collapse": 13, "step-too-large": 5, "far-from-base": 5, "no-signal": 14},
    "drift": {"far-from-base": 7, "step-too-large": 5, "mode-collapse": 19, "no-signal": 21},
    "one-sided": {"one-sided-gain": 28, "step-too-large": 5, "far-from-base": 11, "meaning-lost": 20},
    "stale-sampler": {"sampler-mismatch": 2, "step-too-large": 5},
    "copying": {"copying": 7, "few-valid-outputs": 20, "no-signal": 20, "mode-collapse": 23},
    "reasoning": {"reasoning-leaks": 5, "few-valid-outputs": 20, "no-signal": 20, "mode-collapse": 23},
}


def recording(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def first_alarms(found: Mapping[str, Any]) -> dict[str, int]:
    terms = [RewardTerm(**term) for term in found["terms"]]
    monitors = Monitors(rules_for(terms), terms)
    first: dict[str, int] = {}
    for step, row in enumerate(found["rows"], start=1):
        for alarm in monitors.look(step, dict(zip(found["columns"], row, strict=True))):
            first.setdefault(monitors.done(alarm).rule, step)
    return first


def test_every_recording_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == FIRST_ALARMS.keys()


@pytest.mark.parametrize("name", FIRST_ALARMS)
def test_the_alarms_of_a_recording(name: str) -> None:
    found = recording(name)
    assert first_alarms(found) == FIRST_ALARMS[name]
    assert found["finds"] == list(FIRST_ALARMS[name])[:1], "the rule that is meant for it comes first"


def test_between_them_the_healthy_ones_measure_what_every_rule_looks_at() -> None:
    """Else a rule would be silent for want of data. A plateau takes longer than they do: see below."""
    healthy = [recording(name) for name, alarms in FIRST_ALARMS.items() if not alarms]
    watched: set[str] = set()
    for found in healthy:
        terms = [RewardTerm(**term) for term in found["terms"]]
        monitors = Monitors(rules := rules_for(terms), terms)
        monitors.restore(
            (step, dict(zip(found["columns"], row, strict=True))) for step, row in enumerate(found["rows"], 1)
        )
        watched |= {rule.name for rule in rules if monitors.mean(rule) == monitors.mean(rule)}
    assert watched == {rule.name for rule in rules} - {"plateau"}


# ---- the sicknesses, put into what a real model measured

REAL = "quickstart"
STEPS = 40


def continued(seed: int) -> list[dict[str, float]]:
    """The steps of a real run, then more like its second half, drawn from there."""
    found = recording(REAL)
    rows = [
        {"format_no_reasoning": 1.0} | dict(zip(found["columns"], row, strict=True)) for row in found["rows"]
    ]
    rng, later = random.Random(seed), rows[len(rows) // 2 :]
    return [*rows, *(dict(rng.choice(later)) for _ in range(STEPS - len(rows)))]


def constant_groups(row: dict[str, float], sick: float) -> None:
    row["reward_std"] *= 1 - sick
    row["frac_constant_groups"] = max(row["frac_constant_groups"], sick)


def left_the_base(row: dict[str, float], sick: float) -> None:
    row["kl_reference"] += 2 * sick


def copies(row: dict[str, float], sick: float) -> None:
    row["format_no_copy"] *= 1 - sick
    row["format_rate"] *= 1 - sick
    row["reward_mean"] *= 1 - sick


def pays_for_one(row: dict[str, float], sick: float) -> None:
    row["detector_reward"] += sick * (1 - row["detector_reward"])
    row["semantic_reward"] *= 1 - sick


def never_told(row: dict[str, float], sick: float) -> None:
    row["kl_sample_train"] += sick


def thinks_aloud(row: dict[str, float], sick: float) -> None:
    row["format_no_reasoning"] *= 1 - sick
    row["format_rate"] *= 1 - sick
    row["reward_mean"] *= 1 - sick


INJECTED: Mapping[str, tuple[Callable[[dict[str, float], float], None], str, set[str]]] = {
    # what it does to a step, by a share in [0, 1]; the rule that must find it; rules that see its consequences
    "collapse": (constant_groups, "mode-collapse", {"no-signal"}),
    "drift": (left_the_base, "far-from-base", set()),
    "copying": (copies, "copying", {"few-valid-outputs"}),
    "one-sided": (pays_for_one, "one-sided-gain", {"meaning-lost"}),
    "stale-sampler": (never_told, "sampler-mismatch", set()),
    "reasoning": (thinks_aloud, "reasoning-leaks", {"few-valid-outputs"}),
}


def alarms_of(rows: list[dict[str, float]], name: str = REAL) -> dict[str, int]:
    """First step of each rule's alarm."""
    terms = [RewardTerm(**term) for term in recording(name)["terms"]]
    monitors = Monitors(rules_for(terms), terms)
    first: dict[str, int] = {}
    for step, row in enumerate(rows, start=1):
        for alarm in monitors.look(step, row):
            first.setdefault(monitors.done(alarm).rule, step)
    return first


@pytest.mark.parametrize("sickness", INJECTED)
def test_a_sickness_in_a_real_run_is_found(sickness: str) -> None:
    """Whenever it begins, and however slowly it comes: 5, 15 or 50 % of it a step."""
    put_in, rule, consequences = INJECTED[sickness]
    delays = []
    for onset, speed, seed in itertools.product((2, 6, 12, 20), (0.05, 0.15, 0.5), range(3)):
        healthy, rows = alarms_of(continued(seed)), continued(seed)
        for since, row in enumerate(rows[onset:], start=1):
            put_in(row, min(1.0, speed * since))
        found = alarms_of(rows)
        assert rule in found, (onset, speed, seed)
        assert found[rule] > onset
        assert found.keys() <= {rule} | consequences | healthy.keys(), "and nothing else"
        delays.append(found[rule] - onset)
    print(
        f"\n{sickness}: found in {len(delays)} of {len(delays)} runs, after {min(delays)} to {max(delays)} steps"
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_never_learns_is_found_and_one_that_does_is_not(seed: int) -> None:
    """The script's steps, which do not learn, drawn again and again; then the same on the published rise."""
    found = recording("scripted")
    steps = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    rng = random.Random(seed)
    rows = [dict(rng.choice(steps)) for _ in range(1000)]
    assert alarms_of(rows[:499], "scripted") == {}
    assert alarms_of(rows, "scripted") == {"plateau": 500}
    for step, row in enumerate(rows):
        row["reward_mean"] += 0.2 * (1 - math.exp(-step / 1000))
    assert alarms_of(rows, "scripted") == {}
