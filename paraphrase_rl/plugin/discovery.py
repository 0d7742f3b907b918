"""Find plug-ins, load them one by one, and keep what goes wrong with one from touching the rest.

A plug-in is an entry point of the group ``paraphrase_rl``. Three environment variables act before anything of
a plug-in is imported; names are those of plug-ins or of distributions, separated by commas:

``PRL_PLUGINS``
    the only third-party plug-ins to load; set but empty = none. Bundled plug-ins are not its business.
``PRL_DISABLE_PLUGINS``
    plug-ins not to load, bundled ones too where they are named; ``__all__`` = every third-party plug-in.
``PRL_STRICT_PLUGINS``
    ``1`` = a broken plug-in is an error at once, instead of a line in ``prl plugins failures``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Literal

import pluggy

from paraphrase_rl.errors import PluginError, one_line
from paraphrase_rl.plugin import hookspecs

if TYPE_CHECKING:
    from pathlib import Path

    from paraphrase_rl.types import StepRecord

GROUP = "paraphrase_rl"
BUNDLED_PACKAGE = "paraphrase_rl_plugins"
HOOKS = tuple(name for name, member in vars(hookspecs).items() if hasattr(member, f"{GROUP}_spec"))

_log = logging.getLogger("paraphrase_rl")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFailure:
    """What one plug-in did wrong.

    Attributes:
        plugin: name of its entry point.
        distribution: what was installed, ``version`` of it; empty where its metadata do not say.
        stage: ``load``, or the hook that failed.
        exception: type and message on one line.
        traceback: the whole story.
    """

    plugin: str
    distribution: str
    version: str
    stage: str
    exception: str
    traceback: str

    @property
    def source(self) -> str:
        """The plug-in and where it comes from, for messages."""
        return _source(self.plugin, self.distribution, self.version)


@dataclass(slots=True, kw_only=True)
class Plugin:
    """One entry point of the group. ``reason`` says why it is blocked or what failed."""

    name: str
    target: str
    distribution: str
    version: str
    status: Literal["loaded", "blocked", "failed"] = "loaded"
    reason: str = ""

    @property
    def bundled(self) -> bool:
        return is_bundled(self.target)

    @property
    def source(self) -> str:
        """The plug-in and where it comes from, for messages."""
        return _source(self.name, self.distribution, self.version)


def is_bundled(target: str) -> bool:
    """Whether an entry point's target lies in our own package of plug-ins."""
    return target.partition(":")[0].split(".")[0] == BUNDLED_PACKAGE


