"""Memory of the device that a run would use, found without loading torch where there is no accelerator."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Memory of a device in bytes, and its name."""

    bytes: float
    name: str


def likely_device() -> str:
    """Return the device that a run takes by default; torch is loaded only where there may be an accelerator."""
    if os.name == "posix" and not _DRIVER.exists():
        return "cpu"
    from paraphrase_rl.models.devices import default_device

    return default_device()


def device_memory(device: str) -> DeviceMemory | None:
    """Return the memory of a device of this machine; ``None`` if it has no such device, or does not tell."""
    if device == "cpu":
        import psutil

        return DeviceMemory(psutil.virtual_memory().total, "this machine's memory")
    if not device.startswith("cuda") or not _DRIVER.exists() or find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    about = torch.cuda.get_device_properties(torch.device(device))
    return DeviceMemory(about.total_memory, about.name)
