"""``prl fit``: train a trainable detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.data_source import choice_of, recipe_of, recipe_options
from paraphrase_rl.cli.output import emit, format_option, say, show_progress
from paraphrase_rl.tables import record


@click.command("fit")
@click.argument("detector", type=ComponentName("detectors"))
@recipe_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: the detector's own option folder, else one in the cache]",
)
@format_option
def command(
    detector: str,
    config: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    format_: str,
    **given: Any,
) -> None:
    """Train DETECTOR on the train split of labelled texts, and save it.

    An earlier training in the same folder is replaced. Calibrations made with the earlier one are refused from then on.

    \b
    Examples:
      prl fit tfidf --data starter
      prl fit tfidf --data essays.jsonl --out models/tfidf
      prl fit tfidf --config quickstart --set detectors.tfidf.options.word_features=20000
    """
    from paraphrase_rl.api.calibrating import fit

    recipe = recipe_of(config, choice_of(data, given), overrides, [detector])
    options = recipe.detectors[0].options
    found = fit(detector, data=recipe.data, options=options, out=out, progress=show_progress)
    emit(
        [record(row) for row in found],
        format_=format_,
        schema="prl.fit",
        meta={"source": found.source, "digest": found.digest},
    )
    for line in found.remarks:
        say(line)
