"""Processes of one training: one, or several started by a launcher."""

from __future__ import annotations

import os
from importlib.util import find_spec


def is_first() -> bool:
    """Return whether this process writes and reports: the only one, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def are_several() -> bool:
    """Return whether a launcher started this process, possibly with others."""
    return "WORLD_SIZE" in os.environ


def first_accelerator() -> str:
    """Choose the torch device to train on: the process's own CUDA device if there is one, else ``cpu``."""
    if find_spec("torch") is None:
        return "cpu"  # what needs torch says so
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
