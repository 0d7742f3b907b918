"""``prl data build``: assemble the recipe's training data from published sets."""

from __future__ import annotations

from pathlib import Path

import click

from paraphrase_rl.cli.output import emit, format_option, say


@click.command("build", context_settings={"show_default": True})
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("data/recipe.jsonl"),
    help="JSON lines to write; the manifest is written next to it.",
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="NAME[=PATH]",
    help="File or folder of a set as published. A name other than the five default sets adds that data set.",
)
@click.option("--seed", type=click.IntRange(min=0), default=42, help="Seed of the draw and the split.")
@click.option("--partial", is_flag=True, help="Build from the sets that can be read, even with too few rows.")
@format_option
def command(out: Path, sources: tuple[str, ...], seed: int, partial: bool, format_: str) -> None:
    """Assemble the recipe's data: 4,625 AI texts to train on, 1,157 to test, and 500 for the thresholds.

    Draws from MAGE, RAID and HC3 (on the hub, or --from), DetectRL and the essays of Liang et al. (from clones of
    their repositories), each AI text with its human counterpart where the set says which that is. The same
    sets and seed give the same file.

    \b
    Examples:
      prl data build --from detectrl=DetectRL --from liang=ChatGPT-Detector-Bias
      prl data build --from raid=train.csv --from liang=ChatGPT-Detector-Bias --partial --out data/some.jsonl
    """
    from paraphrase_rl.data.build.training_set import build
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.recipe.defaults import default

    named = dict(source.partition("=")[::2] for source in sources)
    paths = dict.fromkeys(default("published_sets")) | {name: path or None for name, path in named.items()}
    registry = default_registry()
    for name in paths:
        registry.get("datasets", name)  # a name that is wrong is no set that is missing
    say(f"reading {', '.join(sorted(paths))}")
    built = build(out, paths, registry, seed=seed, partial=partial)
    splits = built.manifest["splits"]
    assert isinstance(splits, dict)
    rows = [{"split": name, **counts} for name, counts in splits.items()]
    emit(rows, format_=format_, schema="prl.data.build", meta=built.manifest)
    for warning in built.warnings:
        say(f"warning: {warning}")
    say(f"{built.file} written; {built.file.stem}.manifest.json lists the origin of every text")
