"""Types of options and arguments that the shell completes: names of components and of packaged recipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import click
from click.shell_completion import CompletionItem

from paraphrase_rl.types import Kind


class ComponentName(click.ParamType[str]):
    """Name of an installed component; any string is accepted, and checked where it is used."""

    name = "name"

    def __init__(self, *kinds: Kind, or_file: bool = False) -> None:
        self.kinds = kinds or get_args(Kind)
        self.or_file = or_file

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
        CompletionItem(name, help=summary) for name, summary in found if name.startswith(incomplete)
    ]
    return list(items) or ([CompletionItem(incomplete, type="file")] if or_file else [])
