"""``prl calibrate``: thresholds and P(AI) of detectors, fitted on held-out texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from paraphrase_rl.cli.output import emit, format_option, say
from paraphrase_rl.cli.settings import device_option, recipe_of, recipe_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paraphrase_rl.data.documents import Corpus
    from paraphrase_rl.detection.calibration import Calibration
    from paraphrase_rl.detection.ensemble import CalibratedEnsemble
    from paraphrase_rl.types import Scores

COLUMNS = (
    "detector",
    "n_human",
    "n_ai",
    "threshold",
    "target_fpr",
    "achieved_fpr",
    "fpr_low",
    "fpr_high",
    "smallest_fpr",
    "tpr_in_sample",
    "auroc_test",
)


@click.command("calibrate")
@recipe_options
@click.option("--detector", "detectors", multiple=True, metavar="NAME", help="Detector; may be repeated.")
@click.option("--target-fpr", type=float, help="False positive rate aimed at.  [default: the recipe's, 0.05]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@device_option
@format_option
def command(
    config: str | None,
    data: str | None,
    data_options: tuple[str, ...],
    overrides: tuple[str, ...],
    detectors: tuple[str, ...],
    target_fpr: float | None,
    out: Path | None,
    device: str | None,
    format_: str,
) -> None:
    """Fit thresholds and P(AI) of detectors on the calibration split of a data set.

    Without --out the file is the one that `prl score` reads by default. Thresholds for 1 % and 5 % are
    fitted beside the rate aimed at. fpr_low and fpr_high bound the true false positive rate at the threshold
    with 95 % confidence; tpr_in_sample is of the calibration's own AI texts, auroc_test of the test split.
    docs/calibration.md explains.

    \b
    Examples:
      prl calibrate
      prl calibrate --detector fast-detectgpt --detector tfidf --target-fpr 0.02
      prl calibrate --data jsonl -o path=essays.jsonl --out essays.json
    """
    from paraphrase_rl.api.common import device_for
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.detection.calibration import default_path
    from paraphrase_rl.detection.ensemble import build_detector, calibrate
    from paraphrase_rl.detection.threshold import usual_rates
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.plugin.specs import Context

    if target_fpr is not None:
        overrides = (*overrides, f"calibration.target_fpr={target_fpr}")
    recipe = recipe_of(config, data, data_options, overrides, detectors)
    registry = default_registry()
    names = [d.name for d in recipe.detectors]
    context = Context(device=device_for(device, registry, names))
    corpus = load_documents(recipe.data.source, recipe.data, registry)
    say(
        f"scoring {len(corpus.select(split='calibration'))} calibration texts of {corpus.source} "
        f"with {', '.join(names)}"
    )
    ensemble = calibrate(
        [build_detector(registry, context, d.name, d.options, d.weight) for d in recipe.detectors],
        corpus.select(split="calibration"),
        usual_rates(recipe.calibration.target_fpr),
        source=corpus.source,
        excerpt_words=recipe.data.excerpt_words,
        combine=recipe.ensemble.combine,
        needs_probability=False,
    )
    path = out or default_path()
    ensemble.to_file(path)
    emit(
        _rows(ensemble, corpus),
        format_=format_,
        schema="prl.calibrate",
        columns=COLUMNS,
        meta={
            "path": str(path),
            "texts": ensemble.members[0].calibration.texts.model_dump(),
            "warnings": ensemble.warnings(),
        },
    )
    for warning in ensemble.warnings():
        say(f"note: {warning}")
    say(f"wrote {path}")


def _rows(ensemble: CalibratedEnsemble, corpus: Corpus) -> list[Mapping[str, object]]:
    """One row a detector, one for the ensemble; what has no texts or no P(AI) is left empty."""
    seen = _all_scores(ensemble, [d.text for d in corpus.select(split="calibration", label="ai")])
    human = _all_scores(ensemble, [d.text for d in corpus.select(split="test", label="human")])
    ai = _all_scores(ensemble, [d.text for d in corpus.select(split="test", label="ai")])
    records = [member.calibration for member in ensemble.members]
    if ensemble.combined is not None and len(records) > 1:
        records.append(ensemble.combined)
    return [_row(r, seen[r.detector], human[r.detector], ai[r.detector]) for r in records]


def _all_scores(ensemble: CalibratedEnsemble, texts: list[str]) -> dict[str, Scores]:
    from paraphrase_rl.detection.ensemble import COMBINED

    scores = ensemble.scores(texts)
    if ensemble.combined is not None:
        scores[COMBINED] = ensemble.probabilities_of(scores)[1]
    return scores


def _row(record: Calibration, seen: Scores, human: Scores, ai: Scores) -> Mapping[str, object]:
    from paraphrase_rl.detection.roc import auroc

    point = record.target
    flagged = seen.values[seen.scored] > point.threshold
    both = human.scored.any() and ai.scored.any()
    return {
        "detector": record.detector,
        "n_human": point.n_human,
        "n_ai": int(seen.scored.sum()),
        "failed": record.failed_human + len(seen.failures),
        "threshold": point.threshold,
        "target_fpr": point.target_fpr,
        "achieved_fpr": point.achieved_fpr,
        "fpr_low": point.low,
        "fpr_high": point.high,
        "smallest_fpr": point.smallest_fpr,
        "tied": point.tied,
        "tpr_in_sample": float(flagged.mean()) if flagged.size else None,
        "auroc_test": auroc(human.values[human.scored], ai.values[ai.scored]) if both else None,
    }
