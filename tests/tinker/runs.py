"""Short runs through the tinker backend; the rest is shared with ``tests.training.runs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from paraphrase_rl_plugins.backends.tinker_backend import TinkerBackend, TinkerOptions

from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from tests.servers.skyrl_process import SkyRL
from tests.servers.tinker_server import Server
from tests.training.runs import recipe

NOT_TIMES = ("kl_", "reward", "grad_norm", "vowels", "completion_tokens")


def short(model: Path, **changes: Any) -> Recipe:
    """2 prompts x 3 rollouts a step, 4 steps."""
    training = {"batch_size": 2, "group_size": 3, "seed": 5, "learning_rate": 0.01, "max_steps": 4}
    return recipe(model, **{"training": training | changes.pop("training", {}), **changes})


def backend(server: Server | SkyRL | str, **options: Any) -> TinkerBackend:
    """The backend on a server of ours, or at an address."""
    url = server if isinstance(server, str) else server.url
    patience = server.patience if isinstance(server, SkyRL) else 30.0
    return TinkerBackend(TinkerOptions(**{"base_url": url, "timeout_s": patience, **options}), Context())


def numbers(folder: Path) -> list[dict[str, float]]:
    """Metrics of all steps, without those that measure time."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row["metrics"].items() if k.startswith(NOT_TIMES)} for row in rows]


def alike(expected: list[dict[str, float]], server: Server | SkyRL) -> Any:
    """The same numbers: to the bit on our server; SkyRL batches what waits, and rounds by how it came together."""
    if not isinstance(server, SkyRL):
        return expected
    return [pytest.approx(row, rel=1e-3, abs=1e-4) for row in expected]
