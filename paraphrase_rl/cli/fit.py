"""``prl fit``: train a trainable detector."""

from __future__ import annotations

from pathlib import Path

import click

from paraphrase_rl.cli.output import emit, format_option, say
from paraphrase_rl.cli.settings import recipe_of, recipe_options


@click.command("fit")
@click.argument("detector")
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
    data_options: tuple[str, ...],
    overrides: tuple[str, ...],
    out: Path | None,
    format_: str,
) -> None:
    """Train DETECTOR on the train split of labelled texts, and write what it is loaded from.

    An earlier training in the same folder is replaced. Calibrations made with it no longer fit then, and say so.

    \b
    Examples:
      prl fit tfidf --data starter
      prl fit tfidf --data jsonl -o path=essays.jsonl --out models/tfidf
      prl fit tfidf --config quickstart --set detectors.tfidf.options.word_features=20000
    """
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.detection.trainable import trainer_of
    from paraphrase_rl.files import fitted_folder
    from paraphrase_rl.plugin.registry import default_registry

    registry = default_registry()
    fit = trainer_of(registry, detector)
    recipe = recipe_of(config, data, data_options, overrides, [detector])
    options = registry.options("detectors", detector, recipe.detectors[0].options)
    folder = out or fitted_folder(detector, getattr(options, "folder", None))
    corpus = load_documents(recipe.data.source, recipe.data, registry)
    documents = corpus.select(split="train")
    human, ai = (len(corpus.select(split="train", label=label)) for label in ("human", "ai"))
    say(f"training {detector} on the train split of {corpus.source}: {human} human and {ai} AI texts")
    fit(options, documents, folder)
    emit(
        [{"detector": detector, "folder": str(folder), "n_human": human, "n_ai": ai}],
        format_=format_,
        schema="prl.fit",
        meta={"source": corpus.source, "digest": corpus.digest},
    )
