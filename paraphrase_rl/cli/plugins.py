"""``prl plugins``: list components, show one, or show what failed."""

from __future__ import annotations

from typing import get_args

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.output import emit, emit_records, format_option, say
from paraphrase_rl.errors import PluginError
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.installed import Plugin
from paraphrase_rl.plugin.registry import Entry, Registry, default_registry
from paraphrase_rl.tables import record
from paraphrase_rl.types import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)

_SPECIAL = (
    *("family", "direction", "role", "default_weight", "better", "range", "needs", "needs_run", "baseline"),
)
"""Fields that only some kinds of component have."""
_COLUMNS = ("kind", "name", "status", "summary", "plugin", "distribution", "version")


class _ListByDefault(click.Group):
    """Makes ``prl plugins`` and ``prl plugins KIND`` list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        if not args or is_option or args[0] in KINDS:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def command() -> None:
    """List components, of one KIND or all; show one (show NAME), or show what failed (failures).

    \b
    prl plugins              every component
    prl plugins rewriters    one kind: detectors, rewards, rewriters, metrics, datasets, backends, commands
    prl plugins show NAME    options, models, cost and licence of a component
    prl plugins failures     plug-ins that failed, with tracebacks
    """


@command.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@format_option
def list_(kind: Kind | None, format_: str) -> None:
    """List the components of a KIND, or all of them and every plug-in that is blocked or failed."""
    registry = default_registry()
    rows = [_row(entry, registry) for entry in registry.entries(kind)]
    if kind is None:
        rows += [_plugin_row(plugin) for plugin in registry.plugins.found if plugin.status != "loaded"]
    emit(rows, format_=format_, schema="prl.plugins", columns=_COLUMNS if kind is None else _COLUMNS[1:])
    if failed := len({(failure.distribution, failure.plugin) for failure in registry.failures}):
        say(f"{failed} failed; see: prl plugins failures")


@command.command()
@click.argument("name", type=ComponentName(*KINDS))
@format_option
def show(name: str, format_: str) -> None:
    """Show everything about the component or plug-in NAME."""
    registry = default_registry()
    rows = [
        {**_row(entry, registry), **_details(entry)}
        for entry in registry.entries()
        if name in (entry.spec.name, entry.full_name) or entry.plugin.is_called(name)
    ]
    rows += [
        {**_plugin_row(plugin), "target": plugin.target}
        for plugin in registry.plugins.found
        if plugin.is_called(name) and plugin.status != "loaded"
    ]
    if not rows:
        raise PluginError(f"no component or plug-in is called {name!r}", suggestion(name, _known(registry)))
    emit_records(rows, format_=format_, schema="prl.plugins.show")


@command.command()
@format_option
def failures(format_: str) -> None:
    """Show plug-ins that failed, with tracebacks."""
    rows = [record(failure) for failure in default_registry().failures]
    emit_records(rows, format_=format_, schema="prl.plugins.failures")
    if not rows:
        say("no plug-in failed")


def _known(registry: Registry) -> list[str]:
    return [registry.name_of(e) for e in registry.entries()] + [
        plugin.name for plugin in registry.plugins.found
    ]


def _row(entry: Entry, registry: Registry) -> dict[str, object]:
    missing = entry.missing_modules()
    return {
        "kind": entry.kind,
        "name": registry.name_of(entry),
        "plugin": entry.plugin.name,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
        "status": f"needs {', '.join(missing)}" if missing else "ready",
        "summary": entry.spec.summary,
    }


def _plugin_row(plugin: Plugin) -> dict[str, object]:
    return {
        "kind": None,
        "name": None,
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "summary": plugin.reason,
    }


def _details(entry: Entry) -> dict[str, object]:
    spec = entry.spec
    special = {key: getattr(spec, key) for key in _SPECIAL if hasattr(spec, key)}
    with entry.origin(spec.name).blamed("over its options"):
        schema = spec.options.model_json_schema()
    return {
        "target": entry.plugin.target,
        **special,
        "options": [
            f"{name}: {known.get('description', known.get('type', ''))} (default {known['default']!r})"
            if "default" in known
            else f"{name}: {known.get('description', known.get('type', ''))}"
            for name, known in schema.get("properties", {}).items()
        ],
        "models": list(spec.models),
        "cost": spec.cost,
        "paper": spec.paper,
        "licence": spec.licence,
        "install": entry.install_line() if entry.missing_modules() else None,
    }
