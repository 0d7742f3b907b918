"""False positives on human texts of kinds that a calibration has not seen, and how many texts get no verdict.

    python tests/benchmarks/bench_outside.py --data ../shared/data [--detectors tfidf]

For a calibration on each population, at 5 %: of each other population's human texts with a verdict those flagged, the
upper end that the calibration states (95 % confidence), and how many were withheld as outside. The **goal**: of texts
with a verdict no larger share is flagged than that upper end. A cell fails only by a share that is above it; `*` marks
one that 95 % of samples of that size could not show at the upper end (binomial), `+` any other above it.

Texts: essays of Liang et al. (2023), news, stories and encyclopaedia of Bao et al. (2023), the starter set; the first
sentences, at most 150 words, texts of 60 words and more, 100 of each at most. Token statistics are saved in the folder
--cache, so that a second call costs seconds. The level of the check of flagged texts (10 %, of 5, 10 and 20) was taken
for the six cells of news, wikipedia and starter among themselves, with tfidf; the last lines leave these out, but their
figures stood beside the six when it was taken.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pages import write_part
from scipy import stats

import paraphrase_rl as prl
from paraphrase_rl.detection.applicability import reasons_without_verdict
from paraphrase_rl.detection.ensemble import CalibratedEnsemble
from paraphrase_rl.detection.fitting import build_detector, calibrate
from paraphrase_rl.detection.threshold import usual_rates
from paraphrase_rl.files import sha256_text
from paraphrase_rl.models.defaults import DEFAULT_LANGUAGE_MODEL
from paraphrase_rl.models.language_model import shared_language_model
from paraphrase_rl.models.token_statistics import TokenStatistics
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.text.excerpts import excerpt
from paraphrase_rl.text.length import count_words
from paraphrase_rl.types import Document, Failure

WORDS, LEAST, TARGET = 150, 60, 0.05
LIANG = {
    "toefl": ("Human_Data/TOEFL_real_91", "Human_Data/TOEFL_gpt4polished_91"),
    "8th-grade": ("Human_Data/HewlettStudentEssay_real_88", "Human_Data/HewlettStudentEssay_GPTsimplify_88"),
    "college": ("Human_Data/CollegeEssay_real_70", "GPT_Data/CollegeEssay_gpt3_31"),
    "abstracts": ("Human_Data/CS224N_real_145", "GPT_Data/CS224N_gpt3_145"),
}
BAO = {
    "news": "exp_gpt3to4/data/xsum_gpt-4",
    "stories": "exp_gpt3to4/data/writing_gpt-4",
    "wikipedia": "exp_main/data/squad_gpt2-xl",
}
CHOSEN_BY = {"news", "wikipedia", "starter"}
"""Populations by which a level was chosen."""
Sets = dict[str, tuple[list[str], list[str]]]


def populations(data: Path, most: int) -> Sets:
    """Human and AI texts by population."""
    found: Sets = {}
    for name, folders in LIANG.items():
        human, ai = (
            [row["document"] for row in json.loads((data / "liang" / f / "data.json").read_text())]
            for f in folders
        )
        found[name] = human, ai
    for name, file in BAO.items():
        rows = json.loads((data / "fast-detect-gpt" / f"{file}.raw_data.json").read_text())
        found[name] = rows["original"], rows["sampled"]
    corpus = prl.load_data("starter")
    human, ai = ([d.text for d in corpus.select(split="calibration", label=of)] for of in ("human", "ai"))
    found["starter"] = human, ai

    def cut(texts: Sequence[str], number: int) -> list[str]:
        short = (excerpt(text.strip(), WORDS) for text in sorted(set(texts), key=sha256_text))
        return [text for text in short if count_words(text) >= LEAST][:number]

    return {
        name: (cut(human, 10**6 if name == "starter" else most), cut(ai, 50))
        for name, (human, ai) in found.items()
    }


class Saved:
    """Token statistics of a scoring model, kept in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "token-statistics.pickle"
        self.known: dict[str, TokenStatistics | Failure] = (
            pickle.loads(self.file.read_bytes()) if self.file.is_file() else {}
        )
        self.model = shared_language_model(DEFAULT_LANGUAGE_MODEL, "cpu", 512)
        self.compute = self.model.statistics
        self.model.statistics = self.statistics  # type: ignore[method-assign]

    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics | Failure]:
        todo = [text for text in dict.fromkeys(texts) if text not in self.known]
        for start in range(0, len(todo), 32):
            some = todo[start : start + 32]
            self.known |= zip(some, self.compute(some), strict=True)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(pickle.dumps(self.known))
        return [self.known[text] for text in texts]


