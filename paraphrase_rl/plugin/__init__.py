"""Names to write a plug-in with: hooks, specs, protocols and types.

They are resolved on first use; ``__init__.pyi`` declares them.

With :mod:`paraphrase_rl` and :mod:`paraphrase_rl.testing` this is the declared surface: every name in these three
keeps its signature (``tests/plugins/surface.txt``), everything else may change. The bundled plug-ins import nothing
else of ``paraphrase_rl``; docs/plugins.md shows how to write one.
"""

from importlib import import_module

_PUBLIC = {
    # what is registered, and what a factory is given
    "paraphrase_rl.plugin.hookspecs": ("hookimpl",),
    "paraphrase_rl.plugin.specs": (
        "BackendSpec",
        "CommandSpec",
        "Context",
        "DatasetSpec",
        "DetectorSpec",
        "MetricSpec",
        "NoOptions",
        "Options",
        "RewardSpec",
        "RewriterSpec",
        "Treatment",
    ),
    # what a component is, and what passes between components
    "paraphrase_rl.plugin.protocols": (
        "Backend",
        "DatasetSource",
        "Detector",
        "ExplainingDetector",
        "Judgement",
        "Metric",
        "Policy",
        "ProbabilityModel",
        "Reward",
        "Rewriter",
        "Session",
        "TrainingResult",
        "Warmup",
    ),
    "paraphrase_rl.plugin.rated": ("RatedRollouts", "SupervisedExample", "TokenAdvantages"),
    "paraphrase_rl.types": (
        "Document",
        "Explanation",
        "Failure",
        "FloatArray",
        "Label",
        "Measurements",
        "RewardBatch",
        "Rewrite",
        "Rewrites",
        "Rollout",
        "Scores",
        "Share",
        "Split",
        "StepRecord",
        "Terms",
        "Truncation",
        "with_index",
    ),
    "paraphrase_rl.errors": (
        "CalibrationError",
        "DataError",
        "MissingDependencyError",
        "ModelError",
        "NumericalError",
        "PluginError",
        "PrlError",
        "RecipeError",
        "RunError",
        "UsageError",
        "one_line",
    ),
    "paraphrase_rl.names": ("suggestion",),
    # zero-shot detectors: one pass of a language model serves all of them
    "paraphrase_rl.detection.zero_shot": ("Undefined", "ZeroShotOptions", "zero_shot_spec"),
    "paraphrase_rl.models.token_statistics": ("TokenStatistics",),
    # models by reference
    "paraphrase_rl.models.references": (
        "is_hub_id",
        "load_causal_lm",
        "load_encoder",
        "load_seq2seq_lm",
        "load_sequence_classifier",
        "load_tokenizer",
        "load_tokenizer_alone",
        "resolve",
        "scoring_dtype",
        "shared_causal_lm",
    ),
    "paraphrase_rl.models.precision": ("dtype_of",),
    "paraphrase_rl.models.adapters": ("load_adapted_lm", "make_portable", "ties_embeddings"),
    "paraphrase_rl.models.chat": ("Chat",),
    "paraphrase_rl.models.language_model": ("shared_language_model",),
    "paraphrase_rl.models.encoder": ("SentenceEncoder",),
    "paraphrase_rl.models.defaults": ("DEFAULT_ENCODER", "DEFAULT_LANGUAGE_MODEL"),
    "paraphrase_rl.models.embeddings": ("embed", "has_text"),
    # texts
    "paraphrase_rl.text.sentences": ("sentence_ends",),
    "paraphrase_rl.text.thoughts": ("THOUGHT_MARK", "split_thought"),
    # data sets: rows of a table, files of a published corpus
    "paraphrase_rl.data.columns": ("TableOptions",),
    "paraphrase_rl.data.published": ("FilesOptions", "HubOptions", "PublishedFiles"),
    "paraphrase_rl.data.encoding": ("decoded",),
    "paraphrase_rl.data.rows": ("file_rows",),
    "paraphrase_rl.data.splits": ("opening",),
    "paraphrase_rl.data.table_documents": ("TableFiles", "by_split", "dataset_documents"),
    # files
    "paraphrase_rl.files": (
        "dumps",
        "fitted_folder",
        "new_folder",
        "sha256_file",
        "sha256_text",
        "sha256_texts",
        "write_json",
        "write_text",
    ),
    # backends: the recipe's sections, the update, a run's checkpoints
    "paraphrase_rl.recipe.prompt": ("Prompt",),
    "paraphrase_rl.recipe.schema": ("Component", "Lora", "Recipe", "Sampling"),
    "paraphrase_rl.recipe.arithmetic": ("auto_learning_rate",),
    "paraphrase_rl.recipe.model_info": ("find_model",),
    "paraphrase_rl.models.shape": ("ModelShape",),
    "paraphrase_rl.plugin.estimates": ("Estimate", "Load", "MemoryPart"),
    "paraphrase_rl.training.grpo": ("mean_over_tokens", "measured_rows"),
    "paraphrase_rl.runs.ledger": ("place_of",),
    "paraphrase_rl.runs.reader": ("adapter_of", "checkpoint_row", "manifest_of", "recipe_of_run"),
}
"""Module -> the names of it that a plug-in may use."""
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'paraphrase_rl.plugin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
