"""Bundled components, built by the registry, keep the contracts that third parties are held to."""

from __future__ import annotations

from typing import Any

import pytest

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.testing import DatasetContract, DetectorContract, RewardContract
from paraphrase_rl.testing.detectors import TEXTS

ZERO_SHOT = ("log-likelihood", "log-rank", "lrr", "entropy", "gltr", "fast-detectgpt", "lastde")


class TestStarter(DatasetContract):
    def make(self) -> Any:
        return default_registry().build("datasets", "starter")


class TestFormat(RewardContract):
    pairs = (
        (
            "June brought 214 boats to the harbour, says its office: nine above last year, most from two villages.",
            "Sure! Here is the paraphrased text: the harbour office counted 214 boats in June, nine more than before.",
        ),
        (
            "That June, 214 boats were counted in the harbour. That is nine more than a year ago, and mostly fishers.",
            "",
        ),
    )

    def make(self) -> Any:
        return default_registry().build("rewards", "format")


@pytest.mark.models
@pytest.mark.parametrize("name", ZERO_SHOT)
class TestZeroShot(DetectorContract):
    """On prose a small model finds easy, beside prose with a mind of its own; news are no such pair for it."""

    pairs = ((TEXTS[1], TEXTS[0]), (TEXTS[3], TEXTS[2]))

    @pytest.fixture(autouse=True)
    def _chosen(self, name: str) -> None:
        self.name = name

    def component(self) -> Any:
        return default_registry().build("detectors", self.name, {"max_tokens": 96})
