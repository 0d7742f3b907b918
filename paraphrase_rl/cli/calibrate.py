"""``prl calibrate``: thresholds and P(AI) of detectors, fitted on held-out texts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.data_source import choice_of, recipe_of, recipe_options
from paraphrase_rl.cli.output import emit, format_option, say, show, show_progress, wrapped
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.tables import record

_MEANING = "FPR, TPR = share of its human and AI texts above the threshold, AUROC = on the test split; [95 % interval]."


@click.command("calibrate")
@partial(recipe_options, several=True)
@click.option(
    "--detector",
    "detectors",
    type=ComponentName("detectors"),
    multiple=True,
    help="Detector; may be repeated.",
)
@click.option("--target-fpr", type=float, help="Target false positive rate.  [default: the recipe's, 0.05]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@device_option
@format_option
def command(
    config: str | None,
    data: tuple[str, ...],
    overrides: tuple[str, ...],
    detectors: tuple[str, ...],
    target_fpr: float | None,
    out: Path | None,
    device: str | None,
    format_: str,
    **given: Any,
) -> None:
    """Fit thresholds and P(AI) of detectors on the calibration split of a data set.

    Without --out the file is the one that `prl score` reads by default. Thresholds for 1 % and 5 % are
    fitted in addition to the target rate. The interval of FPR bounds the true false positive rate at the threshold
    with 95 % confidence; TPR is of the calibration's own AI texts, AUROC of the test split.
    With several --data the highest of their thresholds is deployed, and the rate of each is shown.
    See docs/calibration.md.

    \b
    Examples:
      prl calibrate
      prl calibrate --detector fast-detectgpt --detector tfidf --target-fpr 0.02
      prl calibrate --data essays.csv --data news.csv
      prl calibrate --data essays.csv --text-column essay --label-column generated --group-column language
    """
    from paraphrase_rl.api.calibrating import calibrate
    from paraphrase_rl.detection.calibration import default_path

    if target_fpr is not None:
        overrides = (*overrides, f"calibration.target_fpr={target_fpr}")
    first = choice_of(next(iter(data), None), given)
    recipe = recipe_of(config, first, overrides, detectors)
    others = [recipe_of(config, first._replace(source=name), overrides).data for name in data[1:]]
    found = calibrate(
        recipe.detectors,
        data=[recipe.data, *others],
        target_fpr=recipe.calibration.target_fpr,
        combine=recipe.ensemble.combine,
        out=out or default_path(),
        device=device,
        precision=recipe.precision,
        progress=show_progress,
    )
    if format_ == "table":
        show(wrapped(f"{found.title}. {_MEANING}"))
        show()
        emit(found.shown_rows(), format_=format_, schema="")
        if rows := found.population_rows():
            show("\nThreshold that each population would have alone\n")
            emit(rows, format_=format_, schema="")
    else:
        emit(
            [record(row) for row in found],
            format_=format_,
            schema="prl.calibrate",
            meta={"path": str(found.path), "texts": found.texts.model_dump(), "warnings": found.notes},
        )
    for line in found.notes:
        say(f"note: {line}")
    say(f"wrote {found.path}")
