"""What the verbs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paraphrase_rl.plugin.registry import Registry


def registry_or_default(registry: Registry | None) -> Registry:
    """The registry given, else that of this process."""
    if registry is not None:
        return registry
    from paraphrase_rl.plugin.registry import default_registry

    return default_registry()
