"""``prl data``: show a data set; ``prl data build``: build one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from paraphrase_rl.cli.completion import ComponentName, with_plugin_option
from paraphrase_rl.cli.data_source import choice_of, data_changes, data_options
from paraphrase_rl.cli.output import emit, emit_records, format_option, say
from paraphrase_rl.cli.settings import set_option
from paraphrase_rl.tables import record


class _OrBuild(click.Command):
    """Runs ``prl data build ...`` as its own command; any other first word is a data set."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["build"]:
            from paraphrase_rl.cli.data_build import command as build

            return with_plugin_option(build).make_context(f"{info_name} build", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("data", cls=_OrBuild, context_settings={"show_default": True})
@click.argument("source", type=ComponentName("datasets", or_file=True), required=False)
@data_options
@set_option
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=0,
    help="Show this many documents, from all over the data, instead of counts.",
)
@format_option
def command(source: str | None, overrides: tuple[str, ...], sample: int, format_: str, **given: Any) -> None:
    """Show a data set: counts by split, label, group and domain, its licence, and faults.

    SOURCE is a data set (`prl plugins datasets` lists them), or a file or pattern of files: CSV, TSV, JSON, JSONL,
    Parquet or Arrow, each also compressed with gzip. `prl data build` assembles the recipe's data.

    \b
    Examples:
      prl data
      prl data essays.csv --text-column essay --label-column generated -o 'label_values={0: human, 1: ai}'
      prl data 'essays/*.jsonl' --bad-rows skip
      prl data starter --set data.excerpt_words=130 --sample 5
      prl data build --help
    """
    from paraphrase_rl.api.data import load_data, load_recipe
    from paraphrase_rl.data.spread import spread

    named = data_changes(choice_of(source, given))
    corpus = load_data(load_recipe(set=[*named, *overrides]).recipe.data)
    meta = {
        "source": corpus.source,
        "digest": corpus.digest,
        "description": corpus.description,
        "read": corpus.notes,
    }
    if sample:
        rows = [record(document) for document in spread(corpus.documents, sample)]
        emit_records(rows, format_=format_, schema="prl.data.sample", meta=meta)
        return
    emit(
        [{**record(row)} | {"domains": _listed(row.domains)} for row in corpus.audit.rows],
        format_=format_,
        schema="prl.data",
        meta=meta
        | {key: getattr(corpus.audit, key) for key in ("shares", "shared_prefixes", "warnings", "notes")},
    )
    say(f"\n{corpus.description}")
    for level, lines in (("warning", corpus.audit.warnings), ("note", (*corpus.notes, *corpus.audit.notes))):
        for line in lines:
            say(f"{level}: {line}")


def _listed(domains: Mapping[str, int]) -> str:
    return ", ".join(f"{domain} {count}" for domain, count in domains.items())
