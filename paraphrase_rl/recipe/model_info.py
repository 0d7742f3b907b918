"""What is known about a model without loading it, and without fetching anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paraphrase_rl.errors import ModelError
from paraphrase_rl.models import hub_is_off, is_hub_id, resolve


@dataclass(frozen=True)
class ModelInfo:
    """Of a language model, from its ``config.json``."""

    hidden_size: int
    model_type: str


@dataclass(frozen=True)
class FoundModel:
    """Whether a reference leads to a model here."""

    level: Literal["ok", "note", "error"]
    message: str
    info: ModelInfo | None = None


def find_model(reference: str) -> FoundModel:
    """Look for a model on this machine. A hub id that is not here is a note, unless the hub is switched off."""
    try:
        found = resolve(reference, fetch=False)
    except ModelError as error:
        if is_hub_id(reference) and not hub_is_off():
            return FoundModel("note", "not on this machine; fetched from the hub when it is first used")
        return FoundModel("error", error.one_line)
    return FoundModel("ok", f"{found.kind}, revision {found.revision}", _info(found.path))


def _info(folder: Path) -> ModelInfo | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config", config)  # multimodal models keep the language model's inside
        return ModelInfo(int(config["hidden_size"]), str(config["model_type"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
