"""What `prl check` says of the detectors before anything is rewritten: what was measured, or that nothing was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import paraphrase_rl as prl
from paraphrase_rl.detection.known_signal import keep_signal, known_signal, signal_key
from paraphrase_rl.detection.signal import signals
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight import signal
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding
from tests.detection.test_signal import ensemble
from tests.preflight.planted import case_of, corpus, sound


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that a trained detector is loaded from; nothing was measured yet."""
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "model.json").write_text("1")
    return tmp_path / "trained"


def case(folder: Path, weight: float | None = None, **options: Any) -> Case:
    tfidf = {"name": "tfidf", "weight": weight, "options": {"folder": str(folder), **options}}
    return case_of([("detectors", [tfidf])], sound())


def measure(of: Case, **flagged: float) -> None:
    """Keep what a calibration would have found: the percentage that each detector flags."""
    assert of.corpus is not None
    detectors = [(d.name, d.options, d.weight) for d in of.recipe.detectors]
    key = signal_key(of.registry, detectors, of.corpus.digest, of.recipe.calibration.target_fpr)
    assert key is not None
    keep_signal(key, ensemble(**flagged))


def said(of: Case) -> Finding:
    [one] = signal.check(of)
    return one


def test_what_was_measured_is_said_with_the_detector_that_carries_the_signal(trained: Path) -> None:
    measure(case(trained), weak=5.0, strong=60.0)
    one = said(case(trained))
    assert (one.code, one.severity) == ("PRL127", "ok")
    assert "strong 64.0 % [53.8, 73.4]" in one.evidence
    assert "strong carries the signal with 50.0 % of the weight" in one.evidence


def test_detectors_that_flag_little_leave_nothing_to_evade(trained: Path) -> None:
    measure(case(trained), weak=5.0)
    one = said(case(trained))
    assert (one.code, one.severity) == ("PRL128", "warning")
    assert "there is little to evade" in one.evidence


def test_what_is_not_known_is_said_with_what_measures_it(trained: Path) -> None:
    one = said(case(trained))
    assert (one.code, one.severity) == ("PRL131", "note")
    assert "`prl check --try`" in one.evidence
    assert "prl fit" not in one.evidence
    assert "`prl fit tfidf`" in said(case(trained.parent / "nothing")).evidence


def test_a_signal_is_known_only_for_what_it_was_measured_with(trained: Path) -> None:
    measure(case(trained), strong=60.0)
    of = case(trained)
    rate = case_of(
        [("detectors", [d.model_dump() for d in of.recipe.detectors]), "calibration.target_fpr=0.01"]
    )
    others: Mapping[str, Case] = {
        "texts": replace(of, corpus=corpus(train=101)),
        "rate": rate,
        "weight": case(trained, weight=2.0),
        "options": case(trained, word_features=7),
    }
    assert {name: said(other).code for name, other in others.items()} == dict.fromkeys(others, "PRL131")
    assert said(case(trained, weight=1.0)).code == "PRL127", "the weight that a detector has by itself"
    (trained / "model.json").write_text("trained again")
    assert said(case(trained)).code == "PRL131"


def test_nothing_is_kept_of_a_function_or_of_a_detector_that_is_not_here() -> None:
    given = prl.detector(lambda texts: [0.0 for _ in texts], name="mine", provenance={"mine": "1"})
    registry = default_registry().extended("detectors", [given])
    assert signal_key(registry, [("mine", {}, None)], "texts", 0.05) is None
    assert signal_key(registry, [("nobody", {}, None)], "texts", 0.05) is None
    assert signal_key(registry, [("lrr", {"model": "Acme/Nowhere"}, None)], "texts", 0.05) is None
    keep_signal(None, ensemble(strong=60.0))
    assert known_signal(None) == []


def test_a_damaged_or_unwritable_place_is_nothing_known(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measure(case(trained), strong=60.0)
    [file] = (tmp_path / "home" / "signals").iterdir()
    for content in ("", "[1]", '[{"detector": "a"}]', "{}x"):
        file.write_text(content)
        assert said(case(trained)).code == "PRL131"
    monkeypatch.setenv("PRL_HOME", str(file))
    measure(case(trained), strong=60.0)
    assert said(case(trained)).code == "PRL131"


def test_what_is_kept_is_what_was_found() -> None:
    found = ensemble(weak=5.0, strong=60.0)
    keep_signal("key", found)
    assert known_signal("key") == signals(found)
