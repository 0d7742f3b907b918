"""Adapters of the local backend: which layers they change, and how they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from paraphrase_rl.plugin import Recipe, RecipeError, RunError, make_portable, suggestion, ties_embeddings


def lora_config(recipe: Recipe, model: Any) -> LoraConfig:
    """Build peft's configuration from the recipe's.

    Raises:
        RecipeError: the recipe names layers that the model lacks, or that cannot be adapted.
    """
    lora = recipe.lora
    for target in lora.target_modules or ():
        _check(target, recipe.model, model)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=0.0,
        target_modules=lora.target_modules or "all-linear",
        task_type="CAUSAL_LM",
    )


def _check(target: str, reference: str, model: Any) -> None:
    """Refuse a layer that peft would pass over, fail on, or adapt in another sense than the rest of the product."""
    modules = dict(model.named_modules())
    named = [
        part for name, part in modules.items() if name and (name == target or name.endswith(f".{target}"))
    ]
    linear = sorted({name.rpartition(".")[2] for name, part in modules.items() if _is_linear(part, model)})
    choice = f"choose from: {', '.join(linear)}; or null, which adapts all of them"
    if not named:
        raise RecipeError(
            f"lora.target_modules: {reference} has no layer {target}", suggestion(target, linear) or choice
        )
    if any(part is model.get_output_embeddings() for part in named):
        raise RecipeError(
            f"lora.target_modules: {target} is the unembedding of {reference}, which the trl backend does not adapt",
            choice,
        )
    if any(part is model.get_input_embeddings() for part in named):
        if ties_embeddings(model):
            raise RecipeError(
                f"lora.target_modules: {target} is the embedding of {reference} and by the same weights its"
                " unembedding, so that merged the adapter would be another policy",
                choice,
            )
        return
    if not all(_is_linear(part, model) for part in named):
        raise RecipeError(
            f"lora.target_modules: {target} of {reference} is not a linear layer and cannot be adapted",
            choice,
        )


def _is_linear(part: Any, model: Any) -> bool:
    return isinstance(part, (torch.nn.Linear, Conv1D)) and part is not model.get_output_embeddings()


def write_adapter(
    model: Any, tokenizer: Any, folder: Path, base: str, state: Mapping[str, Any] | None = None
) -> None:
    """Write an adapter with its tokenizer to a folder; nothing in it tells of this machine.

    Args:
        model: peft's model.
        base: reference of the model that the adapter is for.
        state: weights to write; ``None`` = those of the model.
    """
    # Left to itself, peft asks the hub whether the vocabulary has grown, at every checkpoint.
    model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    make_portable(folder, base)


@contextmanager
def torch_writes() -> Iterator[None]:
    """Make a write of torch's that fails an error of the file system, as every other write that fails is."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"torch could not write a checkpoint: {error}".splitlines()[0]) from error


def base_digest(model: Any) -> str:
    """Compute ``sha256:...`` over the names and bytes of all weights but those of adapters."""
    total = hashlib.sha256()
    for name, weights in sorted(model.named_parameters()):
        if "lora_" not in name:
            total.update(f"{name}\0{tuple(weights.shape)}\n".encode())
            total.update(weights.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy())
    return f"sha256:{total.hexdigest()}"


def check_frozen(model: Any, before: str) -> None:
    """Check that the weights of the base model are those that a training began with.

    Args:
        before: :func:`base_digest` at the beginning.

    Raises:
        RunError: they are not.
    """
    if base_digest(model) != before:
        raise RunError(
            "the weights of the base model have changed during the training, though only the adapter is trained: "
            "the adapter fits no model",
            "this is a fault of the installation: report it with the packages of the run's manifest.json",
        )


def load_adapter(model: Any, place: Path | str) -> None:
    """Load the weights of an adapter into the new one of a model.

    Raises:
        RecipeError: the adapter is at a service, or of another shape than the recipe's.
    """
    if isinstance(place, str):
        raise RecipeError(
            f"the trl backend cannot load the weights at a service, {place}",
            "export them with prl export RUN, and give the folder",
        )
    held, new = PeftConfig.from_pretrained(str(place)), model.peft_config["default"]
    state = load_file(place / "adapter_model.safetensors")
    wanted = {name: tensor.shape for name, tensor in get_peft_model_state_dict(model).items()}
    if (held.r, held.lora_alpha) != (new.r, new.lora_alpha) or wanted != {
        n: t.shape for n, t in state.items()
    }:
        raise RecipeError(
            f"the adapter to start from (rank {held.r}, alpha {held.lora_alpha:g}) does not fit the recipe's lora "
            f"(rank {new.r}, alpha {new.lora_alpha:g}) or its layers",
            f"set lora.rank={held.r} and lora.alpha={held.lora_alpha:g}, and keep the model and lora.target_modules of"
            " the run that it is from",
        )
    set_peft_model_state_dict(model, state)