def fitted(names: Sequence[str], human: Sequence[str], ai: Sequence[str], source: str) -> CalibratedEnsemble:
    """Calibrate detectors on one population."""
    documents = [
        Document(id=f"{label}{i}", text=text, label=label, split="calibration")
        for label, texts in (("human", human), ("ai", ai))
        for i, text in enumerate(texts)
    ]
    built = [build_detector(default_registry(), Context(), name, {}) for name in names]
    return calibrate(
        built,
        documents,
        usual_rates(TARGET),
        source=source,
        excerpt_words=WORDS,
        needs_probability=False,
    )


def cells(ensemble: CalibratedEnsemble, texts: Sequence[str]) -> Mapping[str, tuple[int, int, int, float]]:
    """For each detector and the ensemble: flagged, judged, withheld, and the stated upper end."""
    scores = ensemble.scores(texts)
    if ensemble.combined is not None:
        scores[ensemble.combined.detector] = ensemble.probabilities_of(scores)[1]
    records = ensemble.calibrations.records
    flagged = {r.detector: r.target.flags(scores[r.detector].values) for r in records}
    reasons = reasons_without_verdict(ensemble, texts, flagged)
    found = {}
    for record in records:
        judged = np.array([why is None for why in reasons[record.detector]])
        flags = np.array(flagged[record.detector], dtype=bool)
        found[record.detector] = (
            int((flags & judged).sum()),
            int(judged.sum()),
            int((~judged).sum()),
            record.target.high,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with liang/ and fast-detect-gpt/")
    parser.add_argument("--detectors", nargs="+", default=["fast-detectgpt", "log-likelihood"])
    parser.add_argument("--most", type=int, default=100, help="human texts of each population, at most")
    parser.add_argument("--cache", type=Path, default=Path(".cache/bench-outside"))
    parser.add_argument("--write", type=Path, help="page whose table is written again")
    given = parser.parse_args()
    Saved(given.cache)
    sets = populations(given.data, given.most)
    print("human, AI texts:", "; ".join(f"{name} {len(h)}, {len(a)}" for name, (h, a) in sets.items()))
    total: dict[str, list[tuple[int, int, int, float, bool, bool]]] = {}
    for source, (human, ai) in sets.items():
        ensemble = fitted(given.detectors, human, ai, source)
        rows: dict[str, list[str]] = {}
        for other, (texts, _) in sets.items():
            if other == source:
                continue
            chosen_by = {source, other} <= CHOSEN_BY
            for detector, (flagged, judged, withheld, high) in cells(ensemble, texts).items():
                above = judged > 0 and flagged / judged > high
                surely = above and stats.binom.sf(flagged - 1, judged, high) < 0.05
                mark = "*" if surely else "+" if above else ""
                rows.setdefault(detector, []).append(f"{other} {flagged}/{judged}{mark} ({withheld} out)")
                if not chosen_by:
                    total.setdefault(detector, []).append((flagged, judged, withheld, high, above, surely))
        for detector, shown in rows.items():
            high = next(r for r in ensemble.calibrations.records if r.detector == detector).target.high
            print(f"{source}, {detector}, at most {high:.1%}: " + "; ".join(shown))
    lines = table(total)
    print(*lines, sep="\n")
    if given.write is not None:
        write_part(given.write, "outside", "\n".join(lines))


def table(total: Mapping[str, Sequence[tuple[int, int, int, float, bool, bool]]]) -> list[str]:
    """All cells of each detector together, and how many are above what the calibration states."""
    lines = [
        "| detector | flagged of those with a verdict | upper ends stated | withheld "
        "| pairs above (by more than chance) |",
        "|---|---|---|---|---|",
    ]
    for detector, found in total.items():
        columns = list(zip(*found, strict=True))
        flagged, judged, withheld = (sum(column) for column in columns[:3])
        lines.append(
            f"| `{detector}` | {flagged:,} of {judged:,} = {100 * flagged / max(judged, 1):.1f} % "
            f"| {100 * min(columns[3]):.1f} to {100 * max(columns[3]):.1f} % | {withheld:,} "
            f"| {sum(columns[4])} ({sum(columns[5])}) of {len(found)} |"
        )
    return lines


if __name__ == "__main__":
    main()
