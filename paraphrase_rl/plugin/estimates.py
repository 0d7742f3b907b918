"""Estimates of a backend: memory by part and seconds per step, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Tokens that a step puts through the policy, the device that it runs on, and the options of the backend.

    Attributes:
        device: torch device, such as ``cpu`` or ``cuda``.
        device_bytes: memory of the device; ``None`` if it is not of this machine, or does not tell.
        options: options of the backend.
        longest_prompt: tokens of the longest prompt.
        prompt: tokens of the mean prompt.
        completion: tokens of the mean completion, if a rewrite is as long as its source.
    """

    device: str
    device_bytes: float | None = None
    options: Any
    longest_prompt: float
    prompt: float
    completion: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPart:
    """Memory of one purpose on the device.

    Attributes:
        name: what it is for, such as ``weights`` or ``optimizer``.
        bytes: at most.
        phase: whether it is there all the time, or only while sampling or updating.
        basis: what it is computed from.
    """

    name: str
    bytes: float
    phase: Literal["throughout", "sampling", "update"] = "throughout"
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Memory and time of a step.

    Attributes:
        memory: parts of the memory on the device, without detectors and rewards.
        seconds: seconds per step, expected and at most; ``None`` if unknown.
        basis: what the seconds are computed from.
    """

    memory: tuple[MemoryPart, ...]
    seconds: tuple[float, float] | None = None
    basis: str = ""

    @property
    def peak(self) -> float:
        """Bytes at the peak: what is there throughout, and the larger of sampling and update."""
        in_phase = {
            phase: sum(part.bytes for part in self.memory if part.phase == phase)
            for phase in ("throughout", "sampling", "update")
        }
        return in_phase["throughout"] + max(in_phase["sampling"], in_phase["update"])
