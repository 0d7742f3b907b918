"""Recorded runs: the healthy ones raise no alarm, and each sickness is found by the rule that is meant for it.

``tests/training/recordings/record.py`` makes the recordings and says what was done to each run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    """Else a rule would be silent for want of data."""
    healthy = [recording(name) for name, alarms in FIRST_ALARMS.items() if not alarms]
    watched: set[str] = set()
    for found in healthy:
        terms = [RewardTerm(**term) for term in found["terms"]]
        monitors = Monitors(rules := rules_for(terms), terms)
        monitors.restore(
            (step, dict(zip(found["columns"], row, strict=True))) for step, row in enumerate(found["rows"], 1)
        )
        watched |= {rule.name for rule in rules if monitors.mean(rule) == monitors.mean(rule)}
    assert watched == {rule.name for rule in rules}