def has_third_party() -> bool:
    """Whether any plug-in but ours is installed. Imports none."""
    return any(not is_bundled(entry.value) for entry in metadata.entry_points(group=GROUP))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which plug-ins may be imported. ``None`` for ``allowed`` = every one."""

    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Filter:
        allowed = environ.get("PRL_PLUGINS")
        return cls(
            None if allowed is None else _names(allowed), _names(environ.get("PRL_DISABLE_PLUGINS", ""))
        )

    def reason(self, plugin: Plugin) -> str:
        """Why ``plugin`` must not be imported; empty when it may."""
        known_as = {_normal(plugin.name), _normal(plugin.distribution)}
        if plugin.bundled:
            return "disabled by PRL_DISABLE_PLUGINS" if _normal(plugin.name) in self.disabled else ""
        if known_as & self.disabled or _normal("__all__") in self.disabled:
            return "disabled by PRL_DISABLE_PLUGINS"
        if self.allowed is not None and not known_as & self.allowed:
            return "not among PRL_PLUGINS"
        return ""


@dataclass
class Plugins:
    """The plug-ins of this process. Make one with :meth:`load`."""

    manager: pluggy.PluginManager
    strict: bool = False
    found: list[Plugin] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)

    @classmethod
    def load(
        cls,
        allow: Filter | None = None,
        *,
        strict: bool | None = None,
    ) -> Plugins:
        """Load every installed plug-in that may be loaded; bundled ones first.

        Args:
            allow: default: what the environment says.
            strict: default: what ``PRL_STRICT_PLUGINS`` says.

        Raises:
            PluginError: only when strict: the first plug-in that fails.
        """
        allow = Filter.from_environment() if allow is None else allow
        strict = os.environ.get("PRL_STRICT_PLUGINS", "0") not in ("", "0") if strict is None else strict
        plugins = cls(_manager(), strict)
        entries = sorted(
            metadata.entry_points(group=GROUP), key=lambda entry: (not is_bundled(entry.value), entry.name)
        )
        for entry in entries:
            plugins._add(_describe(entry), entry.load, allow)
        return plugins

    @classmethod
    def of(cls, **modules: object) -> Plugins:
        """Plug-ins given by name instead of found among what is installed, for tests; strict."""
        plugins = cls(_manager(), strict=True)
        for name, module in modules.items():
            plugin = Plugin(name=name, target="", distribution="", version="")
            plugins._add(plugin, _given(module), Filter())
        return plugins

    def _add(self, plugin: Plugin, load: Callable[[], object], allow: Filter) -> None:
        self.found.append(plugin)
        plugin.reason = allow.reason(plugin)
        if plugin.reason:
            plugin.status = "blocked"
            return
        with self._contained(plugin, "load"):
            if self.manager.has_plugin(plugin.name):
                raise PluginError(f"a plug-in named {plugin.name!r} is loaded already")
            module = load()
            hash(module)  # pluggy keeps plug-ins in sets: an unhashable one would break every hook call
            try:
                _check_marks(module)
                self.manager.register(module, plugin.name)
                self.manager.check_pending()
                self._check_implementations(module)
            except BaseException:
                if self.manager.has_plugin(plugin.name):
                    self.manager.unregister(name=plugin.name)
                raise

    def _check_implementations(self, module: object) -> None:
        callers = self.manager.get_hookcallers(module) or []
        if not callers:
            raise PluginError(f"implements no hook; known hooks: {', '.join(HOOKS)}")
        for caller in callers:
            for implementation in caller.get_hookimpls():
                if implementation.plugin is module and implementation.kwargnames:
                    raise PluginError(
                        f"{caller.name}: argument {implementation.kwargnames[0]!r} has a default; "
                        "a hook's arguments take none"
                    )

    @contextlib.contextmanager
    def _contained(self, plugin: Plugin, stage: str) -> Iterator[None]:
        """Turn what a plug-in raises into a record. Its prints go to stderr: stdout is for payload."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self.strict:
                raise PluginError(
                    f"plug-in {plugin.source}: {stage}: {one_line(error)}",
                    "unset PRL_STRICT_PLUGINS to go on without it",
                ) from error
            self._record(plugin, stage, error)

    def _record(self, plugin: Plugin, stage: str, error: BaseException) -> None:
        if any(f.plugin == plugin.name and f.stage == stage != "load" for f in self.failures):
            return
        failure = PluginFailure(
            plugin=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            stage=stage,
            exception=one_line(error),
            traceback="".join(traceback.format_exception(error)),
        )
        self.failures.append(failure)
        plugin.status = "failed"
        plugin.reason = plugin.reason or f"{stage}: {failure.exception}"
        if stage.startswith("on_"):
            _log.warning(
                "plug-in %s: %s: %s (further ones are not shown)", plugin.source, stage, failure.exception
            )

    def collect(
        self, hook: str, check: Callable[[object], list[object]]
    ) -> list[tuple[Plugin, list[object]]]:
        """Call a hook plug-in by plug-in; one that raises, or answers what ``check`` refuses, is left out."""
        collected = []
        for plugin, call in self._callers(hook):
            with self._contained(plugin, hook):
                answers = call()
                collected.append((plugin, [item for answer in answers for item in check(answer)]))
        return collected

    def _callers(self, hook: str) -> Iterable[tuple[Plugin, pluggy.HookCaller]]:
        implementing = [i.plugin_name for i in getattr(self.manager.hook, hook).get_hookimpls()]
        everything = self.manager.get_plugins()
        for plugin in self.found:
            if plugin.name in implementing and self.manager.has_plugin(plugin.name):
                others = everything - {self.manager.get_plugin(plugin.name)}
                yield plugin, self.manager.subset_hook_caller(hook, others)

    def _observe(self, hook: str, **arguments: object) -> None:
        for plugin, call in self._callers(hook):
            with self._contained(plugin, hook):
                call(**arguments)

    def on_run_start(self, folder: Path, recipe: Mapping[str, object]) -> None:
        """Tell every observer; one that raises is logged once and never stops a run."""
        self._observe("on_run_start", folder=folder, recipe=recipe)

    def on_step_end(self, folder: Path, record: StepRecord) -> None:
        """Tell every observer; one that raises is logged once and never stops a run."""
        self._observe("on_step_end", folder=folder, record=record)

    def on_run_end(self, folder: Path, status: str) -> None:
        """Tell every observer; one that raises is logged once and never stops a run."""
        self._observe("on_run_end", folder=folder, status=status)


def _given(module: object) -> Callable[[], object]:
    return lambda: module


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def _check_marks(module: object) -> None:
    """A hook without its mark would be ignored without a word."""
    for name in HOOKS:
        function = getattr(module, name, None)
        if callable(function) and not hasattr(function, f"{GROUP}_impl"):
            raise PluginError(f"{name} is not marked with @hookimpl")


def _describe(entry: metadata.EntryPoint) -> Plugin:
    distribution = version = ""
    with contextlib.suppress(Exception):  # damaged metadata of somebody else's distribution
        if entry.dist is not None:
            distribution, version = str(entry.dist.name or ""), str(entry.dist.version or "")
    return Plugin(name=entry.name, target=entry.value, distribution=distribution, version=version)


def _source(plugin: str, distribution: str, version: str) -> str:
    return f"{plugin} ({distribution} {version})" if distribution else plugin


def _names(value: str) -> frozenset[str]:
    return frozenset(_normal(name) for name in value.split(",") if name.strip())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
