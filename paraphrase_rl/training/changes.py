"""Changes that a run which has begun may take, and the weights that a new run takes over from another one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paraphrase_rl.errors import RunError, UsageError
from paraphrase_rl.files import dumps, inside
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.recipe.loading import DEFAULT, Changes, LoadedRecipe, leaves, load_recipe, plain
from paraphrase_rl.runs.backend import ChosenBackend, backend_of_run
from paraphrase_rl.runs.ledger import damage_of, digests_of
from paraphrase_rl.runs.reader import adapter_of, checkpoint_row, manifest_of, recipe_file

EXTENDING = (
    "training.max_steps",
    "training.epochs",
    "checkpoints",
    "evaluation.every",
    "monitors",
    "acceptance",
)
"""Recipe keys, and sections of keys, that change nothing of the steps that a run has done."""
INITIAL = "initial"
"""Folder of a run with the adapter that it took over from another run."""
_TAKEN = ("adapter_config.json", "adapter_model.safetensors")


def resumed_recipe(run: Path, changes: Changes) -> tuple[LoadedRecipe, dict[str, Any]]:
    """Return the recipe to go on with, and its keys whose values are others than those that the run began with.

    Args:
        run: the run directory; its recipe.yaml may have been edited.
        changes: as for :func:`paraphrase_rl.recipe.loading.load_recipe`.

    Raises:
        UsageError: a key changed that steps already done depend on.
    """
    loaded = load_recipe(recipe_file(run), changes)
    recorded = manifest_of(run).get("recipe")
    began = leaves(recorded if isinstance(recorded, dict) else plain(load_recipe(recipe_file(run)).recipe))
    now = leaves(plain(loaded.recipe))
    changed = {
        key: now.get(key)
        for key in {**began, **now}
        if _plain(began.get(key)) != _plain(now.get(key))
        and (key in began or loaded.origins.get(key) != DEFAULT)  # a key that is newer than the run
    }
    for key in changed:
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in EXTENDING):
            raise UsageError(
                f"{key} cannot change in a run that has begun: the steps it has done depend on it",
                f"start a new run from its weights: prl train --from {shlex.quote(str(run))} --set {key}=...",
            )
    return loaded, changed


def _plain(value: Any) -> Any:
    return json.loads(dumps(value))


@dataclass(frozen=True, kw_only=True)
class Initial:
    """Weights of another run.

    Attributes:
        run: that run's directory.
        step: of the checkpoint.
        place: folder of the adapter, or the service's reference to the training state.
    """

    run: Path
    step: int
    place: Path | str

    def facts(self) -> dict[str, Any]:
        """Return what the manifest of the new run says about them."""
        if isinstance(self.place, str):
            return {"run": str(self.run), "step": self.step, "reference": self.place}
        taken = {name: digest for name, digest in digests_of(self.place).items() if name in _TAKEN}
        return {"run": str(self.run), "step": self.step, "path": INITIAL, "sha256": taken}


def inherited(run: Path) -> LoadedRecipe:
    """Return the recipe of a run as a new run from its weights takes it: without the warm-up, which they went through.

    Raises:
        RunError: there is no run.
    """
    loaded = load_recipe(recipe_file(run))
    if loaded.recipe.warmup.method is None:
        return loaded
    return load_recipe(recipe_file(run), {"warmup.method": None, "warmup.path": None, "kl.reference": "base"})


def initial_of(run: Path, model: str, on: ChosenBackend, registry: Registry, scratch: Path) -> Initial:
    """Find the newest weights of a run, for a new run of the same model to begin with.

    Args:
        on: backend of the new run. Weights at a service of another backend are exported for it.
        scratch: folder to export them to.

    Raises:
        RunError: the run has no checkpoint, or a damaged one, or its service does not send it.
        UsageError: the run trained another model, or the backend cannot begin with its weights.
    """
    began = load_recipe(recipe_file(run)).recipe.model
    if began != model:
        raise UsageError(
            f"the weights of {run} are an adapter of {began}, and the recipe's model is {model}",
            f"set model: {began}",
        )
    row, came = checkpoint_row(run), backend_of_run(run, {})
    place = str(row["reference"]) if "reference" in row else adapter_of(run, row)
    if isinstance(place, str) and came.name != on.name:
        place = scratch / "adapter"
        registry.build("backends", came.name, came.options).export(run, row, place)
    elif isinstance(place, Path) and registry.spec("backends", on.name).remote:
        raise UsageError(
            f"the service of backend {on.name} takes no weights from outside, and {run} was trained on {came.name}",
            f"go on with --backend {came.name}, or teach a new run its rewrites (prl rewrite) by warmup.method=pairs",
        )
    return Initial(run=run, step=int(row["step"]), place=place)


def initial_in(run: Path) -> Path | str | None:
    """Return the weights that a run took over when it began; ``None`` if it began with the model alone.

    Raises:
        RunError: they are damaged.
    """
    facts = manifest_of(run).get("from")
    if not isinstance(facts, Mapping):
        return None
    if "reference" in facts:
        return str(facts["reference"])
    if damage := damage_of(run, facts):
        raise RunError(
            f"the weights that {run} began with are damaged: {INITIAL}/{damage}",
            f"restore the file, or start a new run from {facts.get('run')}",
        )
    return inside(run, INITIAL)
