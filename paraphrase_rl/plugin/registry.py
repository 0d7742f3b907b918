"""Registry of components by kind and name: look up, validate options, check dependencies, build."""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, overload

from pydantic import ValidationError

from paraphrase_rl.errors import MissingDependencyError, PluginError, RecipeError
from paraphrase_rl.names import nearest, suggestion
from paraphrase_rl.plugin.discovery import PluginFailure, Plugins
from paraphrase_rl.plugin.installed import Plugin, normal
from paraphrase_rl.plugin.isolation import Origin, isolated, isolated_spec
from paraphrase_rl.plugin.specs import (
    BackendSpec,
    CommandSpec,
    ComponentSpec,
    Context,
    DatasetSpec,
    DetectorSpec,
    MetricSpec,
    Options,
    RewardSpec,
    RewriterSpec,
)
from paraphrase_rl.types import Kind

if TYPE_CHECKING:
    from paraphrase_rl.plugin.protocols import Backend, DatasetSource, Detector, Metric, Reward, Rewriter
    from paraphrase_rl.recipe.schema import Recipe


SPECS: Mapping[Kind, type[ComponentSpec]] = {
    "detectors": DetectorSpec,
    "rewards": RewardSpec,
    "rewriters": RewriterSpec,
    "metrics": MetricSpec,
    "datasets": DatasetSpec,
    "backends": BackendSpec,
    "commands": CommandSpec,
}
NO_OPTIONS: Mapping[str, object] = {}
DEFAULT_CONTEXT = Context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One component and the plug-in it comes from."""

    kind: Kind
    plugin: Plugin
    spec: ComponentSpec

    @property
    def full_name(self) -> str:
        """``distribution/name``, unique among components of the kind."""
        return f"{normal(self.plugin.distribution)}/{self.spec.name}"

    def origin(self, name: str) -> Origin:
        """Return what errors of the component name: the component, called ``name``, and its plug-in."""
        return Origin(f"{_one(self.kind)} {name}", name, self.plugin.source)

    def missing_modules(self) -> list[str]:
        """Modules that the component needs and that cannot be found. Imports nothing."""
        return [module for module in self.spec.modules if not _importable(module)]

    def install_line(self) -> str:
        """Command that installs the packages that the component needs."""
        if self.spec.extra:
            return f"pip install 'paraphrase-rl[{self.spec.extra}]'"
        if self.plugin.bundled or self.plugin.is_file:
            return f"pip install {' '.join(self.missing_modules())}"
        return f"pip install --upgrade --force-reinstall {self.plugin.distribution}"


class Registry:
    """All components of the loaded plug-ins."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._entries: list[Entry] = []
        for kind, spec_type in SPECS.items():
            check = functools.partial(_checked, spec_type)
            for plugin, specs in plugins.collect(f"register_{kind}", check):
                self._entries += [
                    _entry(kind, plugin, spec) for spec in specs if isinstance(spec, ComponentSpec)
                ]
        self._refuse_doubles()
        self._entries = [entry for entry in self._entries if entry.plugin.status == "loaded"]

    def extended(self, kind: Kind, specs: Iterable[ComponentSpec]) -> Registry:
        """Return a registry that has further components of a kind.

        Raises:
            PluginError: a component has a name that is taken.
        """
        more = copy.copy(self)
        more._entries = [*self._entries]
        for spec in specs:
            if any(entry.kind == kind and entry.spec.name == spec.name for entry in more._entries):
                raise PluginError(f"there is a {_one(kind)} {spec.name!r} already", "give it another name")
            given = Plugin(name=spec.name, target="", distribution="given", version="", load=_no_module)
            more._entries.append(_entry(kind, given, spec))
        return more

    def _refuse_doubles(self) -> None:
        """Two plug-ins of a distribution that register one component: the second has failed."""
        seen: dict[tuple[Kind, str], Entry] = {}
        for entry in self._entries:
            first = seen.setdefault((entry.kind, entry.full_name), entry)
            if first is not entry and entry.plugin.status == "loaded":
                error = PluginError(
                    f"registers {_one(entry.kind)} {entry.spec.name}, as plug-in {first.plugin.name} does"
                )
                self.plugins.fail(entry.plugin, f"register_{entry.kind}", error)

    @property
    def failures(self) -> list[PluginFailure]:
        """Failures of plug-ins so far."""
        return self.plugins.failures

    def entries(self, kind: Kind | None = None) -> list[Entry]:
        """List the components of a kind (``None`` = of all kinds), sorted by kind and name."""
        chosen = [entry for entry in self._entries if kind in (None, entry.kind)]
        order = list(SPECS)
        return sorted(chosen, key=lambda e: (order.index(e.kind), e.spec.name, e.plugin.name))

    def get(self, kind: Kind, name: str) -> Entry:
        """Return the component called ``name`` or ``distribution/name``; ``name`` alone prefers a bundled component.

        Raises:
            PluginError: there is no such component, or ``name`` alone fits several.
        """
        entries = self.entries(kind)
        distribution, _, bare = name.rpartition("/")
        if distribution:
            matches = [e for e in entries if e.full_name == f"{normal(distribution)}/{bare}"]
        else:
            matches = [e for e in entries if e.spec.name == name]
        matches = [e for e in matches if e.plugin.bundled] or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            sources = "; ".join(f"{e.full_name} of {e.plugin.source}" for e in matches)
            raise PluginError(
                f"the {_one(kind)} name {name!r} is ambiguous: {sources}",
                f"write {' or '.join(e.full_name for e in matches)}",
            )
        raise self._unknown(kind, name, entries)

    def name_of(self, entry: Entry) -> str:
        """Return the name of a component: its name alone if that is unique, else ``distribution/name``."""
        same = [e for e in self.entries(entry.kind) if e.spec.name == entry.spec.name]
        return entry.spec.name if entry.plugin.bundled or len(same) == 1 else entry.full_name

    def _unknown(self, kind: Kind, name: str, entries: list[Entry]) -> PluginError:
        known = [e.full_name if "/" in name else e.spec.name for e in entries]
        for plugin in self.plugins.found:
            if plugin.status != "loaded" and (
                plugin.is_called(name) or plugin.is_called(name.partition("/")[0])
            ):
                state = "failed" if plugin.status == "failed" else "is blocked"
                return PluginError(
                    f"no {_one(kind)} {name!r}: plug-in {plugin.source} {state}: {plugin.reason}",
                    "see: prl plugins failures" if plugin.status == "failed" else "",
                )
        hint = suggestion(name, known)
        if broken := sorted({plugin.name for plugin in self.plugins.found if plugin.status == "failed"}):
            hint += f"; plug-ins that failed: {', '.join(broken)} (prl plugins failures)"
        return PluginError(f"no {_one(kind)} is called {name!r}", hint)

    @overload
    def spec(self, kind: Literal["detectors"], name: str) -> DetectorSpec: ...
    @overload
    def spec(self, kind: Literal["rewards"], name: str) -> RewardSpec: ...
    @overload
    def spec(self, kind: Literal["rewriters"], name: str) -> RewriterSpec: ...
    @overload
    def spec(self, kind: Literal["metrics"], name: str) -> MetricSpec: ...
    @overload
    def spec(self, kind: Literal["datasets"], name: str) -> DatasetSpec: ...
    @overload
    def spec(self, kind: Literal["backends"], name: str) -> BackendSpec: ...
    @overload
    def spec(self, kind: Literal["commands"], name: str) -> CommandSpec: ...
    def spec(self, kind: Kind, name: str) -> Any:
        """Return the spec of a component.

        Raises:
            PluginError: unknown or ambiguous name.
        """
        return self.get(kind, name).spec

    def options(self, kind: Kind, name: str, options: Mapping[str, object] = NO_OPTIONS) -> Options:
        """Return the validated options of a component. Builds and imports nothing.

        Raises:
            PluginError: unknown or ambiguous name.
            RecipeError: an unknown or ill-typed option.
        """
        entry = self.get(kind, name)
        spec = entry.spec
        with entry.origin(name).blamed("over its options"):
            try:
                return spec.options.model_validate(dict(options))
            except ValidationError as error:
                raise _explain(error, f"{_one(kind)} {name}", spec.options) from error

    def models(self, kind: Kind, name: str, options: Mapping[str, object] = NO_OPTIONS) -> list[str]:
        """List the model references of a component: its option ``model``, else those that its spec names.

        Raises:
            PluginError: unknown or ambiguous name.
            RecipeError: an unknown or ill-typed option.
        """
        chosen = getattr(self.options(kind, name, options), "model", None)
        return [chosen] if isinstance(chosen, str) else list(self.get(kind, name).spec.models)

    def models_of(self, recipe: Recipe) -> list[str]:
        """List every model that a recipe loads: the policy and those of its components, sorted."""
        found = {recipe.model}
        for kind, component in recipe.components():
            found.update(self.models(kind, component.name, component.options))
        return sorted(found)

    def require(self, kind: Kind, name: str) -> None:
        """Check that the packages a component needs are installed. Imports nothing.

        Raises:
            PluginError: unknown or ambiguous name.
            MissingDependencyError: a package is missing; the error gives the command that installs it.
        """
        entry = self.get(kind, name)
        if missing := entry.missing_modules():
            raise MissingDependencyError(
                f"{_one(kind)} {name} needs {', '.join(missing)}, which is not installed",
                entry.install_line(),
            )

    @overload
    def build(
        self,
        kind: Literal["detectors"],
        name: str,
        options: Mapping[str, object] = ...,
        context: Context = ...,
    ) -> Detector: ...
    @overload
    def build(
        self, kind: Literal["rewards"], name: str, options: Mapping[str, object] = ..., context: Context = ...
    ) -> Reward: ...
    @overload
    def build(
        self,
        kind: Literal["rewriters"],
        name: str,
        options: Mapping[str, object] = ...,
        context: Context = ...,
    ) -> Rewriter: ...
    @overload
    def build(
        self, kind: Literal["metrics"], name: str, options: Mapping[str, object] = ..., context: Context = ...
    ) -> Metric: ...
    @overload
    def build(
        self,
        kind: Literal["datasets"],
        name: str,
        options: Mapping[str, object] = ...,
        context: Context = ...,
    ) -> DatasetSource: ...
    @overload
    def build(
        self,
        kind: Literal["backends"],
        name: str,
        options: Mapping[str, object] = ...,
        context: Context = ...,
    ) -> Backend: ...
    @overload
    def build(
        self,
        kind: Literal["commands"],
        name: str,
        options: Mapping[str, object] = ...,
        context: Context = ...,
    ) -> Any: ...
    def build(
        self,
        kind: Kind,
        name: str,
        options: Mapping[str, object] = NO_OPTIONS,
        context: Context = DEFAULT_CONTEXT,
    ) -> Any:
        """Build a component, isolated: see :mod:`paraphrase_rl.plugin.isolation`.

        Components that this component builds come from this registry too.

        Raises:
            PluginError: unknown or ambiguous name, or its factory crashed or returned something else.
            RecipeError: an unknown or ill-typed option.
            MissingDependencyError: a package is missing; the error gives the command that installs it.
            PrlError: another error of the factory, such as a model that is not there.
        """
        entry = self.get(kind, name)
        validated = self.options(kind, name, options)
        self.require(kind, name)
        origin = entry.origin(name)
        with origin.blamed("while it is built"):
            component = entry.spec.factory(validated, replace(context, registry=self))
        together = [
            e.spec.name
            for e in self.entries(kind)
            if e.plugin is entry.plugin and e.spec.factory is entry.spec.factory
        ]
        return isolated(kind, component, origin, together)


