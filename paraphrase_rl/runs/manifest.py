"""Manifest of a run: everything it depends on, written before its first step, to repeat and compare runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from paraphrase_rl import __version__
from paraphrase_rl.data.documents import Corpus
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.models.references import is_hub_id, resolve
from paraphrase_rl.plugin.registry import NO_OPTIONS, Registry
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.runs.terms import recipe_terms

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "numpy",
    "scikit-learn",
    "tinker",
    "vllm",
)


def manifest(
    recipe: Recipe,
    registry: Registry,
    corpus: Corpus,
    *,
    backend: str,
    device: str,
    precision: Precision | None,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> dict[str, Any]:
    """Build the manifest: versions, plug-ins, models with revisions, seeds, data digests and git state, as plain data.

    The policy of a remote backend is not downloaded to find its revision.
    """
    elsewhere = _elsewhere(recipe, registry) if registry.spec("backends", backend).remote else set()
    return {
        "paraphrase_rl": __version__,
        "backend": backend,
        "backend_options": dict(options),
        "device": device,
        "precision": precision,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _versions(),
        "plugins": sorted({entry.plugin.source for entry in registry.entries()}),
        "models": {
            reference: None if reference in elsewhere else resolve(reference).revision
            for reference in registry.models_of(recipe)
        },
        "rewards": [asdict(term) for term in recipe_terms(recipe, registry)],
        "seeds": {"training": recipe.training.seed, "split": recipe.data.split_seed},
        "data": {
            "source": corpus.source,
            "digest": corpus.digest,
            "documents": len(corpus.documents),
        },
        "git": _git(),
    }


def _elsewhere(recipe: Recipe, registry: Registry) -> set[str]:
    used = {
        model
        for kind, component in recipe.components()
        for model in registry.models(kind, component.name, component.options)
    }
    return {recipe.model} - used if is_hub_id(recipe.model) else set()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git() -> dict[str, Any] | None:
    """Commit of the working folder, ``None`` outside a checkout.

    Only the commit: to find out what has changed since, git would run programs that the checkout itself names
    (``core.fsmonitor``, the ``clean`` command of a filter).
    """
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--verify", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
            cwd=Path.cwd(),
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit}
