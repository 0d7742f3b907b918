"""Facts about a model, found without loading or downloading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models.references import hub_is_off, is_hub_id, resolve
from paraphrase_rl.models.shape import KNOWN_CONFIGS, ModelShape, stored_parameters


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a language model from its ``config.json``.

    Attributes:
        context: number of tokens that a prompt and its answer may have together; ``None`` if it does not say.
        shape: sizes of its layers; ``None`` for a build that :class:`ModelShape` does not describe.
        parameters: number of parameters in its files, or of its shape; ``None`` if neither is known.
    """

    hidden_size: int
    model_type: str
    context: int | None = None
    shape: ModelShape | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class FoundModel:
    """Result of looking for a model on this machine.

    Attributes:
        hint: what to do if there is none.
        folder: where its tokenizer is; ``None`` if it is not on this machine.
    """

    level: Literal["ok", "note", "error"]
    message: str
    info: ModelInfo | None = None
    hint: str = ""
    folder: Path | None = None


def find_model(reference: str, *, weights: bool = True) -> FoundModel:
    """Look for a model on this machine.

    A hub id whose model is not on this machine is a note, but an error if the hub is switched off.

    Args:
        weights: ``False`` if the tokenizer is enough, because a service holds the weights.
    """
    if not weights and is_hub_id(reference):
        return _find_tokenizer(reference)
    try:
        found = resolve(reference, fetch=False)
    except ModelError as error:
        if not is_hub_id(reference):
            return FoundModel("error", error.message, hint=error.hint)
        info = _hub_info(reference)
        if not hub_is_off():
            return FoundModel(
                "note", "not on this machine; it is downloaded from the hub when it is first used", info
            )
        return FoundModel("error", error.message, info, error.hint)
    return FoundModel("ok", f"{found.kind}, revision {found.revision}", _info(found.path), folder=found.path)


def _find_tokenizer(hub_id: str) -> FoundModel:
    info = _hub_info(hub_id)
    if (folder := _cached(hub_id, "tokenizer_config.json")) is not None:
        message = "the tokenizer is on this machine; the weights are at the service"
        return FoundModel("ok", message, info, folder=folder)
    if not hub_is_off():
        return FoundModel("note", "the tokenizer is downloaded from the hub when it is first used", info)
    return FoundModel(
        "error",
        "its tokenizer is not on this machine and the hub is switched off (HF_HUB_OFFLINE)",
        info,
        f"run `hf download {hub_id} --include 'tokenizer*' '*.json' '*.model'` where there is a network",
    )


def _cached(hub_id: str, file: str) -> Path | None:
    """Snapshot folder with a file of a hub repository that was downloaded before."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(hub_id, file)
    return Path(found).parent if isinstance(found, str) else None


def _info(folder: Path | None) -> ModelInfo | None:
    if folder is None:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config", config)  # multimodal models keep the language model's inside
        return _of_config(config, stored_parameters(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _of_config(config: Mapping[str, Any], stored: int | None = None) -> ModelInfo:
    shape, context = ModelShape.of(config), config.get("max_position_embeddings")
    return ModelInfo(
        int(config["hidden_size"]),
        str(config["model_type"]),
        context=int(context) if context else None,
        shape=shape,
        parameters=stored or (shape.parameters if shape else None),
    )


def _hub_info(hub_id: str) -> ModelInfo | None:
    """Facts about a hub model of which at most the small files are here; of a known one, from what is known."""
    found = _info(_cached(hub_id, "config.json"))
    known = KNOWN_CONFIGS.get(hub_id)
    return found or (_of_config(known) if known else None)
