"""Types of options and arguments that the shell completes: names of components and of packaged recipes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from paraphrase_rl.errors import UsageError
from paraphrase_rl.text.terminal import terminal_safe

if TYPE_CHECKING:
    from paraphrase_rl.types import Kind


def add_plugin_files(references: Sequence[str]) -> None:
    """Name plug-in files to load in this process and those it starts; see :mod:`paraphrase_rl.plugin.given`.

    Raises:
        UsageError: the name of a file has a comma.
    """
    from paraphrase_rl.plugin.given import VARIABLE, named_files
    from paraphrase_rl.plugin.registry import default_registry

    if bad := [reference for reference in references if "," in reference]:
        raise UsageError(f"the plug-in {bad[0]} has a comma in its name", "rename the file")
    known = named_files()
    if more := [reference for reference in references if reference not in known]:
        os.environ[VARIABLE] = ",".join([*known, *more])
        default_registry.cache_clear()


def _add(_ctx: click.Context, _parameter: click.Parameter, references: tuple[str, ...]) -> None:
    add_plugin_files(references)


def with_plugin_option(command: click.Command) -> click.Command:
    """Give a command, or those of a group, the option ``--plugin``, which acts before other options are read."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_plugin_option(inner)
    elif not any(parameter.name == "plugin_files" for parameter in command.params):
        command.params.append(
            click.Option(
                ["--plugin", "plugin_files"],
                multiple=True,
                metavar="FILE",
                is_eager=True,
                expose_value=False,
                callback=_add,
                help="Load components from this Python file too; may be repeated.",
            )
        )
    return command


class ComponentName(click.ParamType[str]):
    """Name of an installed component; any string is accepted, and checked where it is used."""

    name = "name"

    def __init__(self, *kinds: Kind, or_file: bool = False) -> None:
        self.kinds = kinds
        self.or_file = or_file

    def convert(
        self,
        value: str,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """Load ``FILE.py:FUNCTION``, given as a detector, and return its name; return other names as they are."""
        _, colon, function = value.rpartition(":")
        if "detectors" not in self.kinds or not colon:
            return value
        from paraphrase_rl.plugin.given import is_file_reference, kebab

        if not is_file_reference(value):
            return value
        add_plugin_files([value])
        return kebab(function)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """List the components whose names begin with ``incomplete``; where there are none, files if allowed."""
        from paraphrase_rl.plugin.registry import default_registry

        registry = default_registry()
        return _begin_with(
            incomplete,
            (
                (entry.spec.name, entry.spec.summary)
                for kind in self.kinds
                for entry in registry.entries(kind)
            ),
            self.or_file,
        )


class RecipeName(click.ParamType[str]):
    """Name of a packaged recipe, or a file; any string is accepted, and checked where it is used."""

    name = "name|file"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """List the packaged recipes whose names begin with ``incomplete``; where there are none, files."""
        from paraphrase_rl.recipe.loading import packaged_recipes

        return _begin_with(incomplete, ((name, "packaged recipe") for name in packaged_recipes()), True)


def _begin_with(incomplete: str, found: Iterator[tuple[str, str]], or_file: bool) -> list[CompletionItem]:
    items: Sequence[CompletionItem] = [
        CompletionItem(name, help=terminal_safe(summary))
        for name, summary in found
        if name.startswith(incomplete)
    ]
    return list(items) or ([CompletionItem(incomplete, type="file")] if or_file else [])
