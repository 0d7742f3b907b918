"""Commands of ``prl``: its own by name, those of plug-ins from the registry. Help imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from paraphrase_rl.errors import UsageError
from paraphrase_rl.text.terminal import terminal_safe

COMMANDS: Mapping[str, str] = {
    "train": "Train a rewriter against the detectors of a recipe.",
    "monitor": "Show how a run goes: curves, bands, alarms; replay its monitors.",
    "export": "Write the adapter of a run to a folder in PEFT's format.",
    "rewrite": "Rewrite texts with a rewriter.",
    "score": "Score texts with detectors: raw score, P(AI), verdict.",
    "compare": "Compare detectors on labelled texts: which is best, and for whom it errs.",
    "explain": "Explain the scores of a text: which parts they come from.",
    "calibrate": "Fit thresholds and P(AI) of detectors on held-out texts.",
    "fit": "Train a trainable detector on labelled texts.",
    "harden": "Train a detector on rewritten texts too, and compare before and after.",
    "check": "Check a recipe before it runs: what it does, needs and costs.",
    "data": "Show a data set, or build the recipe's: counts, splits, samples.",
    "evaluate": "Measure rewriters against detectors: evasion, quality, false positives.",
    "validate": "Say whether a run is acceptable, criterion by criterion.",
    "report": "Write a run or an evaluation as one HTML page.",
    "plugins": "List components, show one, or show what failed.",
    "doctor": "Check this installation.",
}
"""Commands by name with a line of help each, so that ``prl --help`` need not import ``paraphrase_rl.cli.NAME``."""


class CommandGroup(click.Group):
    """Group of the commands of ``prl`` and of those of plug-ins, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*COMMANDS, *plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name in COMMANDS:
            command: click.Command = import_module(f"paraphrase_rl.cli.{cmd_name}").command
            from paraphrase_rl.cli.completion import with_plugin_option  # here: `prl --help` needs none of it

            return with_plugin_option(command)
        from paraphrase_rl.plugin.registry import default_registry

        registry = default_registry()
        if cmd_name not in [
            known for e in registry.entries("commands") for known in (e.spec.name, e.full_name)
        ]:
            return None
        plugged: click.Command = registry.build("commands", cmd_name)
        return plugged

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            if name.startswith("-"):
                raise click.NoSuchOption(name, ctx=ctx)
            from paraphrase_rl.names import suggestion

            raise UsageError(f"no command is called {name!r}", suggestion(name, self.list_commands(ctx)))
        return name, command, args[1:]

    def get_help(self, ctx: click.Context) -> str:
        # click prints it, with what plug-ins say of their commands
        return terminal_safe(super().get_help(ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if plugged := plugin_commands():
            with formatter.section("Commands of plug-ins"):
                formatter.write_dl(list(plugged.items()))


def plugin_commands() -> dict[str, str]:
    """Return the commands of plug-ins with their summaries. Imports nothing if only bundled plug-ins are installed."""
    from paraphrase_rl.plugin.installed import has_third_party

    if not has_third_party():
        return {}
    from paraphrase_rl.plugin.registry import default_registry

    registry = default_registry()
    return {
        entry.full_name if entry.spec.name in COMMANDS else registry.name_of(entry): entry.spec.summary
        for entry in registry.entries("commands")
    }
