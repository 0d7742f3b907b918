"""Torch devices: the default device, and a check that a device exists."""

from __future__ import annotations

from importlib.util import find_spec

from paraphrase_rl.errors import UsageError


def default_device(runs_on_torch: bool = True) -> str:
    """Return ``cuda`` if there is a CUDA device, else ``cpu``; torch is imported only if it is needed and installed.

    ``mps`` is taken only if it is asked for: nothing has been tested on it.
    """
    if not runs_on_torch or find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Refuse a device that does not exist, before any work is done or file overwritten.

    Raises:
        UsageError: torch has no such device here.
    """
    if device == "cpu" or find_spec("torch") is None:
        return
    import torch

    try:
        meant = torch.device(device)
        count = {
            "cpu": 1,
            "cuda": torch.cuda.device_count(),
            "mps": int(torch.backends.mps.is_available()),
        }.get(meant.type, 0)
        there = (meant.index or 0) < count
    except RuntimeError:
        there = False
    if not there:
        raise UsageError(
            f"torch has no device {device!r} here",
            "choose cpu, cuda, a numbered device such as cuda:1, or mps on a Mac",
        )
