"""Measure how detectors of AI-written text hold up under adversarial rewriting, and train the rewriter.

Importing this package is cheap: public names are resolved on first use.
"""

from importlib import import_module

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("paraphrase_rl")
"""Marks a plug-in's implementation of a hook of :mod:`paraphrase_rl.plugin.hookspecs`."""

_PUBLIC = {
    "PrlError": "paraphrase_rl.errors",
    "Context": "paraphrase_rl.plugin.specs",
    "DetectorSpec": "paraphrase_rl.plugin.specs",
    "MetricSpec": "paraphrase_rl.plugin.specs",
    "RewardSpec": "paraphrase_rl.plugin.specs",
    "RewriterSpec": "paraphrase_rl.plugin.specs",
    "DatasetSpec": "paraphrase_rl.plugin.specs",
    "BackendSpec": "paraphrase_rl.plugin.specs",
    "CommandSpec": "paraphrase_rl.plugin.specs",
    "Document": "paraphrase_rl.types",
    "Failure": "paraphrase_rl.types",
    "Measurements": "paraphrase_rl.types",
    "RewardBatch": "paraphrase_rl.types",
    "Rewrite": "paraphrase_rl.types",
    "Rollout": "paraphrase_rl.types",
    "Scores": "paraphrase_rl.types",
    "StepRecord": "paraphrase_rl.types",
    "Terms": "paraphrase_rl.types",
}

__all__ = ["__version__", "hookimpl", *sorted(_PUBLIC)]


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'paraphrase_rl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