@functools.cache
def default_registry() -> Registry:
    """Return the registry of this process: every installed plug-in and ``PRL_PLUGIN_FILES``, loaded once."""
    from paraphrase_rl.plugin.given import given_plugins

    return Registry(Plugins.load(given=given_plugins()))


def _entry(kind: Kind, plugin: Plugin, spec: ComponentSpec) -> Entry:
    entry = Entry(kind=kind, plugin=plugin, spec=spec)
    return replace(entry, spec=isolated_spec(spec, entry.origin(spec.name)))


def _no_module() -> object:
    raise PluginError("a component that was given as an object has no module")


def _one(kind: Kind) -> str:
    return "data set" if kind == "datasets" else kind.removesuffix("s")


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _checked(spec_type: type[ComponentSpec], answer: object) -> list[object]:
    """The specs of a hook's answer; anything else is the plug-in's mistake."""
    if isinstance(answer, (str, Mapping)) or not isinstance(answer, Iterable):
        raise PluginError(f"returned {type(answer).__name__}, not a list of {spec_type.__name__}")
    specs = list(answer)
    names = set()
    for spec in specs:
        if not isinstance(spec, spec_type):
            raise PluginError(f"returned a {type(spec).__name__} where a {spec_type.__name__} belongs")
        if not (isinstance(spec.options, type) and issubclass(spec.options, Options)):
            raise PluginError(
                f"{spec.name}: options must be a subclass of paraphrase_rl.plugin.specs.Options"
            )
        if spec.name in names:
            raise PluginError(f"its hook returned two components named {spec.name!r}")
        names.add(spec.name)
    return specs


def _explain(error: ValidationError, owner: str, model: type[Options]) -> RecipeError:
    """The first of pydantic's complaints, on one line; the rest counted."""
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    more = len(problems) - 1
    path = ".".join(str(part) for part in first["loc"])
    also = f" (and {more} more)" if more else ""
    known = sorted(model.model_fields)
    if first["type"] == "extra_forbidden":
        close = nearest(path, known)
        hint = f"options: {', '.join(known)}" if known else f"{owner} takes no options"
        return RecipeError(
            f"{owner}: unknown option {path!r}{also}", f"did you mean {close[0]}? {hint}" if close else hint
        )
    if first["type"] == "missing":
        return RecipeError(f"{owner}: option {path} is required{also}", f"options: {', '.join(known)}")
    where = f"option {path}" if path else "options"
    hidden = model.model_config.get("hide_input_in_errors", False)
    got = "" if hidden else f", got {first['input']!r}"
    return RecipeError(f"{owner}: {where}: {first['msg']}{got}{also}")
