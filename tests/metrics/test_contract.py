"""The bundled metrics that need no model keep the contract of a metric."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from paraphrase_rl_plugins.metrics import (
    chrf,
    edit_rate,
    finished,
    length,
    names,
    negations,
    numbers,
    repetition,
    validity,
)

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import MetricSpec
from paraphrase_rl.testing import MetricContract
from paraphrase_rl.types import RewardBatch
from tests.rewards.samples import PARAPHRASE, SOURCE, UNRELATED

SPECS: dict[str, MetricSpec] = {
    spec.name: spec
    for module in (chrf, edit_rate, finished, length, names, negations, numbers, repetition, validity)
    for spec in module.register_metrics()
}


class Bundled(MetricContract):
    source = replace(MetricContract.source, text=f"{SOURCE} It was not to be, said Ada Merrow.")
    rewrites = (SOURCE, UNRELATED)

    def make(self) -> Any:
        given = {"rewards": [{"name": "format"}]} if self.spec is SPECS["format"] else {}
        return default_registry().build("metrics", self.spec.name, given)


class TestNumbersKept(Bundled):
    spec = SPECS["numbers-kept"]


class TestNumbersAdded(Bundled):
    spec = SPECS["numbers-added"]


class TestNamesKept(Bundled):
    spec = SPECS["names-kept"]


class TestNamesAdded(Bundled):
    spec = SPECS["names-added"]
    rewrites = (SOURCE, f"{UNRELATED} So says Bo Lund.")


class TestNegationsKept(Bundled):
    spec = SPECS["negations-kept"]
    rewrites = ("It was not so.", "It was so.")


class TestNegationsAdded(Bundled):
    spec = SPECS["negations-added"]
    rewrites = ("It was not so.", "No, it was not so, never, by nobody, nowhere.")


class TestLengthRatio(Bundled):
    spec = SPECS["length-ratio"]


class TestEditRate(Bundled):
    spec = SPECS["edit-rate"]


class TestChrf(Bundled):
    spec = SPECS["chrf"]


class TestRepetition(Bundled):
    spec = SPECS["repetition"]
    rewrites = (SOURCE, "one two three four five " * 9)


class TestFormat(Bundled):
    spec = SPECS["format"]
    rewrites = (PARAPHRASE, SOURCE)
    source = replace(MetricContract.source, text=SOURCE)


class TestFinished(Bundled):
    spec = SPECS["finished"]

    def batch(self, rewrites: Any) -> RewardBatch:
        return replace(super().batch(rewrites), finished=[text != UNRELATED for text in rewrites])


def test_every_metric_that_needs_no_model_and_no_service_has_its_contract_here() -> None:
    needed = {"torch", "httpx"}
    bundled = [entry.spec for entry in default_registry().entries("metrics") if entry.plugin.bundled]
    tested = {contract.spec.name for contract in Bundled.__subclasses__()}
    assert tested == {spec.name for spec in bundled if not needed & set(spec.modules)}
