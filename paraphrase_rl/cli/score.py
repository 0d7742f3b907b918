"""``prl score``: score, P(AI) and verdict for texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, format_option, say
from paraphrase_rl.cli.settings import device_option
from paraphrase_rl.cli.texts import read_items, text_options
from paraphrase_rl.errors import EXIT_NO, CalibrationError

if TYPE_CHECKING:
    from paraphrase_rl.data.reading import InputFormat, Item
    from paraphrase_rl.detection.calibration import Calibration, CalibrationSet
    from paraphrase_rl.detection.decision import Decision
    from paraphrase_rl.detection.ensemble import CalibratedEnsemble
    from paraphrase_rl.plugin.protocols import Detector
    from paraphrase_rl.plugin.registry import Registry

COLUMNS = ("id", "detector", "score", "p_ai", "verdict", "failure")
FEW_WORDS = 50
"""Under so many words detectors are unreliable, unless they were calibrated on such texts."""


@click.command("score")
@text_options
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `prl calibrate` wrote.  [default: its default file, where there is one]",
)
@click.option("--detector", "names", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@click.option("--fpr", type=float, help="False positive rate of the verdict; one that was calibrated.")
@device_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    texts: tuple[str, ...],
    input_format: InputFormat | None,
    column: str,
    calibration: Path | None,
    names: tuple[str, ...],
    fpr: float | None,
    device: str | None,
    format_: str,
) -> None:
    """Score texts: raw score, P(AI), and verdict at a false positive rate, by detector and for the ensemble.

    PATH is a file, a folder (its .txt and .md files, no others) or - for standard input, which is also read
    where nothing is named. A text file is one text; JSONL and CSV hold one a row.

    A verdict says `flagged` where the score lies above the threshold, and `not flagged` elsewhere, which does
    not show that a text is human. Without a calibration there are scores and no verdict. Exit code 1: some
    text could not be scored.

    \b
    Examples:
      prl score essay.txt
      prl score essays/ --fpr 0.01 --format csv
      prl score --text 'It is important to note that the landscape evolves.'
      prl score answers.csv --column answer --detector tfidf
    """
    items = read_items(paths, texts, input_format, column)
    kept, path = _calibration(calibration)
    ensemble, uncalibrated = _detectors(kept, path, names, device)
    if ensemble is None and fpr is not None:
        raise CalibrationError(
            f"no calibration of {', '.join(uncalibrated)} at {path}: --fpr has no threshold",
            "run `prl calibrate` with these detectors, or leave out --fpr",
        )
    excerpt_words = kept.calibrations[0].texts.excerpt_words if kept is not None else None
    items = _cut(items, excerpt_words)
    rows = _rows(items, ensemble, uncalibrated, fpr)
    used = ensemble.members[0].calibration if ensemble is not None else None
    if ensemble is not None and used is not None:
        _explain(path, ensemble, fpr)
        _warn_of_lengths(items, used)
    if uncalibrated:
        say(
            f"note: no calibration of {', '.join(uncalibrated)}: scores and no verdict; `prl calibrate` makes one"
        )
    emit(
        rows,
        format_=format_,
        schema="prl.score",
        columns=COLUMNS,
        meta={
            "calibration": None if used is None else str(path),
            "target_fpr": None if used is None else used.point(fpr).target_fpr,
            "texts": None if used is None else used.texts.model_dump(),
        },
    )
    failed = {str(row["id"]) for row in rows if row["failure"]}
    if failed:
        say(f"{len(failed)} of {len(items)} texts could not be scored by every detector: see `failure`")
        ctx.exit(EXIT_NO)


def _calibration(path: Path | None) -> tuple[CalibrationSet | None, Path]:
    """The calibration named, else the default one; ``None`` where that does not exist."""
    from paraphrase_rl.detection.calibration import CalibrationSet, default_path

    if path is None:
        path = default_path()
        if not path.exists():
            return None, path
    return CalibrationSet.read(path), path


def _detectors(
    kept: CalibrationSet | None, path: Path, names: Sequence[str], device: str | None
) -> tuple[CalibratedEnsemble | None, dict[str, Detector]]:
    """The calibrated detectors asked for, and those of which there is no calibration."""
    from paraphrase_rl.api.common import device_for
    from paraphrase_rl.detection.ensemble import load_ensemble
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.plugin.specs import Context
    from paraphrase_rl.recipe.schema import Recipe

    registry: Registry = default_registry()
    calibrated = [c.detector for c in kept.calibrations] if kept is not None else []
    wanted = list(dict.fromkeys(names)) or calibrated or [d.name for d in Recipe().detectors]
    context = Context(device=device_for(device, registry, wanted))
    known = [name for name in calibrated if name in wanted]
    ensemble = load_ensemble(path, registry, context, known) if known else None
    return ensemble, {
        name: registry.build("detectors", name, {}, context) for name in wanted if name not in known
    }


def _cut(items: list[Item], excerpt_words: int | None) -> list[Item]:
    """Texts cut as the calibration's were: a score depends on length, so a threshold holds for such texts only."""
    from dataclasses import replace

    from paraphrase_rl.text.excerpts import excerpt

    if excerpt_words is None:
        return items
    say(f"note: texts are cut to their first sentences, at most {excerpt_words} words, as in the calibration")
    return [item if item.kind else replace(item, text=excerpt(item.text, excerpt_words)) for item in items]


