"""Installed plug-ins, and the filter of those that may be loaded. Imports no plug-in.

A plug-in is an entry point of the group ``paraphrase_rl``. Distributions are read one by one: a damaged one does not
affect the others. Two environment variables act before anything of a plug-in is imported; names are those of
plug-ins, of distributions, or ``distribution/plug-in``, separated by commas:

``PRL_PLUGINS``
    the only third-party plug-ins to load; set but empty = none. Bundled plug-ins are not affected.
``PRL_DISABLE_PLUGINS``
    plug-ins not to load, bundled ones too if they are named; ``__all__`` = every third-party plug-in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal

GROUP = "paraphrase_rl"
BUNDLED_PACKAGE = "paraphrase_rl_plugins"
FILE_REFERENCE = re.compile(r"(?P<file>.+\.py)(?::(?P<function>[^:/\\]+))?", re.DOTALL)
"""A file that the user names, ``FILE.py`` or ``FILE.py:FUNCTION``; see :mod:`paraphrase_rl.plugin.given`."""


@dataclass(slots=True, kw_only=True)
class Plugin:
    """One installed plug-in: an entry point of the group, identified by distribution and name.

    Attributes:
        name: of the entry point.
        target: the module it names.
        distribution: name of the installed distribution, with its ``version``.
        status: ``failed`` = it could not be loaded, or returned something wrong from a hook; it is not used then.
        reason: why it is blocked, or what failed.
        load: imports the module.
    """

    name: str
    target: str
    distribution: str
    version: str
    status: Literal["loaded", "blocked", "failed"] = "loaded"
    reason: str = ""
    load: Callable[[], object] = field(repr=False)

    @property
    def identity(self) -> str:
        """``distribution/name``, unique among plug-ins."""
        return f"{normal(self.distribution)}/{self.name}"

    @property
    def bundled(self) -> bool:
        return is_bundled(self.target)

    @property
    def is_file(self) -> bool:
        """True for a file that the user named, which is no part of a distribution."""
        return FILE_REFERENCE.fullmatch(self.target) is not None

    @property
    def source(self) -> str:
        """Name of the plug-in and of its distribution, for messages."""
        return source(self.name, self.distribution, self.version)

    def is_called(self, name: str) -> bool:
        """Return whether ``name`` is that of the plug-in, of its distribution, or ``distribution/plug-in``."""
        return normal(name) in {normal(self.name), normal(self.distribution), normal(self.identity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedDistribution:
    """A distribution whose entry points cannot be read, and the error that reading raised."""

    distribution: metadata.Distribution
    error: Exception

    @property
    def path(self) -> str:
        """Folder of the distribution."""
        return _path(self.distribution)


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter of the plug-ins that may be imported. ``None`` for ``allowed`` = every plug-in."""

    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Filter:
        allowed = environ.get("PRL_PLUGINS")
        return cls(
            None if allowed is None else _names(allowed), _names(environ.get("PRL_DISABLE_PLUGINS", ""))
        )

    def reason(self, plugin: Plugin) -> str:
        """Reason why ``plugin`` must not be imported; an empty string if it may."""
        if plugin.bundled:
            known_as = {normal(plugin.name), normal(plugin.identity)}
            return "disabled by PRL_DISABLE_PLUGINS" if known_as & self.disabled else ""
        if normal("__all__") in self.disabled or any(plugin.is_called(name) for name in self.disabled):
            return "disabled by PRL_DISABLE_PLUGINS"
        if self.allowed is not None and not any(plugin.is_called(name) for name in self.allowed):
            return "not among PRL_PLUGINS"
        return ""


def installed() -> tuple[list[Plugin], list[DamagedDistribution]]:
    """Find every plug-in that is installed, bundled ones first, and the distributions that cannot be read.

    If a distribution is on the path twice, the first that can be read counts.
    """
    plugins: list[Plugin] = []
    damaged: list[DamagedDistribution] = []
    seen: set[str] = set()
    for distribution in [*metadata.distributions(), *_hidden]:
        try:
            name = _name(distribution)
            if name in seen:
                continue
            plugins += _plugins(distribution)
            seen.add(name)
        except Exception as error:
            damaged.append(DamagedDistribution(distribution=distribution, error=error))
    return sorted(plugins, key=lambda plugin: (not plugin.bundled, plugin.identity)), damaged


_hidden: list[metadata.Distribution] = []


def hide_damaged() -> None:
    """Hide damaged distributions from the rest of this process; :func:`installed` still returns them.

    Commands must work with damaged distributions, but pydantic and torch read the entry points of all distributions
    while they are imported, and fail at the first that cannot be read.
    """
    _hidden.extend(damaged.distribution for damaged in installed()[1])
    if not _hidden:
        return
    paths = {_path(distribution) for distribution in _hidden}
    find = metadata.MetadataPathFinder.find_distributions

    def whole(context: Any = None) -> Iterator[metadata.Distribution]:
        found = find() if context is None else find(context)
        return (distribution for distribution in found if _path(distribution) not in paths)

    metadata.MetadataPathFinder.find_distributions = whole  # type: ignore[assignment,method-assign]


def has_third_party() -> bool:
    """Return whether any third-party plug-in is installed."""
    return any(not plugin.bundled for plugin in installed()[0])


def is_bundled(target: str) -> bool:
    """Return whether the target of an entry point is in the package of bundled plug-ins."""
    return target.partition(":")[0].split(".")[0] == BUNDLED_PACKAGE


def source(plugin: str, distribution: str, version: str) -> str:
    """Describe a plug-in by its name and its distribution, for messages."""
    return f"{plugin} ({distribution} {version})" if version else plugin


def normal(name: str) -> str:
    """Normalise a name for comparison: case and the kind of hyphen do not count."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _plugins(distribution: metadata.Distribution) -> list[Plugin]:
    entries = list(distribution.entry_points.select(group=GROUP))
    if not entries:
        return []
    name, version = str(distribution.name), str(distribution.version)  # each reads the metadata
    return [
        Plugin(name=entry.name, target=entry.value, distribution=name, version=version, load=entry.load)
        for entry in entries
    ]


def _name(distribution: metadata.Distribution) -> str:
    """From the name of its folder where it has one: its metadata would take a thousand times as long to read."""
    name = getattr(distribution, "_normalized_name", None) or distribution.name
    if not name:
        raise ValueError("its folder and its metadata name no distribution")
    return normal(str(name))


def _path(distribution: metadata.Distribution) -> str:
    path = getattr(distribution, "_path", None)  # public nowhere
    return str(distribution.locate_file("") if path is None else path)


def _names(value: str) -> frozenset[str]:
    return frozenset(normal(name) for name in value.split(",") if name.strip())
