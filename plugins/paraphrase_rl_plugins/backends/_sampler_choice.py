"""Choice of what samples in a run of the ``trl`` backend, the trained model or vLLM, without loading either."""

from __future__ import annotations

from importlib.util import find_spec

from paraphrase_rl.plugin import Recipe, RecipeError

KNOWN_TEMPERATURE = 1.0
"""The temperature whose log-probabilities vLLM gives, whatever it samples at."""

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM reserves room for; one in between takes the room of the next."""


def why_not(device: str, processes: int, rank: int) -> str | None:
    """Return why vLLM cannot sample here; ``None`` if it can."""
    if find_spec("vllm") is None:
        return "vLLM is not installed"
    if not device.startswith("cuda"):
        return f"vLLM needs an NVIDIA GPU, and the device is {device}"
    if processes > 1:
        return f"{processes} processes train together, and vLLM is used with one alone"
    if rank > RANKS[-1]:
        return f"vLLM takes adapters of rank {RANKS[-1]} at most, and lora.rank is {rank}"
    return None


def takes_vllm(choice: str, recipe: Recipe, device: str, processes: int = 1) -> bool:
    """Say whether vLLM is to sample: if it is chosen, or if the choice is automatic and it can.

    Args:
        choice: ``vllm``, ``own``, or ``auto``, which takes vLLM only where its log-probabilities can be measured.

    Raises:
        RecipeError: vLLM is chosen, and cannot sample here.
    """
    if choice == "own":
        return False
    reason = why_not(device, processes, recipe.lora.rank)
    if choice == "auto":
        return reason is None and recipe.sampling.temperature == KNOWN_TEMPERATURE
    if reason is not None:
        raise RecipeError(
            f"--option sampler=vllm: {reason}",
            "use --option sampler=own, or install with `make setup-gpu`",
        )
    return True