def _rows(
    items: Sequence[Item],
    ensemble: CalibratedEnsemble | None,
    uncalibrated: dict[str, Detector],
    fpr: float | None,
) -> list[dict[str, object]]:
    from paraphrase_rl.detection.decision import decide

    readable = [position for position, item in enumerate(items) if not item.kind]
    by_position: list[list[Decision]] = [[] for _ in items]
    for decision in decide([items[i].text for i in readable], ensemble, uncalibrated, fpr):
        by_position[readable[decision.index]].append(decision)
    rows: list[dict[str, object]] = []
    for item, decisions in zip(items, by_position, strict=True):
        if item.kind:
            rows.append(_row(item.id, failure=f"{item.kind}: {item.problem}"))
        rows += [_decided(item.id, decision) for decision in decisions]
    return rows


def _decided(id: str, decision: Decision) -> dict[str, object]:
    verdicts = {True: "flagged", False: "not flagged", None: None}
    failure = decision.failure
    return _row(
        id,
        detector=decision.detector,
        score=decision.score,
        p_ai=decision.p_ai,
        threshold=decision.threshold,
        verdict=verdicts[decision.flagged],
        failure=f"{failure.kind}: {failure.message}" if failure is not None else None,
    )


def _row(id: str, **known: object) -> dict[str, object]:
    empty = dict.fromkeys(("detector", "score", "p_ai", "threshold", "verdict", "failure"))
    return {"id": id, **empty, **known}


def _explain(path: Path, ensemble: CalibratedEnsemble, fpr: float | None) -> None:
    """Which calibration is used, how much it can be trusted, and for what texts it holds."""
    records = [m.calibration for m in ensemble.members]
    if ensemble.combined is not None and len(records) > 1:
        records.append(ensemble.combined)
    say(f"calibration: {path}, fitted on {records[0].texts.describe()}; it holds for such texts")
    for record in records:
        point = record.point(fpr)
        say(
            f"{record.detector}: threshold {point.threshold:.4g} lets {point.above} of {point.n_human} human texts "
            f"through ({point.achieved_fpr:.1%}, aimed at {point.target_fpr:.1%}; "
            f"true rate {point.low:.1%} to {point.high:.1%} with 95 % confidence)"
        )
    for record in records:
        for warning in record.warnings(fpr):
            say(f"note: {warning}")


def _warn_of_lengths(items: Sequence[Item], calibration: Calibration) -> None:
    lengths = [len(item.text.split()) for item in items if not item.kind]
    median = calibration.texts.median_words
    few = min(FEW_WORDS, median // 2)
    for count, what in (
        (sum(n < few for n in lengths), f"have under {few} words: no verdict on them is reliable"),
        (
            sum(few <= n < median / 2 for n in lengths),
            f"are under half as long as the calibration's ({median} words): its rates need not hold",
        ),
        (
            sum(n > 2 * median for n in lengths),
            f"are over twice as long as the calibration's ({median} words): its rates need not hold",
        ),
    ):
        if count:
            say(f"note: {count} of {len(lengths)} texts {what}")
