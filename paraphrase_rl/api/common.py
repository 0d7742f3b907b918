"""What the verbs share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paraphrase_rl.plugin.registry import Registry


def registry_or_default(registry: Registry | None) -> Registry:
    """The registry given, else that of this process."""
    if registry is not None:
        return registry
    from paraphrase_rl.plugin.registry import default_registry

    return default_registry()


def device_or_default(device: str | None, runs_on_torch: bool = True) -> str:
    """The device given, where it is there; else ``cuda`` where there is one and it is of use, else ``cpu``.

    Raises:
        UsageError: torch has no such device here.
    """
    from paraphrase_rl.models.devices import check_device, default_device

    if device is None:
        return default_device(runs_on_torch)
    check_device(device)
    return device


def device_for(device: str | None, registry: Registry, detectors: Iterable[str]) -> str:
    """:func:`device_or_default` for detectors, all of which can be built.

    Raises:
        PluginError, MissingDependencyError: there is no such detector, or it lacks a package.
        UsageError: as there.
    """
    needed: set[str] = set()
    for name in detectors:
        registry.require("detectors", name)
        needed.update(registry.spec("detectors", name).modules)
    return device_or_default(device, "torch" in needed)
