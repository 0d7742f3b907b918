"""Short runs through the tinker backend; the rest is shared with ``tests.training.runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paraphrase_rl_plugins.backends.tinker_backend import TinkerBackend, TinkerOptions

from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.specs import Context
from tests.servers.tinker_server import Server
from tests.training.runs import recipe


def short(model: Path, **changes: Any) -> Recipe:
    """2 prompts x 3 rollouts a step, 4 steps."""
    training = {"batch_size": 2, "group_size": 3, "seed": 5, "learning_rate": 0.01, "max_steps": 4}
    return recipe(model, **{"training": training | changes.pop("training", {}), **changes})


def backend(server: Server | str, **options: Any) -> TinkerBackend:
    """The backend on a server of ours."""
    url = server if isinstance(server, str) else server.url
    return TinkerBackend(TinkerOptions(**{"base_url": url, "timeout_s": 30.0, **options}), Context())
