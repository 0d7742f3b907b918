"""``prl check``: check a recipe before it runs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.completion import ComponentName, RecipeName
from paraphrase_rl.cli.output import emit, emit_records, format_option, say, show, wrapped
from paraphrase_rl.cli.progress import shown_progress
from paraphrase_rl.cli.settings import (
    component_option,
    cost_options,
    hourly_option,
    option_values,
    set_option,
)
from paraphrase_rl.errors import EXIT_NO
from paraphrase_rl.recipe.defaults import default_backend
from paraphrase_rl.tables import record

if TYPE_CHECKING:
    from paraphrase_rl.preflight.findings import Finding

_INDENT = 34


@click.command("check", context_settings={"show_default": True})
@click.option(
    "--config",
    type=RecipeName(),
    help="Recipe: a YAML file, or the name of a packaged one.  [default: quickstart; recipe-served where the backend "
    "charges]",
)
@click.option(
    "--backend",
    type=ComponentName("backends"),
    default=default_backend(),
    help="Backend the recipe will run on.",
)
@component_option("the backend")
@set_option
@click.option(
    "--try",
    "trial",
    is_flag=True,
    help="Sample and rate one group with the base policy, and time a step; needs the models, and minutes.",
)
@click.option(
    "--seconds-per-step",
    type=click.FloatRange(min=0),
    help="Measured seconds per training step, for an estimate in hours.",
)
@hourly_option("what the run costs.")
@click.option(
    "--device", help="Device to estimate for, such as cpu or cuda.  [default: that of this machine]"
)
@cost_options
@click.option(
    "--explain", metavar="CODE", help="Explain a finding by its code, such as PRL012, and check nothing."
)
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    backend: str,
    options: tuple[str, ...],
    overrides: tuple[str, ...],
    trial: bool,
    seconds_per_step: float | None,
    hourly: float | None,
    device: str | None,
    max_cost: float | None,
    price_file: Path | None,
    explain: str | None,
    format_: str,
) -> None:
    """Check a recipe before it runs: what it does, needs and costs.

    Without --try nothing is trained or downloaded. Exits with 1 when the recipe cannot run as it is or could cost more
    than --max-cost, with 2 when it cannot be read.

    \b
    Examples:
      prl check
      prl check --config configs/recipe.yaml --seconds-per-step 30
      prl check --config recipe --backend tinker --max-cost 50
      prl check --config quickstart --try
      prl check --explain PRL012
    """
    from paraphrase_rl.api.training import check, finding_rule

    if explain is not None:
        emit_records([record(finding_rule(explain))], format_=format_, schema="prl.check.rule")
        return
    with shown_progress("trial") if trial else nullcontext() as progress:
        findings = check(
            config,
            backend=backend,
            backend_options=option_values(options, "timeout_s=120"),
            set=overrides,
            trial=trial,
            device=device,
            seconds_per_step=seconds_per_step,
            hourly=hourly,
            max_cost=max_cost,
            prices=price_file,
            progress=progress,
        )
    if format_ == "table":
        show("".join(map(_block, findings)), nl=False)
    else:
        meta = {"recipe": findings.recipe, "backend": findings.backend}
        emit([record(finding) for finding in findings], format_=format_, schema="prl.check", meta=meta)
    say(findings.counts)
    if not findings.ok:
        ctx.exit(EXIT_NO)


def _block(finding: Finding) -> str:
    """A finding with its remedy, wrapped rather than cut, so that both are complete."""
    head, indent = f"{finding.severity:<8}  {finding.code}  {finding.name:<15} ", " " * _INDENT
    lines = [wrapped(finding.evidence, head, indent)]
    if finding.remedy and finding.severity in ("warning", "error"):
        lines.append(wrapped(f"-> {finding.remedy}", indent, indent))
    return "".join(f"{line}\n" for line in lines)
