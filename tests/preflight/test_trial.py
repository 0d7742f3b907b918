"""The trial: what it measures is what a run would do; and what it makes of it."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paraphrase_rl_plugins.backends import trl_backend
from paraphrase_rl_plugins.datasets import files
from paraphrase_rl_plugins.rewards import detector_evasion, output_format

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import RewardSpec
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.preflight.trial import Cheat, Trial, cheating_outputs, findings
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.types import Failure, RewardBatch, Terms
from tests.tiny_model import save_tiny_model
from tests.training.cases import write_recipe, write_texts
from tests.training.third_party import acme_training

SOUND = Trial(
    source="t1",
    totals=[0.2, 0.4, 0.6, 0.0],
    valid=[True, True, True, False],
    failures=[],
    cheats=[Cheat(name="a copy", total=0.0), Cheat(name="an empty answer", total=math.nan)],
    seconds={"sampling": 1.0, "rating": 0.5, "step": 7.2},
    why_no_step="",
    peak_bytes=None,
    flagged="AI calibration texts flagged: vowels 80%",
    little_to_evade="",
)


def judged(trial: Trial) -> dict[str, Finding]:
    found = list(findings(trial, Case(loaded=load_recipe(None), registry=Registry(Plugins.of()))))
    assert len({finding.code for finding in found}) == len(found)
    return {finding.code: finding for finding in found}


# ---- what is made of the measurements


def test_a_sound_trial() -> None:
    found = judged(SOUND)
    assert set(found) == {"PRL120", "PRL123", "PRL125", "PRL127"}
    assert all(finding.severity == "ok" for finding in found.values())
    assert found["PRL120"].evidence == (
        "4 rollouts of text t1: mean 0.300, standard deviation 0.224, 75% valid"
    )
    assert found["PRL123"].evidence == "a copy 0.000, an empty answer no total; valid rewrites 0.400"
    assert found["PRL125"].evidence.startswith("7.2 s per step, 0.0 hours in all (sampling 1.0, rating 0.5")


PLANTED = {
    "PRL121": replace(SOUND, totals=[0.4] * 4, valid=[True] * 4),
    "PRL122": replace(SOUND, totals=[0.0, 0.0, 0.0, 0.5], valid=[False, False, False, True]),
    "PRL124": replace(
        SOUND, cheats=[Cheat(name="a copy", total=0.4), Cheat(name="an empty answer", total=0.0)]
    ),
    "PRL128": replace(SOUND, little_to_evade="there is little to evade: vowels 5%; choose others"),
    "PRL130": replace(SOUND, totals=[0.2, math.nan, 0.6, 0.0], failures=["fluency: the text is empty"]),
}


@pytest.mark.parametrize("code", PLANTED)
def test_a_mistake_that_shows_in_a_trial(code: str) -> None:
    found = judged(PLANTED[code])
    assert [c for c, finding in found.items() if finding.severity in ("warning", "error")] == [code]
    assert found[code].remedy or "choose" in found[code].evidence


def test_a_step_that_was_not_taken_is_no_measurement() -> None:
    found = judged(replace(SOUND, seconds={"sampling": 1.0, "rating": 0.5}, why_no_step="too dear"))
    assert "PRL125" not in found
    assert found["PRL126"].evidence.startswith("sampling 1.0, rating 0.5 for one group")
    assert found["PRL126"].evidence.endswith("none was taken: too dear")
    assert "16.0 GB at the peak" in judged(replace(SOUND, peak_bytes=16e9))["PRL125"].evidence


def test_cheating_outputs() -> None:
    outputs = cheating_outputs("A copy of one page.", "Rewrite:\n\nA copy of one page.")
    assert outputs["a copy"] == "A copy of one page."
    assert outputs["an empty answer"] == ""
    assert outputs["an echo of the prompt"].startswith("Rewrite:")
    lookalike = outputs["look-alike letters"]
    assert len(lookalike) == len("A copy of one page.")
    assert sum(a != b for a, b in zip(lookalike, "A copy of one page.", strict=True)) == 11
    assert not any(ord(letter) > 127 for letter in lookalike if letter in " .fng")


# ---- what is measured


class Broken:
    def __init__(self, options: Any, context: Any) -> None:
        pass

    def __call__(self, batch: RewardBatch) -> Terms:
        failures = [Failure(index=i, owner="broken", kind="refused", message="no") for i in range(len(batch))]
        return Terms(np.full(len(batch), np.nan), tuple(failures))


@hookimpl
def register_rewards() -> list[RewardSpec]:
    return [RewardSpec(name="broken", summary="Fails", factory=Broken)]


@pytest.fixture(scope="module")
def registry() -> Registry:
    broken = type("Broken", (), {"register_rewards": staticmethod(register_rewards)})
    return Registry(
        Plugins.of(
            acme=acme_training,
            broken=broken,
            evasion=detector_evasion,
            files=files,
            format=output_format,
            trl=trl_backend,
        )
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    model = save_tiny_model(tmp_path_factory.mktemp("tiny"))
    return write_recipe(folder, model, write_texts(folder / "texts.jsonl"), held_out=[], rewriters=[])


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder for temporary files, and the current one."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_group_is_that_of_the_first_step(recipe: Path, registry: Registry, temporary: Path) -> None:
    said: list[str] = []
    found = prl.check(
        recipe, trial=True, device="cpu", registry=registry, progress=lambda line: said.append(line.message)
    )
    codes = {finding.code: finding for finding in found}
    assert list(temporary.iterdir()) == []
    assert [path.name for path in Path().iterdir()] == ["temporary"], "nothing is left in the current folder"
    assert [line.split()[0] for line in said] == ["calibrating", "sampling", "taking"]

    run = prl.train(recipe, out="run", set={"training.max_steps": 1}, device="cpu", registry=registry)
    first = [row for row in read_jsonl(run.folder / "samples.jsonl") if row["kind"] == "training"]
    totals = np.array([row["total"] for row in first])
    assert f"mean {totals.mean():.3f}, standard deviation {totals.std():.3f}" in codes["PRL120"].evidence
    assert first[0]["id"] in codes["PRL120"].evidence
    # nothing refuses a copy here, and random bytes have few consonants
    assert "PRL124" in codes
    measured = codes["PRL125"].evidence.split()[0]
    assert float(measured) > 0
    assert codes["PRL101"].evidence.endswith(f"at {float(measured):g} s per step"), (
        "hours are those of the step"
    )


def test_a_gate_refuses_what_is_no_rewrite(recipe: Path, registry: Registry, temporary: Path) -> None:
    rewards = [{"name": "consonants"}, {"name": "detector-evasion"}, {"name": "format"}]
    found = prl.check(recipe, set={"rewards": rewards}, trial=True, device="cpu", registry=registry)
    [cheats] = [finding.evidence for finding in found if finding.name == "cheats"]
    for name in ("a copy", "an empty answer", "an echo of the prompt"):
        assert f"{name} 0.000" in cheats


def test_what_keeps_a_run_from_its_first_step_is_an_error(
    recipe: Path, registry: Registry, temporary: Path
) -> None:
    failing = {"rewards": [{"name": "broken"}, {"name": "detector-evasion"}]}
    found = prl.check(recipe, set=failing, trial=True, device="cpu", registry=registry)
    assert not found.ok
    [stopped] = [finding for finding in found if finding.code == "PRL129"]
    assert stopped.severity == "error"
    assert stopped.evidence
    assert list(temporary.iterdir()) == []


def test_a_recipe_with_errors_is_not_tried(recipe: Path, registry: Registry) -> None:
    wrong = {"training.batch_size": 100}
    found = prl.check(recipe, set=wrong, trial=True, device="cpu", registry=registry)
    [stopped] = [finding for finding in found if finding.code == "PRL129"]
    assert (stopped.severity, stopped.evidence) == ("note", "not tried, because of the errors found")


def test_a_device_that_is_not_here_is_refused(recipe: Path, registry: Registry) -> None:
    with pytest.raises(prl.PrlError, match="cuda:7"):
        prl.check(recipe, trial=True, device="cuda:7", registry=registry)
    assert prl.check(recipe, device="cuda:7", registry=registry).ok, "for an estimate it need not be here"


def test_the_command_has_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    assert "--try" in capsys.readouterr().out
