"""Measure how detectors of AI-written text hold up under adversarial rewriting, and train the rewriter.

Importing this package is cheap: public names are resolved on first use; ``__init__.pyi`` declares them.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "paraphrase_rl.acceptance.verdict": ("Verdict",),
    "paraphrase_rl.api.evaluating": ("evaluate", "validate"),
    "paraphrase_rl.api.explaining": ("ExplainResult", "explain"),
    "paraphrase_rl.api.hardening": ("harden",),
    "paraphrase_rl.api.monitoring": ("monitor",),
    "paraphrase_rl.api.reporting": ("export", "report"),
    "paraphrase_rl.api.training": ("check", "train"),
    "paraphrase_rl.api.calibrating": ("calibrate", "fit", "load_calibration"),
    "paraphrase_rl.api.comparing": ("ComparisonResult", "compare"),
    "paraphrase_rl.api.components": ("load_registry",),
    "paraphrase_rl.api.data": ("load_data", "load_recipe"),
    "paraphrase_rl.api.rewriting": ("rewrite",),
    "paraphrase_rl.api.scoring": ("ScoreStream", "score", "score_file", "score_stream"),
    "paraphrase_rl.api.text_results": (
        "CalibrationResult",
        "FitResult",
        "RewriteResult",
        "ScoreResult",
        "ScoreSummary",
    ),
    "paraphrase_rl.data.documents": ("Corpus",),
    "paraphrase_rl.errors": ("PrlError",),
    "paraphrase_rl.evaluation.results": ("Results",),
    "paraphrase_rl.hardening.records": ("Hardening",),
    "paraphrase_rl.preflight.findings": ("Finding", "Findings"),
    "paraphrase_rl.plugin.given": ("detector",),
    "paraphrase_rl.progress": ("Progress",),
    "paraphrase_rl.runs.run": ("Run",),
    "paraphrase_rl.tables": ("Table",),
    "paraphrase_rl.types": (
        "Document",
        "Failure",
        "Measurements",
        "RewardBatch",
        "Rewrite",
        "Rollout",
        "Scores",
        "StepRecord",
        "Terms",
        "Truncation",
    ),
}
"""Module -> the public names it holds."""
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'paraphrase_rl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
