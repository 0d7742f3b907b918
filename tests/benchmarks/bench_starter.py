"""What detectors find in the starter set: AUROC and TPR at a false positive rate of 5 %, over all kinds and for each.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_starter.py

Every text is cut to its first sentences, at most --words words, as for the calibration of the package. The zero-shot
detectors score with the packaged model; tf-idf is trained on the train split. The figures are those of the test texts;
the thresholds those of the human calibration texts: of all kinds for "all", of the one kind for a kind. Scores are
saved in .cache/calibration.
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np

import paraphrase_rl as prl
from paraphrase_rl.detection.fitting import build_detector
from paraphrase_rl.detection.roc import auroc
from paraphrase_rl.detection.threshold import operating_point
from paraphrase_rl.evaluation.cache import Cache
from paraphrase_rl.evaluation.score_table import ScoreTable
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.text.length import count_words
from tests.packaged_calibration import ROOT, embedded, show

KINDS = ("all", "news", "speech", "synopsis")
FPR = 0.05


def table(words: int) -> str:
    """The table and what it was measured on."""
    registry = default_registry()
    corpus = prl.load_data("starter", excerpt_words=words)
    with tempfile.TemporaryDirectory() as folder:
        prl.fit("tfidf", data=corpus, out=folder)
        detectors = [
            *embedded(registry),
            build_detector(registry, Context(), "tfidf", {"folder": folder}, 1.0),
        ]
        scores = ScoreTable(detectors, Cache(ROOT / ".cache" / "calibration" / "values.sqlite"), show)

        def scored(split: str, label: str, kind: str) -> dict[str, np.ndarray]:
            texts = [d.text for d in corpus.select(split=split, label=label) if kind in ("all", d.domain)]
            return {
                name: found.values for name, found in scores.score(texts, f"{split} {label} {kind}").items()
            }

        figures: dict[str, list[tuple[float, float]]] = {built.name: [] for built in detectors}
        for kind in KINDS:
            calibration, human, ai = (
                scored(*which, kind)
                for which in (("calibration", "human"), ("test", "human"), ("test", "ai"))
            )
            for name, of_kind in figures.items():
                threshold = operating_point(calibration[name], FPR).threshold
                of_kind.append((auroc(human[name], ai[name]), float(np.mean(ai[name] > threshold))))
    lengths = sorted(count_words(d.text) for d in corpus.documents)
    test = {label: len(corpus.select(split="test", label=label)) for label in ("ai", "human")}
    order = sorted(figures, key=lambda name: -figures[name][0][0])
    lines = [
        f"| `{name}` | " + " | ".join(f"{a:.2f} / {t:.2f}" for a, t in figures[name]) + " |" for name in order
    ]
    return (
        f"AUROC / TPR at 5 % of {test['ai']} AI and {test['human']} human test texts, cut to at most {words} "
        f"words (95 % of all texts have {lengths[len(lengths) // 20]} or more):\n\n"
        f"| detector | {' | '.join(KINDS)} |\n|{'---|' * (len(KINDS) + 1)}\n" + "\n".join(lines) + "\n"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=150)
    print(table(parser.parse_args().words))


if __name__ == "__main__":
    main()
