"""``prl compare``: detectors ranked on labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.data_source import choice_of, data_options, recipe_of
from paraphrase_rl.cli.output import emit, format_option, say, show, show_progress, wrapped
from paraphrase_rl.cli.settings import device_option, set_option
from paraphrase_rl.tables import record


@click.command("compare")
@click.argument("source", type=ComponentName("datasets", or_file=True), required=False)
@click.option(
    "--detector",
    "detectors",
    type=ComponentName("detectors"),
    multiple=True,
    help="Only this detector; may be repeated.  [default: every one that is ready]",
)
@click.option(
    "--fpr", type=float, default=0.05, show_default=True, help="False positive rate of the ranking."
)
@click.option("--folds", type=click.IntRange(min=3), default=5, show_default=True, help="Number of folds.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of folds and intervals."
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with tables and curves."
)
@data_options
@set_option
@device_option
@format_option
def command(
    source: str | None,
    detectors: tuple[str, ...],
    fpr: float,
    folds: int,
    seed: int,
    html: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
    format_: str,
    **given: Any,
) -> None:
    """Compare detectors on labelled texts: TPR at a false positive rate, and for whom each errs.

    SOURCE is a data set or a table of texts with labels. Every text is tested once, at a threshold set on human texts
    of other folds; a detector that needs training is trained inside the folds. Intervals are 95 %.

    \b
    Examples:
      prl compare essays.csv --text-column essay --label-column generated --group-column language
      prl compare starter --detector tfidf --detector log-likelihood --fpr 0.01
      prl compare essays.csv --detector mine.py:my_score --format csv
    """
    from paraphrase_rl.api.comparing import compare
    from paraphrase_rl.comparison.records import PARTS
    from paraphrase_rl.detection.calibration import percent
    from paraphrase_rl.files import write_text

    recipe = recipe_of(None, choice_of(source, given), overrides, detectors)
    found = compare(
        recipe.data,
        detectors=recipe.detectors if detectors else None,
        target_fpr=fpr,
        folds=folds,
        seed=seed,
        device=device,
        progress=show_progress,
    )
    if html is not None:
        write_text(html, found.html())
        say(f"wrote {html}")
    if format_ == "table":
        show(
            wrapped(
                f"{found.human} human and {found.ai} AI texts of {found.source}; TPR = AI texts flagged at a false "
                f"positive rate of {percent(fpr)}, {folds} folds; [95 % interval]; ≈ = not distinguishable from best."
            )
        )
        show()
        emit(found.shown_rows(), format_=format_, schema="")
        for by in PARTS:
            if rows := found.part_rows(by):
                show(f"\nFalse positive rate by {by}\n")
                emit(rows, format_=format_, schema="")
        if found.gaps:
            show("\nLargest gap of false positives between groups\n")
            rows = [{**record(gap), "gap": str(gap.gap)} for gap in found.gaps]
            emit(rows, format_=format_, schema="")
    else:
        emit(
            found.flat_rows(),
            format_=format_,
            schema="prl.compare",
            meta=found.model_dump(mode="json", exclude={"detectors", "scores"}),
        )
    for note in found.notes:
        say(f"note: {note}")
