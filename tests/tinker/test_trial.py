"""prl check --try at a service: one group is sampled and rated, no step is taken, nothing is left there."""

from __future__ import annotations

from pathlib import Path

from paraphrase_rl_plugins.backends import tinker_backend
from paraphrase_rl_plugins.datasets import files
from paraphrase_rl_plugins.rewards import detector_evasion

import paraphrase_rl as prl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from tests.servers.tinker_server import Server
from tests.training.cases import write_recipe, write_texts
from tests.training.third_party import acme_training


def test_a_trial_at_a_service_trains_nothing(compact: Server, qwen: Path, tmp_path: Path) -> None:
    registry = Registry(
        Plugins.of(acme=acme_training, evasion=detector_evasion, files=files, tinker=tinker_backend)
    )
    data = write_texts(tmp_path / "texts.jsonl")
    recipe = write_recipe(tmp_path, qwen, data, held_out=[], rewriters=[])
    engine = compact.service.engine
    before = (set(engine.trained), set(engine.folder.rglob("*")))
    found = prl.check(
        recipe,
        backend="tinker",
        backend_options={"base_url": compact.url, "timeout_s": 60},
        trial=True,
        device="cpu",
        registry=registry,
    )
    codes = {row.code for row in found}
    assert "PRL129" not in codes, [row.one_line for row in found if row.severity == "error"]
    assert {"PRL120", "PRL126"} <= codes
    assert "PRL125" not in codes, "no step was taken"
    assert (set(engine.trained), set(engine.folder.rglob("*"))) == before
