"""The verb load_registry: components to choose from, with plug-ins that are not installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.plugin.specs import DetectorSpec


def load_registry(*plugins: AnyPath, detectors: Iterable[DetectorSpec] = ()) -> Registry:
    """Load every installed plug-in and further ones, for the argument ``registry`` of the verbs.

    Args:
        plugins: Python files: ``mine.py`` with hooks, or ``mine.py:FUNCTION`` for a function that scores texts.
        detectors: detectors made with :func:`detector`.

    Returns:
        The components of all these plug-ins, by kind and name.

    Raises:
        PluginError: a file cannot be loaded, or a name is taken.

    Example:
        >>> shouting = prl.detector(lambda texts: [t.count("!") for t in texts], name="shouting")
        >>> registry = prl.load_registry(detectors=[shouting])
        >>> prl.score("No! Never!", detectors="shouting", registry=registry).rows[0].score
        2.0
    """
    from paraphrase_rl.plugin.discovery import Plugins
    from paraphrase_rl.plugin.given import file_plugin, given_plugins
    from paraphrase_rl.plugin.registry import Registry

    files = [file_plugin(str(Path(plugin))) for plugin in plugins]
    return Registry(Plugins.load(given=[*given_plugins(), *files])).extended("detectors", detectors)
