"""``prl check``: a recipe before it runs."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, format_option, say
from paraphrase_rl.cli.settings import cost_options, set_option
from paraphrase_rl.errors import EXIT_NO

if TYPE_CHECKING:
    from paraphrase_rl.preflight.checks import Check

_INDENT = 26


@click.command("check", context_settings={"show_default": True})
@click.option(
    "--config",
    help="Recipe: a YAML file, or the name of a packaged one.  [default: quickstart; recipe where the backend charges]",
)
@click.option("--backend", default="trl", help="Backend it will run on.")
@set_option
@click.option("--seconds-per-step", type=click.FloatRange(min=0), help="As measured; gives hours.")
@cost_options
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    backend: str,
    overrides: tuple[str, ...],
    seconds_per_step: float | None,
    max_cost: float | None,
    price_file: Path | None,
    format_: str,
) -> None:
    """Check a recipe before it runs: what it does, needs and costs.

    Nothing is trained and nothing fetched. Exits with 1 when the recipe cannot run as it is or could cost more than
    --max-cost, with 2 when it cannot be read.

    \b
    Examples:
      prl check
      prl check --config configs/recipe.yaml --seconds-per-step 30
      prl check --config recipe --backend tinker --max-cost 50
    """
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.preflight.inspection import inspect, prices_of
    from paraphrase_rl.recipe.loading import load_recipe

    registry = default_registry()
    prices = prices_of(registry, backend, price_file)
    config = config or ("quickstart" if prices is None else "recipe")
    loaded = load_recipe(config, overrides)
    found = inspect(
        loaded, registry, backend, seconds_per_step=seconds_per_step, prices=prices, max_cost=max_cost
    )
    checks = found.all_checks()
    if format_ == "table":
        click.echo("".join(map(_block, checks)), nl=False)
    else:
        rows = [asdict(check) for check in checks]
        emit(rows, format_=format_, schema="prl.check", meta={"recipe": config, "backend": backend})
    counts = Counter(check.level for check in checks)
    say(f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes")
    if counts["error"]:
        ctx.exit(EXIT_NO)


def _block(check: Check) -> str:
    """A finding, wrapped rather than cut: the message is what the person came for."""
    width = max(60, shutil.get_terminal_size((110, 24)).columns)
    lines = textwrap.wrap(check.message, width - _INDENT, break_long_words=False, break_on_hyphens=False)
    first, *more = lines or [""]
    return f"{check.level:<8}  {check.name:<15} {first}\n" + "".join(
        f"{'':{_INDENT}}{line}\n" for line in more
    )
