"""A subcommand of ``prl``."""

import click

from paraphrase_rl.plugin import CommandSpec, hookimpl


@hookimpl
def register_commands():
    return [CommandSpec(name="hello", summary="Say hello.", factory=lambda options, context: hello)]


@click.command()
@click.argument("name")
def hello(name):
    """Say hello to NAME."""
    click.echo(f"hello {name}")
