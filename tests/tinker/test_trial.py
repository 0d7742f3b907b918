"""prl check --try at a service: a step where it costs little, which leaves nothing there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from paraphrase_rl_plugins.backends import tinker_backend
from paraphrase_rl_plugins.datasets import files
from paraphrase_rl_plugins.rewards import detector_evasion

import paraphrase_rl as prl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from tests.servers.tinker_server import Server
from tests.training.cases import write_recipe, write_texts
from tests.training.third_party import acme_training


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(
        Plugins.of(acme=acme_training, evasion=detector_evasion, files=files, tinker=tinker_backend)
    )


@pytest.fixture(scope="module")
def recipe(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    return write_recipe(folder, qwen, write_texts(folder / "texts.jsonl"), held_out=[], rewriters=[])


def tried(recipe: Path, compact: Server, registry: Registry, **given: Any) -> dict[str, prl.Finding]:
    found = prl.check(
        recipe,
        backend="tinker",
        backend_options={"base_url": compact.url, "timeout_s": 60},
        trial=True,
        device="cpu",
        registry=registry,
        **given,
    )
    codes = {row.code: row for row in found}
    assert "PRL129" not in codes, [row.one_line for row in found if row.severity == "error"]
    assert "PRL120" in codes
    return codes


def price(folder: Path, model: Path, dollars: float) -> Path:
    """A price table in which a million tokens of any kind cost so much."""
    each = {
        "prefill": dollars,
        "sample": dollars,
        "train": dollars,
        "date": "2026-11-01",
        "source": "made up",
    }
    table = {
        "currency": "USD",
        "passes": {"prefill": 1, "train": 2},
        "assumptions": "none",
        "models": {str(model): each},
    }
    path = folder / "prices.yaml"
    path.write_text(json.dumps(table))
    return path


def test_a_step_at_a_service_is_measured_charged_and_leaves_nothing(
    compact: Server, qwen: Path, recipe: Path, registry: Registry, tmp_path: Path
) -> None:
    before = set(compact.service.engine.folder.rglob("*"))
    compact.service.seen.clear()
    found = tried(recipe, compact, registry, prices=price(tmp_path, qwen, 10.0))
    assert "PRL126" not in found
    step = found["PRL125"].evidence
    assert float(step.split()[0]) > 0
    cost = re.search(r"; the trial cost at most (\d\.\d+) USD$", step)
    assert cost is not None
    # 2 x 3 rollouts, each sampled, read by the base model and trained on twice; a group and two rewrites, sampled alone
    completion, prompts = 12 * (6 * 4 + 3 + 2), (6 * 4 + 3 + 2) * 40
    assert 10e-6 * completion < float(cost[1]) < 10e-6 * (completion + prompts)
    assert compact.service.seen.count("optim_step") == 1
    assert set(compact.service.engine.folder.rglob("*")) == before
    assert found["PRL101"].evidence.endswith(f"at {float(step.split()[0]):g} s per step")


@pytest.mark.parametrize(
    ("dollars", "said"),
    [(None, "the price of"), (1e4, "the trial could cost")],
)
def test_without_a_price_or_with_a_high_one_none_is_taken(
    compact: Server,
    qwen: Path,
    recipe: Path,
    registry: Registry,
    tmp_path: Path,
    dollars: float | None,
    said: str,
) -> None:
    compact.service.seen.clear()
    given = {} if dollars is None else {"prices": price(tmp_path, qwen, dollars)}
    found = tried(recipe, compact, registry, **given)
    assert "PRL125" not in found
    assert f"none was taken: {said}" in found["PRL126"].evidence
    assert "--prices" in found["PRL126"].remedy
    assert not {"optim_step", "forward_backward"} & set(compact.service.seen)
