"""Load plug-ins one by one and call their hooks; a plug-in that fails does not affect the others.

:mod:`paraphrase_rl.plugin.installed` finds the plug-ins that are installed and may be loaded. With the environment
variable ``PRL_STRICT_PLUGINS=1`` a broken plug-in is an error at once, not a line in ``prl plugins failures``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pluggy

from paraphrase_rl.errors import PluginError, one_line
from paraphrase_rl.plugin import hookspecs
from paraphrase_rl.plugin.installed import GROUP, DamagedDistribution, Filter, Plugin, installed, source

if TYPE_CHECKING:
    from pathlib import Path

    from paraphrase_rl.types import StepRecord

HOOKS = tuple(name for name, member in vars(hookspecs).items() if hasattr(member, f"{GROUP}_spec"))

_log = logging.getLogger("paraphrase_rl")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFailure:
    """Failure of one plug-in.

    Attributes:
        plugin: name of its entry point; empty if a distribution's entry points cannot be read.
        distribution: name of the installed distribution, with its ``version``; its folder if it cannot be read.
        stage: ``read``, ``load``, or the hook that failed.
        exception: type and message on one line.
        traceback: the full traceback.
        error: the error itself.
    """

    plugin: str
    distribution: str
    version: str
    stage: str
    exception: str
    traceback: str
    error: BaseException = field(repr=False, compare=False)

    @property
    def source(self) -> str:
        """Name of the plug-in and of its distribution, for messages."""
        return source(self.plugin or self.distribution, self.distribution, self.version)


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
        given: Sequence[Plugin] = (),
    ) -> Plugins:
        """Load every installed plug-in that may be loaded; bundled ones first.

        Args:
            allow: filter of the plug-ins to load; by default that of the environment variables.
            strict: raise an error for a plug-in that fails; by default if ``PRL_STRICT_PLUGINS`` is 1.
            given: further plug-ins, which the user named: they must load, whatever ``allow`` and ``strict`` say.

        Raises:
            PluginError: a plug-in of ``given`` fails; when strict, any.
        """
        allow = Filter.from_environment() if allow is None else allow
        strict = os.environ.get("PRL_STRICT_PLUGINS", "0") not in ("", "0") if strict is None else strict
        plugins = cls(_manager(), strict)
        found, damaged = installed()
        for distribution in damaged:
            plugins._leave_out(distribution)
        for plugin in found:
            plugins._add(plugin, allow)
        for plugin in given:
            plugins._add(plugin, Filter())
            if plugin.status == "failed":
                raise PluginError(f"plug-in {plugin.target}: {plugin.reason}") from plugins.failures[-1].error
        return plugins

    @classmethod
    def of(cls, **modules: object) -> Plugins:
        """Make the plug-ins of modules given by name, in place of the installed ones, for tests; strict."""
        plugins = cls(_manager(), strict=True)
        for name, module in modules.items():
            given = Plugin(name=name, target="", distribution=name, version="", load=_given(module))
            plugins._add(given, Filter())
        return plugins

    def _add(self, plugin: Plugin, allow: Filter) -> None:
        self.found.append(plugin)
        plugin.reason = allow.reason(plugin)
        if plugin.reason:
            plugin.status = "blocked"
            return
        with self._contained(plugin, "load"):
            if self.manager.has_plugin(plugin.identity):
                raise PluginError(f"{plugin.distribution} has two plug-ins named {plugin.name!r}")
            module = plugin.load()
            hash(module)  # pluggy keeps plug-ins in sets: an unhashable one would break every hook call
            try:
                _check_marks(module)
                self.manager.register(module, plugin.identity)
                self.manager.check_pending()
                self._check_implementations(module)
            except BaseException:
                if self.manager.has_plugin(plugin.identity):
                    self.manager.unregister(name=plugin.identity)
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
            self.fail(plugin, stage, error)

    def fail(self, plugin: Plugin, stage: str, error: BaseException) -> None:
        """Record that a plug-in failed, and stop using it; if only an observer hook failed, go on using it.

        Raises:
            PluginError: only when strict.
        """
        watches = stage.startswith("on_")
        failure = PluginFailure(
            plugin=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            stage=stage,
            exception=one_line(error),
            traceback="".join(traceback.format_exception(error)),
            error=error,
        )
        if watches and any(f.source == failure.source and f.stage == stage for f in self.failures):
            return
        self._record(failure, error)
        if watches:
            _log.warning(
                "plug-in %s: %s: %s (further ones are not shown)", plugin.source, stage, failure.exception
            )
        else:
            plugin.status = "failed"
            plugin.reason = plugin.reason or f"{stage}: {failure.exception}"

    def _leave_out(self, damaged: DamagedDistribution) -> None:
        failure = PluginFailure(
            plugin="",
            distribution=damaged.path,
            version="",
            stage="read",
            exception=f"its entry points cannot be read: {one_line(damaged.error)}",
            traceback="".join(traceback.format_exception(damaged.error)),
            error=damaged.error,
        )
        self._record(failure, damaged.error)

    def _record(self, failure: PluginFailure, error: BaseException) -> None:
        what = "plug-in" if failure.plugin else "distribution"
        if self.strict:
            raise PluginError(
                f"{what} {failure.source}: {failure.stage}: {failure.exception}",
                "unset PRL_STRICT_PLUGINS to continue without this plug-in",
            ) from error
        self.failures.append(failure)
        _log.debug("%s %s: %s failed:\n%s", what, failure.source, failure.stage, failure.traceback)

    def collect(
        self, hook: str, check: Callable[[object], list[object]]
    ) -> list[tuple[Plugin, list[object]]]:
        """Call a hook plug-in by plug-in; a plug-in that raises, or returns what ``check`` refuses, is left out."""
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
            if plugin.status == "loaded" and plugin.identity in implementing:
                others = everything - {self.manager.get_plugin(plugin.identity)}
                yield plugin, self.manager.subset_hook_caller(hook, others)

    def _observe(self, hook: str, **arguments: object) -> None:
        for plugin, call in self._callers(hook):
            with self._contained(plugin, hook):
                call(**arguments)

    def on_run_start(self, folder: Path, recipe: Mapping[str, object]) -> None:
        """Call this hook of every plug-in; one that raises is logged once and never stops a run."""
        self._observe("on_run_start", folder=folder, recipe=recipe)

    def on_step_end(self, folder: Path, record: StepRecord) -> None:
        """Call this hook of every plug-in; one that raises is logged once and never stops a run."""
        self._observe("on_step_end", folder=folder, record=record)

    def on_run_end(self, folder: Path, status: str) -> None:
        """Call this hook of every plug-in; one that raises is logged once and never stops a run."""
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
