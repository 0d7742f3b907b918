"""Adapters in PEFT's format: made to load on other machines, and merged into their model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paraphrase_rl.errors import MissingDependencyError, ModelError
from paraphrase_rl.files import json_text
from paraphrase_rl.models.folders import first_line
from paraphrase_rl.models.published import published

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"


def make_portable(folder: Path, model: str) -> None:
    """Name the model of an adapter as every machine calls it, and remove the blank card that peft writes.

    Args:
        folder: the adapter, in PEFT's format.
        model: reference of the model that it was trained on.

    Raises:
        ModelError: the folder is not an adapter.
    """
    config = {**_config(folder), "base_model_name_or_path": published(model).name}
    (folder / CONFIG).write_text(json_text(config), encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)


def load_adapted_lm(
    model: str, adapter: Path | str, device: str = "cpu", dtype: torch.dtype | None = None
) -> Any:
    """Load a model with an adapter merged into its weights.

    Args:
        model: reference of the model that the adapter was trained on.
        adapter: folder of the adapter, in PEFT's format.
        dtype: precision in which they are added; ``None`` = the one for scoring on the device.

    Raises:
        ModelError: the model cannot be loaded, or the adapter does not fit it.
        MissingDependencyError: peft is not installed.
    """
    from paraphrase_rl.models.references import load_causal_lm

    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingDependencyError(
            "loading an adapter needs peft, which is not installed", "pip install peft"
        ) from error
    folder = Path(adapter)
    base: Any = load_causal_lm(model, device, dtype)
    _config(folder)
    tied, embeddings = ties_embeddings(base), _embeddings(base)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            # peft goes on with random or zero weights in place of those that a file lacks
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(base, str(folder))
            # an adapter names its layers in many ways; peft puts a part of its own in place of each that it changes
            merged = None if tied and _embeddings(base) != embeddings else adapted.merge_and_unload()
    except Exception as error:  # peft, torch and safetensors have no common error
        raise ModelError(
            f"the adapter {folder} does not fit {model}: {first_line(error)}",
            "give the adapter with the model that it was trained on, or export it again",
        ) from error
    if merged is None:
        raise ModelError(
            f"the adapter {folder} changes the embedding or the unembedding of {model}, which have the same weights:"
            " merged, both would change",
            "load it without merging, as peft does, or train an adapter of linear layers only, without the unembedding",
        )
    return merged


def ties_embeddings(model: Any) -> bool:
    """Tell whether unembedding and embedding have the same weights: what is merged into one changes the other."""
    embedding, unembedding = _embeddings(model)
    return unembedding is not None and unembedding.weight is embedding.weight


def merge_adapter(model: str, adapter: Path, out: Path) -> None:
    """Write a complete model, its tokenizer included, whose weights have an adapter added.

    The sum is taken in fp32 and rounded once, to the precision that the model's own weights are stored in.

    Args:
        model: reference of the model that the adapter was trained on.
        adapter: folder of the adapter, in PEFT's format.
        out: folder to write; it is made.

    Raises:
        ModelError, MissingDependencyError: see :func:`load_adapted_lm`.
    """
    import torch

    from paraphrase_rl.models.references import load_tokenizer, resolve

    merged = load_adapted_lm(model, adapter, dtype=torch.float32)
    stored = _stored_dtype(resolve(model).path)
    merged.to(stored).save_pretrained(out)
    load_tokenizer(model).save_pretrained(out)


def _stored_dtype(folder: Path) -> torch.dtype:
    """The precision that a model's configuration gives for its weights; fp32 if it gives none."""
    import torch

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config.get("dtype") or config.get("torch_dtype")
    found = getattr(torch, name, None) if isinstance(name, str) else None
    return found if isinstance(found, torch.dtype) and found.is_floating_point else torch.float32


def _embeddings(model: Any) -> tuple[Any, Any]:
    return model.get_input_embeddings(), model.get_output_embeddings()


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{folder} is not an adapter in PEFT's format: {first_line(error)}",
            "give the folder of an adapter, which has a file adapter_config.json",
        ) from error
    if not isinstance(found, dict):
        raise ModelError(
            f"{path} is not the configuration of an adapter", "restore the file, or export the run again"
        )
    return found
