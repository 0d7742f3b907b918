"""``prl doctor``: check this installation, with the command that fixes each problem."""

from __future__ import annotations

from dataclasses import asdict

import click

from paraphrase_rl.cli.output import emit, format_option
from paraphrase_rl.errors import EXIT_NO


@click.command()
@format_option
def command(format_: str) -> None:
    """Check this installation.

    Exits with 1 when something essential is broken: the core's own packages, a bundled plug-in, the cache
    folder. For what is only missing it shows the command that installs it.
    """
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.preflight.installation import installation_checks

    checks = list(installation_checks(default_registry()))
    emit([asdict(check) for check in checks], format_=format_, schema="prl.doctor")
    if any(check.status == "broken" for check in checks):
        raise click.exceptions.Exit(EXIT_NO)
