"""The calibration that comes with the package: ``make calibration`` writes configs/calibration.json.

All detectors that need only the packaged language model are calibrated on the calibration split of the starter set,
cut to 150 words. ``make calibration LIANG=FOLDER``, with a clone of the essays of Liang et al. (2023), also counts how
many essays of other writers the thresholds flag; without it those counts come from the file that is there, for
thresholds that are the same. Scores are saved in .cache/calibration: a second call continues where the first stopped.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import paraphrase_rl as prl
from paraphrase_rl.detection.applicability import reasons_without_verdict
from paraphrase_rl.detection.calibration import Calibration, CalibrationSet
from paraphrase_rl.detection.calibration_texts import CalibrationTexts, Elsewhere, Limits
from paraphrase_rl.detection.ensemble import COMBINED, CalibratedEnsemble
from paraphrase_rl.detection.fitting import (
    BuiltDetector,
    build_detector,
    calibrate_combined,
    calibrate_detector,
)
from paraphrase_rl.detection.outside import profile_of
from paraphrase_rl.detection.seen import SeenTexts
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.errors import CalibrationError
from paraphrase_rl.evaluation.cache import Cache
from paraphrase_rl.evaluation.score_table import ScoreTable
from paraphrase_rl.files import sha256_text, sha256_texts
from paraphrase_rl.models.defaults import DEFAULT_LANGUAGE_MODEL
from paraphrase_rl.models.precision import Precision
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.text.length import count_words
from paraphrase_rl.types import Document, Scores

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "configs" / "calibration.json"
SOURCE = "starter: news of 2001 and 2002, US convention speeches of 2012, film synopses of about 2002"
TARGET_FPR = 0.05
WORDS = 150
LEAST_WORDS = 60
"""All human calibration texts are as long."""
POPULATIONS = {
    "toefl": "TOEFL essays of second-language writers",
    "8th-grade": "essays of US 8th-graders",
    "college": "US college application essays",
}
OF_EACH = 40
PRECISION: Precision = "fp32"
"""The same on every machine; who scores with the file computes in it too."""


def embedded(registry: Registry) -> list[BuiltDetector]:
    """Detectors that need the packaged language model and nothing else; those used by default count in the ensemble."""
    usual = {detector.name for detector in Recipe().detectors}
    specs = [entry.spec for entry in registry.entries("detectors")]
    names = [s.name for s in specs if s.fit is None and tuple(s.models) == (DEFAULT_LANGUAGE_MODEL,)]
    return [
        build_detector(registry, Context(precision=PRECISION), name, {}, 1.0 if name in usual else 0.0)
        for name in sorted(names)
    ]


def of_other_writers(liang: Path) -> dict[str, list[Document]]:
    """Human essays by population, in an order fixed by hash."""
    corpus = prl.load_data("liang", options={"path": str(liang)}, excerpt_words=WORDS)
    found: dict[str, list[Document]] = {}
    for domain, name in POPULATIONS.items():
        human = [d for d in corpus.select(label="human") if d.domain == domain]
        long = [d for d in human if count_words(d.text) >= LEAST_WORDS]
        found[name] = sorted(long, key=lambda d: sha256_text(d.text))[:OF_EACH]
    return found


def fitted(detectors: Sequence[BuiltDetector], table: ScoreTable) -> CalibratedEnsemble:
    """The detectors, calibrated on the starter set."""
    corpus = prl.load_data("starter", excerpt_words=WORDS)
    documents = corpus.select(split="calibration")
    limits = Limits(least_words=LEAST_WORDS, most_words=WORDS, scripts=("Latin",), language="en")
    texts = CalibrationTexts.of(documents, source=SOURCE, excerpt_words=WORDS).model_copy(
        update={"limits": limits}
    )
    human, ai = (
        table.score([d.text for d in documents if d.label == label], label) for label in ("human", "ai")
    )
    kinds = [[d.text for d in documents if d.label == label] for label in ("human", "ai")]
    members = [
        calibrate_detector(
            built,
            human[built.name],
            ai[built.name],
            usual_rates(TARGET_FPR),
            texts,
            profile=profile_of(built.detector, kinds),
        )
        for built in detectors
    ]
    ensemble = calibrate_combined(members, human, ai, seen=SeenTexts.of(d.text for d in documents))
    ensemble.precision = PRECISION
    return ensemble


def counted(ensemble: CalibratedEnsemble, liang: Path, table: ScoreTable) -> dict[str, list[Elsewhere]]:
    """For each detector and the ensemble, how many essays of each population are flagged."""
    found: dict[str, list[Elsewhere]] = {}
    for name, documents in of_other_writers(liang).items():
        scores: dict[str, Scores] = table.score([d.text for d in documents], name)
        scores[COMBINED] = ensemble.probabilities_of(scores)[1]
        flagged = {
            record.detector: record.target.flags(scores[record.detector].values)
            for record in ensemble.calibrations.records
        }
        reasons = reasons_without_verdict(ensemble, [d.text for d in documents], flagged)
        for record in ensemble.calibrations.records:
            judged = np.array([why is None for why in reasons[record.detector]])
            flags = np.array(flagged[record.detector], dtype=bool)
            there = Elsewhere(
                texts=name,
                digest=sha256_texts(d.text for d in documents),
                n_human=len(documents),
                withheld=int(np.count_nonzero(~judged)),
                flagged=int(np.count_nonzero(flags & judged)),
            )
            found.setdefault(record.detector, []).append(there)
    return found


def taken_over(ensemble: CalibratedEnsemble, before: Path) -> dict[str, Sequence[Elsewhere]]:
    """The counts of an earlier file, for thresholds that are the same to one part in a million."""
    if not before.is_file():
        return {}
    try:
        known = {record.detector: record for record in CalibrationSet.read(before).records}
    except CalibrationError:  # of another format
        return {}

    def same(record: Calibration) -> bool:
        then = known.get(record.detector)
        return (
            then is not None
            and then.profile == record.profile
            and math.isclose(then.target.threshold, record.target.threshold, rel_tol=1e-6)
        )

    return {r.detector: known[r.detector].elsewhere for r in ensemble.calibrations.records if same(r)}


def packaged(ensemble: CalibratedEnsemble, elsewhere: Mapping[str, Sequence[Elsewhere]]) -> CalibrationSet:
    """The file's contents; without versions, which would differ where nothing else does."""

    def with_counts(record: Calibration) -> Calibration:
        return record.model_copy(update={"elsewhere": tuple(elsewhere.get(record.detector, ()))})

    found = ensemble.calibrations
    assert found.combined is not None
    return found.model_copy(
        update={
            "calibrations": tuple(map(with_counts, found.calibrations)),
            "combined": with_counts(found.combined),
            "default": tuple(m.name for m in ensemble.members if m.weight > 0),
            "versions": {},
        }
    )


def show(message: str, done: int | None = None, total: int | None = None) -> None:
    """Print a progress report."""
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Score, calibrate and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--liang", type=Path, help="clone of the essays of Liang et al.")
    given = parser.parse_args()
    detectors = embedded(default_registry())
    cache = Cache(ROOT / ".cache" / "calibration" / "values.sqlite")
    table = ScoreTable(detectors, cache, show)
    ensemble = fitted(detectors, table)
    elsewhere = counted(ensemble, given.liang, table) if given.liang else taken_over(ensemble, OUT)
    made = packaged(ensemble, elsewhere)
    made.write(OUT)
    for record in made.records:
        print(record.describe(), *(there.describe() for there in record.elsewhere), sep="; ")
    print(f"wrote {OUT}: {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
