"""``prl harden``: train a detector on texts with their rewrites, and compare before and after."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paraphrase_rl.cli.completion import ComponentName
from paraphrase_rl.cli.data_source import choice_of, data_changes, recipe_options
from paraphrase_rl.cli.output import emit, format_option, say, show, show_progress, this_command, wrapped
from paraphrase_rl.cli.settings import device_option

if TYPE_CHECKING:
    from paraphrase_rl.hardening.records import Hardening


@click.command("harden")
@click.argument("detector", type=ComponentName("detectors"))
@click.argument("run", required=False, type=click.Path(path_type=Path))
@recipe_options
@click.option(
    "--on",
    type=ComponentName("rewriters"),
    multiple=True,
    help="Train on rewrites of this rewriter; may be repeated.",
)
@click.option(
    "--against",
    type=ComponentName("rewriters"),
    multiple=True,
    help="Compare on rewrites of this rewriter, unseen in training; may be repeated.  [default: the recipe's others]",
)
@click.option(
    "--texts",
    type=click.IntRange(min=2),
    help="Number of texts of each kind to rewrite, at most.  [default: all]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: hardened/DETECTOR, in the run where one is given]",
)
@device_option
@format_option
def command(
    detector: str,
    run: Path | None,
    config: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    on: tuple[str, ...],
    against: tuple[str, ...],
    texts: int | None,
    out: Path | None,
    device: str | None,
    format_: str,
    **given: Any,
) -> None:
    """Train DETECTOR on the train split's texts with rewrites of them, and recalibrate it.

    It is compared with the same detector trained without rewrites: the share flagged of the original AI test texts,
    rewritten as in training (seen), and in other ways (unseen), and the share of human test texts, all at the
    recipe's false positive rate. RUN gives the recipe, and the policy for the rewriter `policy`.

    The hardened detector is saved in the folder `detector`, its thresholds in `calibration.json`.

    \b
    Examples:
      prl harden tfidf --on homoglyph --on synonym --against whitespace --against misspelling
      prl harden tfidf runs/demo --on policy --against prompted --texts 32
      prl score essay.txt --calibration hardened/tfidf/calibration.json
    """
    from paraphrase_rl.api.hardening import harden

    try:
        found = harden(
            detector,
            run,
            on=on,
            against=against,
            recipe=config,
            set=[*data_changes(choice_of(data, given), config), *overrides],
            texts=texts,
            out=out,
            device=device,
            progress=show_progress,
        )
    except KeyboardInterrupt:
        say(f"the rewrites made so far are saved; continue with: {this_command()}")
        raise
    _show(found, out or Path(run or ".") / "hardened" / detector, format_)


def _show(found: Hardening, folder: Path, format_: str) -> None:
    """Print the comparison on stdout, and the training texts and the use of the detector on stderr."""
    from paraphrase_rl.detection.calibration import percent

    _explain(found)
    if format_ == "table":
        show(
            wrapped(
                f"Share flagged at a false positive rate of {percent(found.target_fpr)}; [95 % interval]."
            )
        )
        show()
        emit(found.shown_rows(), format_=format_, schema="")
        show("\nAUROC against the original human test texts\n")
        emit(found.shown_areas(), format_=format_, schema="")
    else:
        _emit(found, folder, format_)
    use = shlex.quote(str(folder / "calibration.json"))
    say(f"wrote {folder}; use the detector with: prl score --calibration {use}")


def _emit(found: Hardening, folder: Path, format_: str) -> None:
    emit(
        found.flat_rows(),
        format_=format_,
        schema="prl.harden",
        meta={
            "path": str(folder / "results.json"),
            "calibration": str(folder / "calibration.json"),
            "detector": found.detector,
            "target_fpr": found.target_fpr,
            "trained_on": found.trained_on.model_dump(),
        },
    )


def _explain(found: Hardening) -> None:
    """Say what the detector was trained on, and what failed."""
    taught = found.trained_on
    made = ", ".join(f"{n} with {label}" for label, n in taught.rewrites.items())
    say(f"trained on {taught.human} human texts, {taught.ai} AI texts and rewrites of these: {made}")
    for note in found.notes:
        say(f"note: {note}")
