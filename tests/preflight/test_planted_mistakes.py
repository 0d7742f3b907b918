"""Recipes that are wrong in one way each: every mistake is found, as what it is, and nothing else is.

``pytest -s tests/preflight/test_planted_mistakes.py`` ends with the count of mistakes planted and found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.errors import RunError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight import models
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import RULES, preflight
from paraphrase_rl.preflight.findings import Finding, Severity
from paraphrase_rl.preflight.inspection import prices_of
from paraphrase_rl.preflight.machine import DeviceMemory
from paraphrase_rl.recipe.loading import load_recipe, packaged_recipes
from paraphrase_rl.recipe.model_info import FoundModel, ModelInfo
from tests.preflight.planted import ALSO, AROUND, ASK, DATA, FACTS, KEYS, NOTES, WARMUP, check, corpus

ROOT = Path(__file__).resolve().parents[2]
QWEN = ModelInfo(2560, "qwen3")
LLAMA = ModelInfo(576, "llama")
MISTAKES = {rule.code for rule in RULES.values() if rule.severity in ("warning", "error")} | {
    "PRL032",  # a note, but for groups of less than 4
    "PRL075",  # a note, but for a key that the recipe sets
}
"""Codes that a mistake can have."""
SOUND_TOO = [
    ["training.group_size=16", "grpo.advantage_clip=3"],
    ["training.learning_rate=1e-5", "training.epochs=1"],
    ["lora.rank=64", "lora.alpha=64"],
    ["lora.target_modules=[q_proj, v_proj, gate_proj, up_proj, down_proj]"],
    ["kl.penalty_coef=0.05", "acceptance.kl_reference=0.3"],
    ["kl.reference=warmup", *WARMUP],
    ["rewards_combine=conditional"],
    ["rewards.semantic-similarity.floor=0.5", "rewards.semantic-similarity.saturation=0.88"],
    ["grpo.normalize_advantages=false"],
    [
        "detectors=[{name: log-likelihood, weight: 2}, {name: lastde}]",
        "held_out=[{name: fast-detectgpt}]",
    ],
    ["calibration.target_fpr=0.05"],
    ["monitors.mode-collapse.action=lower-rate", "monitors.far-from-base.action=raise-kl"],
    ["monitors.far-from-base.action=roll-back", "monitors.copying=null"],
    ["data.excerpt_words=48", "sampling.max_tokens=96"],
    ["checkpoints.every=1", "checkpoints.keep=2"],
]
"""Changes that nothing is wrong with."""
TRUE_OF_PACKAGED = {("recipe", "tinker"): {"PRL014", "PRL103"}}
"""What is so of a packaged recipe with a backend: the published model is retired at Tinker, and its price with it."""
FOUND: list[str] = []


@pytest.fixture(autouse=True)
def a_large_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paraphrase_rl.preflight.case.device_memory", lambda _: DeviceMemory(80e9, "a card"))


@pytest.fixture(scope="module", autouse=True)
def counted() -> Iterator[None]:
    FOUND.clear()
    yield
    planted = len(KEYS) + len(DATA) + len(AROUND)
    print(f"\nplanted mistakes found: {len(FOUND)} of {planted}, of {len(MISTAKES)} codes")


def codes(found: Sequence[Finding], *severities: Severity) -> set[str]:
    return {finding.code for finding in found if finding.severity in severities}


def assert_found(name: str, found: Sequence[Finding], code: str, severity: str) -> None:
    [mistake, *_] = [finding for finding in found if finding.code == code]
    assert mistake.severity == severity
    assert mistake.evidence
    assert mistake.remedy or any(word in mistake.evidence for word in ("choose", "give")), "a way out"
    others = codes(found, "warning", "error") - {code} - ALSO.get(name, set())
    assert others == set(), [finding.one_line for finding in found if finding.code in others]
    FOUND.append(name)


@pytest.mark.parametrize("name", KEYS)
def test_a_mistake_in_a_key(name: str) -> None:
    changes, code, severity = KEYS[name]
    assert_found(name, check(changes), code, severity)


@pytest.mark.parametrize("name", DATA)
def test_a_mistake_in_the_texts(name: str) -> None:
    data, code = DATA[name]
    assert_found(name, check(data=data), code, RULES[code].severity)


@pytest.mark.parametrize("name", AROUND)
def test_a_mistake_around_them(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted, code, severity = AROUND[name]
    assert_found(name, planted(monkeypatch, tmp_path), code, severity)


@pytest.mark.parametrize("name", NOTES)
def test_a_thing_to_know(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted, code = NOTES[name]
    found = planted(monkeypatch, tmp_path)
    assert code in codes(found, "note")
    assert codes(found, "warning", "error") == set(), "it is no mistake"


@pytest.mark.parametrize("name", FACTS)
def test_what_is_so(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted, expected = FACTS[name]
    found = planted(monkeypatch, tmp_path)
    assert codes(found, "ok") >= set(expected.split())
    assert codes(found, "warning", "error") == set()


def test_every_finding_that_there_is_is_planted() -> None:
    planted = {code for _, code, _ in KEYS.values()} | {code for _, code in DATA.values()}
    assert planted | {code for _, code, _ in AROUND.values()} == MISTAKES
    assert {code for _, code in NOTES.values()} == {
        rule.code for rule in RULES.values() if rule.severity == "note"
    }
    assert {code for _, expected in FACTS.values() for code in expected.split()} == {
        rule.code for rule in RULES.values() if rule.severity == "ok"
    }


def test_the_page_says_how_many() -> None:
    page = " ".join((ROOT / "docs" / "checks.md").read_text(encoding="utf-8").split())
    planted = len(KEYS) + len(DATA) + len(AROUND)
    assert f"{planted} mistakes, at least one for each of the {len(MISTAKES)} codes" in page
    assert f"nor on {len(SOUND_TOO)} other sound ones" in page


def test_nothing_is_said_of_a_sound_recipe() -> None:
    # one packaged model for everything; shares of groups; a cap of ratios that are 1
    about_the_test = {"PRL042", "PRL057", "PRL075"}
    assert [f.one_line for f in check() if f.severity != "ok" and f.code not in about_the_test] == []


@pytest.mark.parametrize("changes", SOUND_TOO, ids=lambda changes: changes[0])
def test_no_false_alarm_on_another_sound_recipe(changes: list[str]) -> None:
    found = check(changes)
    assert codes(found, "warning", "error") == set(), [f.one_line for f in found if f.severity != "ok"]


def packaged() -> Iterator[tuple[str, str]]:
    """Every packaged recipe with each backend that has its model: one in a Python package is at no service."""
    for name in packaged_recipes():
        yield name, "trl"
        if not load_recipe(name).recipe.model.startswith("package:"):
            yield name, "tinker"


@pytest.mark.parametrize(("name", "backend"), list(packaged()))
def test_no_false_alarm_on_a_packaged_recipe(
    name: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the texts that are packaged too, else as many as were published, and their models taken as present."""
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.delenv("TINKER_BASE_URL")
    monkeypatch.setattr(ASK, _nobody)
    monkeypatch.setattr(models, "find_model", lambda reference, weights: FoundModel("ok", "there", QWEN))
    loaded = load_recipe(name)
    settings = loaded.recipe.data
    registry = default_registry()
    small = loaded.recipe.model.startswith("package:")
    if settings.source.name == "starter":
        data = load_documents(settings.source, settings, registry)
    else:
        data = corpus(train=400, test=100, calibration=100) if small else published()
    prices = prices_of(registry, backend, None)
    case = Case(
        loaded=loaded,
        registry=registry,
        corpus=data,
        backend=backend,
        model_info=LLAMA if small else QWEN,
        prices=prices,
    )
    found = preflight(case)
    true = TRUE_OF_PACKAGED.get((name, backend), set())
    assert codes(found, "warning", "error") == true, [f.one_line for f in found]


def test_the_page_says_on_how_many_packaged_recipes_there_is_none() -> None:
    page = " ".join((ROOT / "docs" / "checks.md").read_text(encoding="utf-8").split())
    assert f"the {len(packaged_recipes())} packaged recipes" in page


def _nobody(*_: object) -> None:
    raise RunError("the service cannot be reached", "check the network")


@cache
def published() -> Corpus:
    """As many texts as the published recipe, in its splits and of its length."""
    return corpus(train=4625, test=1157, calibration=500, words=20)
