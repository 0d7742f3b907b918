"""``prl evaluate``: measure rewriters against detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.data_source import choice_of, data_changes, recipe_options
from paraphrase_rl.cli.evaluate_tables import show_results
from paraphrase_rl.cli.judge import judge_of
from paraphrase_rl.cli.output import format_option, say, show_progress, this_command
from paraphrase_rl.cli.settings import device_option, option_values
from paraphrase_rl.errors import EXIT_NO, UsageError


@click.command("evaluate")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@recipe_options
@click.option(
    "--rewriter",
    "-r",
    "rewriters",
    type=ComponentName("rewriters"),
    multiple=True,
    help="Only this rewriter; may be repeated.  [default: the recipe's rewriters]",
)
@click.option(
    "--detector",
    "-d",
    "detectors",
    type=ComponentName("detectors"),
    multiple=True,
    help="Only this detector besides the recipe's ensemble; may be repeated.  [default: the recipe's held_out]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: RUN/evaluation]",
)
@click.option(
    "--texts",
    type=click.IntRange(min=2),
    default=64,
    show_default=True,
    help="Number of AI test texts to rewrite, from all over the split.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), default=1, show_default=True, help="Rewrites per text."
)
@click.option(
    "--checkpoints",
    type=click.Choice(["all"]),
    help="all = every checkpoint of the run besides the last one, as policy@STEP.",
)
@click.option(
    "--humans",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Human texts of each group to rewrite too, for false positives after rewriting; 0 = none.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="RUN|FILE",
    help="Without RUN: use these thresholds and P(AI) as deployed, instead of setting them on these texts.",
)
@click.option("--nli", metavar="MODEL", help="Model reference of an NLI model: measure entailment too.")
@click.option(
    "--judge-url",
    metavar="URL",
    help="OpenAI-compatible endpoint of a judge, which marks the quality of rewrites.",
)
@click.option("--judge-model", metavar="NAME", help="Model of the judge.")
@click.option(
    "--judge-key-env", metavar="VARIABLE", help="Environment variable that holds the API key of the judge."
)
@device_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    run: Path | None,
    config: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    checkpoints: str | None,
    judge_url: str | None,
    judge_model: str | None,
    judge_key_env: str | None,
    format_: str,
    **given: Any,
) -> None:
    """Measure how far rewrites evade detectors, what they cost in meaning, and false positives by group.

    RUN is a run directory: its recipe, texts, calibration and policy. Without it, a recipe (--config), texts (--data)
    or both, and --out. With RUN, --option is of its backend (sampler=own), else of the data set.
    Thresholds are fixed on clean human texts of the calibration split before any rewrite is scored; every figure has
    a 95 % interval. See docs/evaluation.md.

    Results are saved in OUT/cache as they come: after an interrupt the same command continues. Exit code 1: some cell
    has no figures, and gives the reason.

    \b
    Examples:
      prl evaluate runs/first
      prl evaluate runs/first -r policy -r homoglyph --samples 4 --checkpoints all
      prl evaluate --config quickstart --out evaluations/attacks -r synonym -r whitespace -d lrr
      prl evaluate --data essays.csv --label-column source --out evaluations/mine -r homoglyph
    """
    from paraphrase_rl.api.data import load_recipe
    from paraphrase_rl.api.evaluating import evaluate
    from paraphrase_rl.runs.run import Run

    if (run is None) == (config is None and data is None):
        raise UsageError(
            "give either a run or a recipe (--config, --data, or both)",
            "prl evaluate RUN, or prl evaluate --config NAME --data FILE --out FOLDER",
        )
    chosen = choice_of(data, given)
    of_backend: dict[str, Any] = {}
    if run is not None:
        of_backend, chosen = option_values(chosen.options, "sampler=own"), chosen._replace(options=())
    changes = data_changes(chosen, config)
    try:
        results = evaluate(
            Run(run) if run is not None else load_recipe(config),
            set=[*changes, *overrides],
            out=out,
            every_checkpoint=checkpoints is not None,
            judge=judge_of(judge_url, judge_model, judge_key_env),
            backend_options=of_backend,
            progress=show_progress,
            **given,
        )
    except KeyboardInterrupt:
        say(f"results so far are saved; continue with: {this_command()}")
        raise
    show_results(results, format_, out or Path(str(run)) / "evaluation")
    if any(not cell.points for cell in results.cells):
        ctx.exit(EXIT_NO)
