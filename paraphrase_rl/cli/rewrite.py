"""``prl rewrite``: texts through a rewriter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, emit_records, format_option, say
from paraphrase_rl.cli.settings import component_option, device_option, option_values
from paraphrase_rl.cli.texts import read_items, text_options
from paraphrase_rl.errors import EXIT_NO, PrlError

if TYPE_CHECKING:
    from paraphrase_rl.data.reading import InputFormat, Item
    from paraphrase_rl.detection.ensemble import CalibratedEnsemble
    from paraphrase_rl.plugin.protocols import Rewriter
    from paraphrase_rl.plugin.registry import Registry
    from paraphrase_rl.types import Failure, Rewrite

COLUMNS = ("id", "sample", "rewrite", "finished", "failure")
AT_ONCE = 16
"""Texts between two lines of progress; a backend samples them together."""


@click.command("rewrite")
@click.argument("name", metavar="NAME")
@text_options
@component_option("the rewriter, such as candidates=8; values are YAML")
@click.option("-n", "n", type=click.IntRange(min=1), default=1, show_default=True, help="Rewrites a text.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the rewriting.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run: its policy, prompt and sampling, and its detectors.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Detectors to choose by.  [default: the run's]",
)
@device_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    paths: tuple[str, ...],
    texts: tuple[str, ...],
    input_format: InputFormat | None,
    column: str,
    options: tuple[str, ...],
    n: int,
    seed: int,
    run: Path | None,
    calibration: Path | None,
    device: str | None,
    format_: str,
) -> None:
    """Rewrite texts with the rewriter NAME; `prl plugins rewriters` lists them.

    PATH is a file, a folder (its .txt and .md files, no others) or - for standard input, which is also read
    where nothing is named. A text file is one text; JSONL and CSV hold one a row.

    The same seed gives the same rewrites. `finished` is false where a rewrite was cut at the token limit.
    Exit code 1: some text could not be rewritten.

    \b
    Examples:
      prl rewrite homoglyph essay.txt
      prl rewrite policy --run runs/first essays/ -n 4 --format jsonl
      prl rewrite best-of-n --run runs/first essay.txt -o candidates=8
      prl rewrite guided-decoding essay.txt -o 'detector={name: fast-detectgpt}' -o top_k=20
    """
    from paraphrase_rl.models.devices import default_device
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.plugin.specs import Context
    from paraphrase_rl.runs.reader import recipe_file

    registry = default_registry()
    spec = registry.spec("rewriters", name)
    given = option_values(options, "max_tokens=200")
    registry.options("rewriters", name, given)
    if run is not None:
        recipe_file(run)
    items = read_items(paths, texts, input_format, column)
    registry.require("rewriters", name)
    where = calibration or _calibration_of(run)
    device = device or default_device(bool(spec.extra) or where is not None)
    ensemble = _ensemble(registry, where, device, needed=calibration is not None)
    rewriter = registry.build("rewriters", name, given, Context(device=device, ensemble=ensemble, run=run))
    if run is not None:
        say(f"run: {run}; what no option says comes from its recipe")
    rows = list(_rows(rewriter, items, n, seed))
    if format_ == "table":
        emit_records(rows, format_=format_, schema="")
    else:
        about = {
            "rewriter": name,
            "options": given,
            "seed": seed,
            "run": None if run is None else str(run),
            "calibration": None if ensemble is None else str(where),
        }
        emit(rows, format_=format_, schema="prl.rewrite", columns=COLUMNS, meta=about)
    if cut := sum(row["finished"] is False for row in rows):
        say(f"note: {cut} of {len(rows)} rewrites were cut at the token limit: see `finished`")
    if failed := sum(row["failure"] is not None for row in rows):
        say(f"{failed} of {len(items)} texts could not be rewritten: see `failure`")
        ctx.exit(EXIT_NO)


def _calibration_of(run: Path | None) -> Path | None:
    """The calibration of a run, where it has one."""
    path = run / "calibration.json" if run is not None else None
    return path if path is not None and path.is_file() else None


def _ensemble(
    registry: Registry, where: Path | None, device: str, *, needed: bool
) -> CalibratedEnsemble | None:
    """The calibrated detectors; a run's own that cannot be loaded are left out with a note: few rewriters use them."""
    from paraphrase_rl.detection.ensemble import load_ensemble
    from paraphrase_rl.plugin.specs import Context

    if where is None:
        return None
    try:
        ensemble = load_ensemble(where, registry, Context(device=device))
    except PrlError as error:
        if needed:
            raise
        say(f"note: the run's detectors are left out: {error.one_line}")
        return None
    say(f"detectors: {', '.join(ensemble.names)}, as calibrated in {where}")
    return ensemble


def _rows(rewriter: Rewriter, items: Sequence[Item], n: int, seed: int) -> Iterator[dict[str, object]]:
    """A row for each rewrite, or one for a text without any; says on stderr how far it is."""
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        readable = [item for item in some if not item.kind]
        results = iter(rewriter.rewrite([item.text for item in readable], n, seed))
        for item in some:
            yield from _of_one(item, None if item.kind else next(results))
        if len(items) > AT_ONCE:
            say(f"{start + len(some)} of {len(items)} texts")


def _of_one(item: Item, result: list[Rewrite] | Failure | None) -> Iterator[dict[str, object]]:
    if isinstance(result, list):
        for sample, rewrite in enumerate(result):
            yield _row(item.id, sample=sample, rewrite=rewrite.text, finished=rewrite.finished)
    elif result is None:
        yield _row(item.id, failure=f"{item.kind}: {item.problem}")
    else:
        yield _row(item.id, failure=f"{result.kind}: {result.message}")


def _row(id: str, **known: object) -> dict[str, object]:
    return {"id": id, **dict.fromkeys(COLUMNS[1:]), **known}
