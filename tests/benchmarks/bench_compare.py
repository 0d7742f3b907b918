"""CPU time of a comparison against scoring the same texts once, with the embedded zero-shot detectors.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_compare.py --texts 490 --words 60

The texts are scored first; the comparison then finds the passes of the language model in its cache, so that its own
time is what cross-fitting and intervals cost. Printed: both, and (scoring + comparison) / scoring.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import paraphrase_rl as prl
from paraphrase_rl.plugin.registry import default_registry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=490)
    parser.add_argument("--words", type=int, default=60)
    given = parser.parse_args()
    corpus = prl.load_data("starter", excerpt_words=given.words)
    chosen = np.linspace(0, len(corpus.documents) - 1, given.texts).round().astype(int)
    documents = [corpus.documents[i] for i in dict.fromkeys(chosen.tolist())]
    names = [e.spec.name for e in default_registry().entries("detectors") if e.spec.models]
    started = time.process_time()
    prl.score([document.text for document in documents], detectors=names)
    scoring = time.process_time() - started
    started = time.process_time()
    found = prl.compare(documents, detectors=names)
    comparing = time.process_time() - started
    print(repr(found))
    print(
        f"{len(documents)} texts, {len(names)} detectors: scoring {scoring:.1f} CPU s, comparison {comparing:.1f} CPU s"
    )
    print(f"ratio {(scoring + comparing) / scoring:.3f} (bound 1.15)")


if __name__ == "__main__":
    main()
