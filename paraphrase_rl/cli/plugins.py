"""``prl plugins``: what is installed, what it needs, what failed."""

from __future__ import annotations

import click

from paraphrase_rl.cli.output import emit, emit_records, format_option, say
from paraphrase_rl.errors import PluginError
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.installed import Plugin
from paraphrase_rl.plugin.registry import Entry, Registry, default_registry

_SPECIAL = (
    *("family", "direction", "role", "default_weight", "better", "range", "needs", "needs_run", "baseline"),
    "ignores",
)
"""What only some kinds of component say about themselves."""
_COLUMNS = ("kind", "name", "plugin", "distribution", "version", "status", "summary")


class _ListByDefault(click.Group):
    """``prl plugins`` alone lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def command() -> None:
    """List plug-ins (list), show one (show NAME), or say what failed (failures)."""


@command.command("list")
@format_option
def list_(format_: str) -> None:
    """List every component, and every plug-in that is blocked or failed."""
    registry = default_registry()
    rows = [_row(entry, registry) for entry in registry.entries()]
    rows += [_plugin_row(plugin) for plugin in registry.plugins.found if plugin.status != "loaded"]
    emit(rows, format_=format_, schema="prl.plugins", columns=_COLUMNS)
    if failed := len({(failure.distribution, failure.plugin) for failure in registry.failures}):
        say(f"{failed} failed; see: prl plugins failures")


@command.command()
@click.argument("name")
@format_option
def show(name: str, format_: str) -> None:
    """Show all that is known of a component or plug-in called NAME."""
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
    """Show what went wrong with plug-ins, with tracebacks."""
    rows = [
        {
            "plugin": failure.plugin,
            "distribution": failure.distribution,
            "version": failure.version,
            "stage": failure.stage,
            "exception": failure.exception,
            "traceback": failure.traceback,
        }
        for failure in default_registry().failures
    ]
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
